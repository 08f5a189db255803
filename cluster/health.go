package cluster

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/placement"
)

var methodHealth = peer.NewMethod[peer.Nothing, health]("Health", admission.Control, peer.Servers)

// health is what a server knows of the nodes around it.
type health struct {
	// Led are the groups that it leads.
	Led []ledGroup `cbor:"1,keyasint,omitempty"`
	// Holders are the nodes that hold a lease stream to it.
	Holders []heardNode `cbor:"2,keyasint,omitempty"`
	// Now is its wall clock, in Unix seconds.
	Now int64 `cbor:"3,keyasint,omitempty"`
	// Unheard are the servers that the leader of the meta group has not heard lately, and since when: from that leader alone.
	Unheard []heardNode `cbor:"4,keyasint,omitempty"`
}

// ledGroup is a group as its leader sees it.
type ledGroup struct {
	Group   api.GroupID `cbor:"1,keyasint"`
	Term    uint64      `cbor:"2,keyasint"`
	Members []ledMember `cbor:"3,keyasint,omitempty"`
}

// ledMember is a member of it.
type ledMember struct {
	Node     api.NodeID `cbor:"1,keyasint"`
	Voter    bool       `cbor:"2,keyasint,omitempty"`
	Heard    bool       `cbor:"3,keyasint,omitempty"`
	CaughtUp bool       `cbor:"4,keyasint,omitempty"`
	// Silent is how long it has certainly not answered, in milliseconds.
	Silent int64 `cbor:"5,keyasint,omitempty"`
	// Lag is how many entries of the log it lacks; -1 if the leader does not know.
	Lag int64 `cbor:"6,keyasint,omitempty"`
}

// heardNode is how long ago a node was heard, in milliseconds.
type heardNode struct {
	Node api.NodeID `cbor:"1,keyasint"`
	Ago  int64      `cbor:"2,keyasint,omitempty"`
}

// registerHealth has this node say what it knows of others, without waiting.
func (n *Node) registerHealth(s *peer.Server) {
	methodHealth.Handle(s, func(context.Context, *peer.Nothing) (*health, error) {
		h := &health{Led: n.members.led(), Now: time.Now().Unix(), Unheard: n.steward.unheard()}
		for id, ago := range n.leases.Heard() {
			h.Holders = append(h.Holders, heardNode{id, ago.Milliseconds()})
		}
		return h, nil
	})
}

// led describes the groups that this node leads.
func (m *members) led() (all []ledGroup) {
	for _, x := range m.all() {
		self, term := x.raft.Leader()
		if !x.raft.IsLeader() {
			continue
		}
		g := ledGroup{Group: x.group, Term: term}
		list, _ := x.raft.Members()
		for _, o := range list {
			since, heard := x.raft.Silent(o.Node)
			lag := int64(-1)
			if n, known := x.raft.Lag(o.Node); known {
				lag = int64(min(n, math.MaxInt64))
			}
			g.Members = append(g.Members, ledMember{
				Node: api.NodeID(o.Node), Voter: o.Voter, Heard: heard, CaughtUp: o.Node == self || x.raft.CaughtUp(o.Node), Silent: since.Milliseconds(), Lag: lag,
			})
		}
		all = append(all, g)
	}
	return all
}

// healths asks all servers of the map at once, for statusPatience at most. A server that does not answer is not in the result.
func healths(ctx context.Context, pool *peer.Pool, m *placement.Map) map[api.NodeID]*health {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	var mu sync.Mutex
	all := map[api.NodeID]*health{}
	var wg sync.WaitGroup
	for _, o := range m.Nodes {
		if o.Role != api.RoleServer {
			continue
		}
		wg.Go(func() {
			h, err := methodHealth.Ask(ctx, pool.Remote(o.ID), &peer.Nothing{})
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all[o.ID] = h
		})
	}
	wg.Wait()
	return all
}

// groups are the groups whose leaders have answered, by the leader of the newest term.
func groupsOf(answers map[api.NodeID]*health) map[api.GroupID]ledGroup {
	all := map[api.GroupID]ledGroup{}
	for _, h := range answers {
		for _, g := range h.Led {
			if have, ok := all[g.Group]; !ok || have.Term < g.Term {
				all[g.Group] = g
			}
		}
	}
	return all
}

// placed is the group in the words of package placement.
func (g ledGroup) placed() (h placement.GroupHealth) {
	for _, m := range g.Members {
		h.Members = append(h.Members, placement.MemberHealth{
			Node: m.Node, Voter: m.Voter, Heard: m.Heard, Silent: time.Duration(m.Silent) * time.Millisecond,
		})
	}
	return h
}

// member is the member of the group at the node; false if there is none.
func (g ledGroup) member(id api.NodeID) (ledMember, bool) {
	for _, m := range g.Members {
		if m.Node == id {
			return m, true
		}
	}
	return ledMember{}, false
}
