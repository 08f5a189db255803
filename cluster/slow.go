package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/observe/slow"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/placement"
)

// methodSlow is what a node remembers of slow requests and hot keys.
var methodSlow = peer.NewMethod[peer.Nothing, slowReport]("Slow", admission.Control, peer.Nodes)

// slowReport is what a node remembers of itself.
type slowReport struct {
	Slow []slowRow    `cbor:"1,keyasint,omitempty"`
	Hot  []api.HotKey `cbor:"2,keyasint,omitempty"`

	older bool // the node does not know methodSlow
}

// slowRow is a request with the time at which it started, in Unix microseconds.
type slowRow struct {
	api.SlowRequest
	At int64 `cbor:"at"`
}

// slowRequests is what this node remembers of the requests of its clients.
type slowRequests struct {
	node api.NodeID
	log  *slow.Log
	hot  *slow.Hot
}

func newSlowRequests(node api.NodeID) *slowRequests {
	return &slowRequests{node: node, log: slow.NewLog(), hot: slow.NewHot()}
}

// own returns what this node remembers.
func (s *slowRequests) own() *slowReport {
	now := time.Now()
	r := &slowReport{Hot: s.hot.Hottest(now)}
	for _, x := range s.log.Newest(now) {
		r.Slow = append(r.Slow, slowRow{x, x.Started.UnixMicro()})
	}
	for i := range r.Hot {
		r.Hot[i].Node = s.node
	}
	return r
}

// register has the server answer other nodes. A node that serves some keys alone sees no others.
func (s *slowRequests) register(server *peer.Server) {
	methodSlow.Handle(server, func(ctx context.Context, _ *peer.Nothing) (*slowReport, error) {
		r, c := s.own(), peer.CallerFrom(ctx)
		for i := range r.Slow {
			if x := &r.Slow[i]; x.Key != "" && !c.Serves(x.Key) && guardSlowScope {
				x.Key, x.Hidden = "", true
			}
		}
		for i := range r.Hot {
			if x := &r.Hot[i]; !c.Serves(x.Key) && guardSlowScope {
				x.Key, x.Hidden = "", true
			}
		}
		return r, nil
	})
}

// SlowRequests implements api.Slow.
func (n *Node) SlowRequests(ctx context.Context, node api.NodeID) (*api.SlowReport, error) {
	if node == "" || node == n.cfg.ID {
		own := n.slow.own()
		return reportSlow([]api.NodeID{n.cfg.ID}, []*slowReport{own}), nil
	}
	m := n.mirror.Map()
	if m == nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Op: "slow", Hint: "this node has not reached its cluster yet; see --join", RetryAfter: time.Second}
	}
	nodes := slices.DeleteFunc(slices.Clone(m.Nodes), portless) // which serve no clients but their own process
	if node != api.EveryNode {
		i := slices.IndexFunc(nodes, func(o placement.Node) bool { return o.ID == node })
		if i < 0 {
			return nil, api.Errorf(api.CodeNotFound, "the cluster has no node %q; \"edgehold cluster nodes\" lists them", node)
		}
		nodes = nodes[i : i+1]
	}
	ids := make([]api.NodeID, len(nodes))
	for i := range nodes {
		ids[i] = nodes[i].ID
	}
	return reportSlow(ids, n.askSlow(ctx, ids)), nil
}

// askSlow asks nodes at once. A report is nil if the node does not answer within statusPatience.
func (n *Node) askSlow(ctx context.Context, nodes []api.NodeID) []*slowReport {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	all := make([]*slowReport, len(nodes))
	var wg sync.WaitGroup
	for i, id := range nodes {
		if id == n.cfg.ID {
			all[i] = n.slow.own()
			continue
		}
		wg.Go(func() {
			all[i] = askSlow(ctx, n.pool, id)
		})
	}
	wg.Wait()
	return all
}

// askSlow asks another node. It returns nil if the node does not answer.
func askSlow(ctx context.Context, p *peer.Pool, id api.NodeID) *slowReport {
	r, err := methodSlow.Ask(ctx, p.Remote(id), &peer.Nothing{})
	switch {
	case peer.LacksMethod(err):
		return &slowReport{older: true}
	case err != nil:
		return nil
	}
	return r.from(id)
}

// from returns the report with the name of the node that gave it, and no more rows than such a report has.
func (r *slowReport) from(node api.NodeID) *slowReport {
	r.Slow = r.Slow[:min(len(r.Slow), slow.PerMinute*slow.Minutes)]
	r.Hot = r.Hot[:min(len(r.Hot), slow.MaxHot)]
	for i := range r.Slow {
		r.Slow[i].Node, r.Slow[i].Started = node, time.UnixMicro(r.Slow[i].At).UTC()
	}
	for i := range r.Hot {
		r.Hot[i].Node = node
	}
	return r
}

// reportSlow merges the reports of nodes, some of which may be nil.
func reportSlow(nodes []api.NodeID, reports []*slowReport) *api.SlowReport {
	out := &api.SlowReport{Nodes: make([]api.SlowNode, 0, len(nodes))}
	for i, r := range reports {
		row := api.SlowNode{Node: nodes[i], State: "unreachable"}
		switch {
		case r == nil:
		case r.older:
			row.State = "older"
		default:
			row.State = "up"
			for i := range r.Slow {
				out.Slow = append(out.Slow, r.Slow[i].SlowRequest)
			}
			out.Hot = append(out.Hot, r.Hot...)
		}
		out.Nodes = append(out.Nodes, row)
	}
	slow.Sort(out.Slow)
	slow.SortHot(out.Hot)
	return out
}
