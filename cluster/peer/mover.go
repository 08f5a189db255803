package peer

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Mover has groups change what they own, at their leaders: it implements meta.Mover.
type Mover struct {
	Pool *Pool
	// OnLeader has call carried out at the group's leader, again where that is harmless; *router.Router has it.
	OnLeader func(ctx context.Context, g api.GroupID, op string, again bool, call func(ctx context.Context, node api.NodeID) error) error
}

// Empty tells whether the group has no key in the range: CodeConflict where it has.
func (m *Mover) Empty(ctx context.Context, g api.GroupID, r api.Range) error {
	return m.OnLeader(ctx, g, "cede", true, func(ctx context.Context, node api.NodeID) error {
		page, err := m.Pool.Remote(node).List(ctx, &api.ListRequest{Range: r, Limit: 1, KeysOnly: true, Group: g})
		if err == nil && len(page.Entries) > 0 {
			return &api.Error{Code: api.CodeConflict, Op: "cede", Key: page.Entries[0].Key, Hint: "the range is not empty"}
		}
		return err
	})
}

// Cede has the group give the range up.
func (m *Mover) Cede(ctx context.Context, g api.GroupID, r api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error) {
	var receipt *fsm.Receipt
	err := m.OnLeader(ctx, g, "cede", true, func(ctx context.Context, node api.NodeID) (err error) {
		receipt, err = m.Pool.Remote(node).Cede(ctx, g, r, epoch, to)
		return err
	})
	return receipt, err
}

// Adopt has the group take its part of what the receipts together show to be given up.
func (m *Mover) Adopt(ctx context.Context, g api.GroupID, receipts []*fsm.Receipt, part placement.Owned) error {
	if len(receipts) == 0 {
		return api.Errorf(api.CodeInvalid, "nothing was given up")
	}
	joined := receipts[0]
	for _, r := range receipts[1:] {
		var err error
		if joined, err = joined.Join(r); err != nil {
			return err
		}
	}
	shard := fsm.Shard{Range: part.Range, Epoch: part.Epoch, Index: part.Index, Of: part.Of}
	return m.OnLeader(ctx, g, "adopt", true, func(ctx context.Context, node api.NodeID) error {
		return m.Pool.Remote(node).Adopt(ctx, g, joined, shard)
	})
}

// Source is how a meta.Mirror reaches the nodes of a pool: it implements meta.Source.
type Source struct{ Pool *Pool }

// Poll asks a node for a newer map.
func (s Source) Poll(ctx context.Context, node api.NodeID, since uint64) (*placement.Map, error) {
	return s.Pool.Remote(node).Poll(ctx, since)
}

// PollAddress asks the node at an address for a newer map.
func (s Source) PollAddress(ctx context.Context, address string, since uint64) (*placement.Map, error) {
	return s.Pool.RemoteAt(address).Poll(ctx, since)
}

// Get asks the node, if it leads the meta group, for the newest map.
func (s Source) Get(ctx context.Context, node api.NodeID) (*placement.Map, error) {
	return s.Pool.Remote(node).Map(ctx)
}
