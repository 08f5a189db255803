package group

import (
	"context"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// cedeBatch bounds the leases that a cede revokes in one round.
const cedeBatch = 1000

// Cede gives an empty range to the given groups at the given epoch. It stops new leases in the range, revokes the
// live ones or waits until they have expired, as a write does, and then appends one log entry. It returns
// CodeConflict if a key exists in the range. Repeated after the range was ceded, it returns the same receipt.
func (a *Authority) Cede(ctx context.Context, rng api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error) {
	l, err := a.leader(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.empty(ctx, rng); err != nil {
		return nil, err
	}
	a.freeze(l, rng)
	defer a.thaw(l, rng)
	for {
		// Each round starts from what the machine holds. What an earlier round gained is either in the log or is
		// gained again at once.
		holders := a.cfg.Machine.HoldersIn(rng, cedeBatch)
		gained, err := a.clear(ctx, l, holders, nil)
		if err != nil {
			return nil, err
		}
		if len(holders) == cedeBatch {
			if err := a.drop(ctx, l, gained); err != nil {
				return nil, err
			}
			continue
		}
		res, err := a.propose(ctx, fsm.Cede{
			Term: l.term, Range: rng, Epoch: epoch, To: to, Cleared: gained.cleared, Killed: gained.killed,
		})
		if err == nil {
			return res.Receipt, nil
		}
		if api.CodeOf(err) != fsm.RetryLeases {
			return nil, err
		}
	}
}

// empty returns an error, before any lease is revoked, if a key exists in the range. The machine makes the final
// decision.
func (a *Authority) empty(ctx context.Context, rng api.Range) error {
	page, err := a.List(ctx, &words.ListRequest{ListRequest: api.ListRequest{Range: rng, Limit: 1, KeysOnly: true}})
	switch {
	case api.CodeOf(err) == api.CodeWrongGroup: // perhaps ceded already: the machine decides
		return nil
	case err != nil:
		return err
	case len(page.Entries) > 0:
		return &api.Error{Code: api.CodeConflict, Op: "cede", Key: page.Entries[0].Key, Hint: "the range is not empty"}
	}
	return nil
}

// drop puts what a round has gained into the log in entries of its own.
func (a *Authority) drop(ctx context.Context, l *lead, c clearance) error {
	for leases := range slices.Chunk(c.cleared, maxReleased) {
		if _, err := a.propose(ctx, fsm.Release{Leases: leases}); err != nil {
			return notWritten(err)
		}
	}
	for sessions := range slices.Chunk(c.killed, maxKilled) {
		if _, err := a.propose(ctx, fsm.Kill{Term: l.term, Sessions: sessions}); err != nil {
			return notWritten(err)
		}
	}
	return nil
}

// notWritten converts the error of a step that prepares a write. Whatever the outcome of the step, the write was not
// applied.
func notWritten(err error) error {
	if api.CodeOf(err) != api.CodeAmbiguous {
		return err
	}
	return &api.Error{Code: api.CodeUnavailable, Hint: "the leases in the way could not be dropped in time", Err: err}
}

func (a *Authority) freeze(l *lead, rng api.Range) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l.frozen = append(l.frozen, rng)
}

func (a *Authority) thaw(l *lead, rng api.Range) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(l.frozen, rng); i >= 0 {
		l.frozen = slices.Delete(l.frozen, i, i+1)
	}
}

// Adopt takes over a range that another group has ceded, as the receipt proves. Repeated, it does nothing.
func (a *Authority) Adopt(ctx context.Context, receipt *fsm.Receipt, shard fsm.Shard) error {
	if _, err := a.leader(ctx); err != nil {
		return err
	}
	_, err := a.propose(ctx, fsm.Adopt{Receipt: *receipt, Shard: shard})
	return err
}
