package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
)

const (
	// handOverTimeout bounds how long a node that stops waits for other voters to take over its leads.
	handOverTimeout = 3 * time.Second
	// handOverLinger is how long it goes on to answer after that: gateways learn the new leaders from it and from them. A request
	// on its way to it when it closes would have an unknown outcome.
	handOverLinger = 500 * time.Millisecond
)

// handOver has other voters lead the groups that this node leads, all at once.
func (n *replicas) handOver() {
	ctx, cancel := context.WithTimeout(n.ctx, handOverTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var moved atomic.Bool
	for _, x := range n.open.all() {
		if !x.raft.IsLeader() || !x.shared() || !guardHandOver {
			continue
		}
		wg.Go(func() {
			switch err := x.raft.Transfer(ctx, ""); {
			case err == nil:
				moved.Store(true)
			case api.CodeOf(err) != api.CodeNotLeader:
				n.log.Warn("no other voter has taken over; the group elects a leader when this node is gone", "group", x.group, "error", err)
			}
		})
	}
	wg.Wait()
	if moved.Load() {
		time.Sleep(handOverLinger)
	}
}

// shared reports whether there is another voter that could lead.
func (x *member) shared() bool {
	members, _ := x.raft.Members()
	voters := 0
	for _, m := range members {
		if m.Voter {
			voters++
		}
	}
	return voters > 1
}
