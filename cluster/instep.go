package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// stepEvery is how often a replica asks its group's leader whether it is in step. A stale read from it is about as old at most, if
// all is well.
const stepEvery = time.Second

// keepInStep has each replica of a group learn how old its state may be, until the node closes.
func (n *replicas) keepInStep() {
	t := time.NewTicker(stepEvery)
	defer t.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-t.C:
			n.askInStep()
		}
	}
}

// askInStep asks the leaders of all groups with a replica here, at once.
func (n *replicas) askInStep() {
	ctx, cancel := context.WithTimeout(n.ctx, stepEvery)
	defer cancel()
	var wg sync.WaitGroup
	for _, x := range n.open.all() {
		if x.authority == nil {
			continue
		}
		leader, _ := x.raft.Leader()
		if leader == "" {
			continue
		}
		wg.Go(func() {
			asked := x.authority.Now()
			if index, err := n.pool.Remote(api.NodeID(leader)).Index(ctx, x.group); err == nil {
				x.authority.InStep(asked, index)
			}
		})
	}
	wg.Wait()
}
