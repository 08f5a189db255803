package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/remote"
)

var methodIndex = peer.NewMethod[groupIndex, groupIndex]("Index", admission.Control, peer.Members)

// groupIndex asks a group's leader for an index of its log, and is answered with it.
type groupIndex struct {
	Group api.GroupID `cbor:"1,keyasint,omitempty"`
	Index uint64      `cbor:"2,keyasint,omitempty"`
}

// registerIndex has the server answer as the leader of the groups here: what it acknowledged before the call stands at or before
// the index.
func registerIndex(s *peer.Server, open *members) {
	methodIndex.Handle(s, func(ctx context.Context, q *groupIndex) (*groupIndex, error) {
		x := open.get(q.Group)
		if x == nil || x.authority == nil {
			return nil, remote.NotHere(q.Group)
		}
		index, err := x.authority.Index(ctx)
		return &groupIndex{Index: index}, err
	})
}

// stepEvery is how often a replica asks its group's leader for an index, to learn how old its own state may be. A stale read from
// it is hardly older than that, unless something fails.
const stepEvery = time.Second

// askInStep asks the leaders of all groups with a replica here at once.
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
			answer, err := methodIndex.Ask(ctx, n.pool.Remote(api.NodeID(leader)), &groupIndex{Group: x.group})
			if err == nil {
				x.authority.InStep(asked, answer.Index)
			}
		})
	}
	wg.Wait()
}
