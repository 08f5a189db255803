package meta

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Mover changes what groups own. R is a receipt, which only groups understand. Each call finds the leader of the group, and
// may be repeated.
type Mover[R any] interface {
	// Empty returns no error if the group has no key in the range, CodeConflict if it has one, CodeWrongGroup if it does not own
	// all of the range. counted is the group's command counter; 0 if the group does not say.
	Empty(ctx context.Context, g api.GroupID, r api.Range) (counted uint64, err error)
	// Cede makes the group give the range up to others, at the epoch. CodeConflict if the group has a key in it.
	Cede(ctx context.Context, g api.GroupID, r api.Range, epoch uint64, to []api.GroupID) (R, error)
	// Adopt makes the group take its part of what was given up, which the receipts of all former owners prove.
	Adopt(ctx context.Context, g api.GroupID, receipts []R, part placement.Owned) error
}

// Client changes the placement map from any node. Safe for concurrent use.
type Client[R any] struct {
	// Get returns the map as it was at some instant after the call.
	Get func(ctx context.Context) (*placement.Map, error)
	// Propose finds the meta group's leader and carries out a command there, perhaps twice.
	Propose func(ctx context.Context, c placement.Command) (Applied, error)
	Mover   Mover[R]
	// Update, if not nil, is called with each map that a command returns.
	Update func(*placement.Map)
}

// Join registers the node, or its new addresses, and returns the map with its places. CodeConflict if the id belongs
// to a node of another region or role.
func (c *Client[R]) Join(ctx context.Context, n placement.Node) (*placement.Map, error) {
	if err := n.Check(); err != nil {
		return nil, err
	}
	return c.Change(ctx, placement.Join{Node: n})
}

// Change carries out a command and returns the map after it. CodeAmbiguous if the outcome is unknown; after any other error the command
// was not applied.
func (c *Client[R]) Change(ctx context.Context, command placement.Command) (*placement.Map, error) {
	done, err := c.Propose(ctx, command)
	if err != nil {
		return nil, err
	}
	c.update(done.Map)
	return done.Map, nil
}

// SetPlacement makes the region own every key with the prefix. CodeConflict if such a key exists; nil if the region
// owns them already. After a crash at any step every range has at most one owner, and the same call finishes the change.
func (c *Client[R]) SetPlacement(ctx context.Context, prefix api.Key, region api.RegionID) error {
	return c.setPlacement(ctx, prefix, func(m *placement.Map) (owners, error) {
		o := owners{region, m.GroupsOf(region), func(s placement.Span) bool { return s.Region == region }}
		if len(o.groups) == 0 {
			return o, &api.Error{Code: api.CodeInvalid, Op: "placement", Hint: fmt.Sprintf("region %q has no server", region)}
		}
		return o, nil
	})
}

// SetPlacementGroup is like SetPlacement, but one group of a region owns the keys, so that one counter numbers all writes to them.
// CodeInvalid if there is no such group, and if it is one of several that divide the keys among themselves: a group gives keys to others
// alone.
func (c *Client[R]) SetPlacementGroup(ctx context.Context, prefix api.Key, group api.GroupID) error {
	return c.setPlacement(ctx, prefix, func(m *placement.Map) (owners, error) {
		g, ok := m.Group(group)
		if !ok || group == ident.MetaGroup {
			return owners{}, &api.Error{Code: api.CodeInvalid, Op: "placement",
				Hint: fmt.Sprintf("there is no group %q that can own keys; edgehold cluster groups lists the groups", group)}
		}
		o := owners{g.Region, []api.GroupID{group}, func(s placement.Span) bool { return len(s.Groups) == 1 && s.Groups[0] == group }}
		for _, s := range m.Spans(api.PrefixRange(prefix)) {
			if !o.have(s) && slices.Contains(s.Groups, group) {
				return o, &api.Error{Code: api.CodeInvalid, Op: "placement", Hint: fmt.Sprintf(
					"the group %q divides these keys with other groups, and a group gives keys to others alone; nothing was changed. "+
						"Give the keys to a group of another region first, and then to this one", group)}
			}
		}
		return o, nil
	})
}

// owners are the groups, all of one region, that are to own keys. have reports whether those of a range are as they are to be.
type owners struct {
	region api.RegionID
	groups []api.GroupID
	have   func(s placement.Span) bool
}

func (c *Client[R]) setPlacement(ctx context.Context, prefix api.Key, to func(m *placement.Map) (owners, error)) error {
	if len(prefix) > api.MaxKeyBytes {
		return api.Errorf(api.CodeTooLarge, "prefix of %d bytes is over the limit of %d bytes", len(prefix), api.MaxKeyBytes)
	}
	if err := placement.CheckBoundaries(api.PrefixRange(prefix)); err != nil {
		return err
	}
	m, err := c.Get(ctx)
	if err != nil {
		return err
	}
	next, err := to(m)
	if err != nil {
		return err
	}
	var pieces []placement.Span
	for _, s := range m.Spans(api.PrefixRange(prefix)) {
		if !next.have(s) {
			pieces = append(pieces, s)
		}
	}
	counted, err := c.allEmpty(ctx, pieces)
	if err != nil {
		return err
	}
	for i, from := range pieces {
		err := c.move(ctx, from, placement.Span{Range: from.Range, Epoch: ident.NextEpoch(from.Epoch, counted[i]), Region: next.region, Groups: next.groups})
		if err != nil {
			return err
		}
	}
	return nil
}

// allEmpty returns an error if a key exists, before anything is given up. Each owner checks again, in its log; the early
// check makes it likely that the region gets all of the prefix or nothing. It returns how far the owners of each piece have counted,
// the greatest of them.
func (c *Client[R]) allEmpty(ctx context.Context, pieces []placement.Span) (counted []uint64, err error) {
	type owner struct {
		piece int
		group api.GroupID
	}
	var owners []owner
	for i, s := range pieces {
		for _, g := range s.Groups {
			owners = append(owners, owner{i, g})
		}
	}
	of := make([]uint64, len(owners))
	err = each(ctx, len(owners), func(ctx context.Context, i int) (err error) {
		of[i], err = c.Mover.Empty(ctx, owners[i].group, pieces[owners[i].piece].Range)
		if api.CodeOf(err) == api.CodeWrongGroup {
			return nil // given up already, by an earlier call that did not end
		}
		return err
	})
	counted = make([]uint64, len(pieces))
	for i, x := range owners {
		counted[x.piece] = max(counted[x.piece], of[i])
	}
	return counted, err
}

// move makes the present owners cede the range, one after the other, then the new owners adopt it, then changes the map. The
// log of the first owner decides between competing calls: the other owners cede only after it.
func (c *Client[R]) move(ctx context.Context, from, to placement.Span) error {
	var receipts []R
	for i, g := range from.Groups {
		receipt, err := c.Mover.Cede(ctx, g, to.Range, to.Epoch, to.Groups)
		// An earlier call that did not end may have seen that the group counts further.
		for tries := 0; i == 0 && api.CodeOf(err) == api.CodeWrongGroup && tries < moreEpochs; tries++ {
			to.Epoch++
			receipt, err = c.Mover.Cede(ctx, g, to.Range, to.Epoch, to.Groups)
		}
		if err != nil {
			return unfinished(err, len(receipts) > 0)
		}
		receipts = append(receipts, receipt)
	}
	err := each(ctx, len(to.Groups), func(ctx context.Context, i int) error {
		return c.Mover.Adopt(ctx, to.Groups[i], receipts, to.Part(i))
	})
	if err != nil {
		return unfinished(err, true)
	}
	if _, err := c.Change(ctx, placement.SetRange(to)); err != nil {
		return unfinished(err, true)
	}
	return nil
}

// moreEpochs is how many epochs above the least a call looks for what an earlier one has begun.
const moreEpochs = 8

// unfinished returns the error of a move. If the move has begun, its outcome is unknown until a call finishes it.
func unfinished(err error, begun bool) error {
	e := api.AsError(err)
	switch {
	case !begun && e.Code == api.CodeWrongGroup:
		return &api.Error{Code: api.CodeConflict, Op: "placement", Err: err,
			Hint: "an earlier change of owner in this range has not ended; repeat that one first, with its own prefix and owner"}
	case !begun && e.Code != api.CodeAmbiguous:
		return err
	}
	out := &api.Error{Code: api.CodeAmbiguous, Op: "placement", Err: err,
		Hint: "the change of owner has begun and has not ended; repeat the same command to finish it"}
	if e.Code == api.CodeConflict {
		out.Code, out.Key = api.CodeConflict, e.Key
		out.Hint = "a key was written meanwhile; part of the range has been given up: delete the keys with the prefix and repeat the same command"
	}
	return out
}

func (c *Client[R]) update(m *placement.Map) {
	if c.Update != nil && m != nil {
		c.Update(m)
	}
}

// each calls f with 0..n-1, all at once, and returns the first error; it ends the others.
func each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for i := range n {
		wg.Go(func() {
			if err := f(ctx, i); err != nil {
				once.Do(func() { first = err })
				cancel()
			}
		})
	}
	wg.Wait()
	return first
}
