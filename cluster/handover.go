package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm/placement"
)

const (
	// handOverTimeout bounds how long a node that stops waits for other voters to take over its leads.
	handOverTimeout = 10 * time.Second
	// transferTimeout bounds one attempt, and transferRetry is the pause after one.
	transferTimeout = 3 * time.Second
	transferRetry   = 200 * time.Millisecond
	// handOverLinger is how long it goes on to answer after that: gateways learn the new leaders from it and from them. A request
	// on its way to it when it closes would have an unknown outcome.
	handOverLinger = 500 * time.Millisecond
)

// handOver has other voters lead the groups that this node leads, all at once.
func (n *replicas) handOver() {
	ctx, cancel := context.WithTimeout(n.ctx, handOverTimeout)
	defer cancel()
	if n.handOverLeads(ctx, true) {
		time.Sleep(handOverLinger)
	}
}

// handOverLeads returns when this node leads no group that another voter could lead, or when ctx ends. It reports whether another
// voter has taken over a group. Unless toAny, only voters that are to stay take over: two that drain would hand a group to each other
// for ever.
func (n *replicas) handOverLeads(ctx context.Context, toAny bool) bool {
	var wg sync.WaitGroup
	var moved atomic.Bool
	for _, x := range n.open.all() {
		if !x.raft.IsLeader() || !guardHandOver {
			continue
		}
		wg.Go(func() {
			switch err := n.handOverOne(ctx, x, toAny); {
			case err == nil:
				moved.Store(true)
			case api.CodeOf(err) != api.CodeNotLeader:
				n.log.Warn("no other voter has taken over; the group elects a leader when this node is gone", "group", x.group, "error", err)
			}
		})
	}
	wg.Wait()
	return moved.Load()
}

// handOverOne has another voter lead the group, and tries until ctx ends. CodeNotLeader if this node did not lead it, is its only
// voter that answers, or, unless toAny, if no voter that is to stay has caught up.
func (n *replicas) handOverOne(ctx context.Context, x *member, toAny bool) error {
	for {
		to := n.successor(x)
		if !x.raft.IsLeader() || !x.shared() || to == "" && !toAny {
			return &api.Error{Code: api.CodeNotLeader, Op: "hand over"}
		}
		attempt, cancel := context.WithTimeout(ctx, transferTimeout)
		err := x.raft.Transfer(attempt, to)
		cancel()
		if err == nil || api.CodeOf(err) == api.CodeNotLeader {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(transferRetry):
		}
	}
}

// successor is a voter that has caught up and is to stay; "" leaves the choice to the group's log.
func (n *replicas) successor(x *member) string {
	m := n.view.Map()
	members, _ := x.raft.Members()
	for _, o := range members {
		if o.Voter && o.Node != string(n.cfg.ID) && x.raft.CaughtUp(o.Node) && stays(m, api.NodeID(o.Node)) {
			return o.Node
		}
	}
	return ""
}

// stays reports whether the node is to go on as it is.
func stays(m *placement.Map, id api.NodeID) bool {
	if m == nil {
		return false
	}
	o, ok := m.Node(id)
	return ok && o.State == placement.Active
}

// shared reports whether there is another voter that could lead: one that is not silent.
func (x *member) shared() bool {
	members, _ := x.raft.Members()
	self, _ := x.raft.Leader()
	for _, m := range members {
		if since, _ := x.raft.Silent(m.Node); m.Voter && m.Node != self && since < replica.HeardWithin {
			return true
		}
	}
	return false
}
