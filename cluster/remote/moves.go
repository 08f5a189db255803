package remote

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/placement"
)

var (
	methodCede  = peer.NewMethod[cede, fsm.Receipt]("Cede", admission.Control, peer.Servers)
	methodAdopt = peer.NewMethod[adopt, peer.Nothing]("Adopt", admission.Control, peer.Servers)
)

type cede struct {
	Group api.GroupID   `cbor:"1,keyasint"`
	Range api.Range     `cbor:"2,keyasint"`
	Epoch uint64        `cbor:"3,keyasint"`
	To    []api.GroupID `cbor:"4,keyasint"`
}

type adopt struct {
	Group   api.GroupID `cbor:"1,keyasint"`
	Receipt fsm.Receipt `cbor:"2,keyasint"`
	Shard   fsm.Shard   `cbor:"3,keyasint"`
}

// Cede has a group give an empty range up; repeated, it returns the same receipt.
func (n Node) Cede(ctx context.Context, g api.GroupID, rng api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error) {
	return methodCede.Call(ctx, n.Remote, &cede{g, rng, epoch, to})
}

// Adopt has a group take over what the receipt shows to be given up; repeated, it does nothing.
func (n Node) Adopt(ctx context.Context, g api.GroupID, receipt *fsm.Receipt, shard fsm.Shard) error {
	_, err := methodAdopt.Call(ctx, n.Remote, &adopt{g, *receipt, shard})
	return err
}

func registerMoves(s *peer.Server, groups Groups) {
	methodCede.Handle(s, of(groups, func(c *cede) api.GroupID { return c.Group },
		func(g Group, ctx context.Context, c *cede) (*fsm.Receipt, error) {
			return g.Cede(ctx, c.Range, c.Epoch, c.To)
		}))
	methodAdopt.Handle(s, of(groups, func(a *adopt) api.GroupID { return a.Group },
		func(g Group, ctx context.Context, a *adopt) (*peer.Nothing, error) {
			return done(g.Adopt(ctx, &a.Receipt, a.Shard))
		}))
}

// Mover has groups change what they own, at their leaders: it implements meta.Mover.
type Mover struct {
	Pool *peer.Pool
	// OnLeader has call carried out at the group's leader, more than once if again is set; see router.Router.
	OnLeader func(ctx context.Context, g api.GroupID, op string, again bool, call func(ctx context.Context, node api.NodeID) error) error
}

func (m *Mover) at(node api.NodeID) Node { return Node{m.Pool.Remote(node)} }

// Empty reports whether the group has no key in the range: CodeConflict if it has. counted is the group's command counter.
func (m *Mover) Empty(ctx context.Context, g api.GroupID, r api.Range) (counted uint64, err error) {
	err = m.OnLeader(ctx, g, "cede", true, func(ctx context.Context, node api.NodeID) error {
		page, err := m.at(node).List(ctx, &words.ListRequest{ListRequest: api.ListRequest{Range: r, Limit: 1, KeysOnly: true}, Group: g})
		if err == nil && len(page.Entries) > 0 {
			return &api.Error{Code: api.CodeConflict, Op: "cede", Key: page.Entries[0].Key, Hint: "the range is not empty"}
		}
		if err == nil && len(page.At) > 0 {
			counted = page.At[0].At.Index
		}
		return err
	})
	return counted, err
}

// Cede has the group give the range up.
func (m *Mover) Cede(ctx context.Context, g api.GroupID, r api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error) {
	var receipt *fsm.Receipt
	err := m.OnLeader(ctx, g, "cede", true, func(ctx context.Context, node api.NodeID) (err error) {
		receipt, err = m.at(node).Cede(ctx, g, r, epoch, to)
		return err
	})
	return receipt, err
}

// Adopt has the group take its part of what the receipts together show to be given up.
func (m *Mover) Adopt(ctx context.Context, g api.GroupID, receipts []*fsm.Receipt, part placement.Owned) error {
	if len(receipts) == 0 {
		return api.Errorf(api.CodeInvalid, "there is no receipt of what was given up")
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
		return m.at(node).Adopt(ctx, g, joined, shard)
	})
}
