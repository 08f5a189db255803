package region

import (
	"context"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// Prepare has the group vote on its part of a transaction: leases on what it writes are revoked now, so that from here on
// nobody has them, and one log entry validates and locks. dropped are leases that the gateway has given up. A vote no is a
// Vote, too; an error is no vote, and after CodeAmbiguous the part may be prepared: ask again, the vote is the same.
//
// Where the intents of other transactions are in the way, an older one than all of them waits, a younger one gives way
// (wait-die): its vote is no, with [fsm.RetryIntents]. One that is free, which holds nothing anywhere, always waits: nobody can
// be waiting for it.
func (r *Region) Prepare(ctx context.Context, p *fsm.Prepare, dropped []api.DroppedLease, free bool) (*fsm.Vote, error) {
	if err := r.ours(p.Group); err != nil {
		return nil, err
	}
	return r.vote(ctx, &ballot{ref: &p.Txn, conds: p.If, ops: p.Then, dropped: dropped, free: free,
		command: func(l *lead, c *clearance) fsm.Command {
			q := *p
			q.Term, q.Cleared, q.Killed = l.term, c.cleared, c.killed
			return q
		}})
}

// CommitLast is a Prepare of the last participant that commits at once, in the decision group, which this is.
func (r *Region) CommitLast(ctx context.Context, p *fsm.CommitLast, dropped []api.DroppedLease) (*fsm.Vote, error) {
	if err := r.ours(p.Txn.ID.Decider); err != nil {
		return nil, err
	}
	return r.vote(ctx, &ballot{ref: &p.Txn, conds: p.If, ops: p.Then, dropped: dropped,
		command: func(l *lead, c *clearance) fsm.Command {
			q := *p
			q.Term, q.Cleared, q.Killed = l.term, c.cleared, c.killed
			return q
		}})
}

// ballot is what a participant votes on.
type ballot struct {
	ref     *api.TxnRef
	conds   []api.Cond
	ops     []api.Op
	dropped []api.DroppedLease
	free    bool
	// command is what to propose, judged by the lead, with what was cleared.
	command func(l *lead, c *clearance) fsm.Command
}

// keys are those that the ballot writes, and those that it tests or reads.
func (b *ballot) keys() (written, read []api.Key) {
	t := api.Txn{If: b.conds, Then: b.ops}
	return t.WrittenKeys(), t.Keys()
}

func (r *Region) vote(ctx context.Context, b *ballot) (*fsm.Vote, error) {
	l, err := r.leader(ctx)
	if err != nil {
		return nil, err
	}
	written, read := b.keys()
	if r.frozen(l, read) {
		return nil, unavailable("the range of a key is being given to another group")
	}
	r.latch(l, written)
	defer r.unlatch(l, written)
	t := turnOf(*b.ref, written, read)
	defer r.endTurn(l, t)
	if intents, prepared := r.blocking(b.ref.ID, written, read); !prepared { // else it votes as it did
		if no, err := r.giveWay(ctx, l, b, t, intents); err != nil {
			return nil, err
		} else if no != nil {
			return no, r.refusal(ctx, l, nil)
		}
	}
	w := writing{Region: r, lead: l, dropped: b.dropped}
	holders := r.cfg.Machine.Holders(written)
	for {
		if guardRevokeAtPrepare {
			if err := w.clearAll(ctx, holders); err != nil {
				return nil, err
			}
		}
		res, err := w.propose(ctx, b.command(l, &w.gained))
		switch {
		case err != nil:
			return nil, err
		case res.Err == nil:
			return &fsm.Vote{Txn: res.Txn, Decision: res.Decision, Timing: w.timing}, nil
		case res.Err.Code == fsm.RetryLeases:
			holders = res.Holders
		case res.Err.Code == fsm.RetryIntents:
			if no, err := r.giveWay(ctx, l, b, t, res.Intents); no != nil || err != nil {
				return no, err
			}
			holders = nil
		default:
			return &fsm.Vote{Refused: res.Err, Stored: res.Stored, Decision: res.Decision}, nil
		}
	}
}

// giveWay waits for the intents where the ballot's transaction is older than all that hold them; else it votes no. Free or
// not, it votes no as well where an older one waits for what it would lock.
//
// It gives way to an older one after a moment: an intent is often that of a transaction which is decided, and is about to be
// resolved here. Since that moment is short and ends, no circle of such waits lasts.
func (r *Region) giveWay(ctx context.Context, l *lead, b *ballot, t *turn, intents []fsm.Intent) (no *fsm.Vote, err error) {
	i := slices.IndexFunc(intents, func(x fsm.Intent) bool { return !b.free && x.Txn.Older(*b.ref) })
	if i >= 0 {
		gone, err := r.outwaitAMoment(ctx, l, intents)
		if err != nil {
			return nil, err
		}
		if !gone {
			return r.no(intents[i].Key, "an older transaction holds the key"), nil
		}
		intents = nil
	}
	if k, ok := r.olderTurn(l, t); ok {
		return r.no(k, "an older transaction waits for the key"), nil
	}
	if len(intents) > 0 {
		r.queue(l, t)
	}
	return r.outwaitAttempts(ctx, l, b, intents)
}

// outwaitAttempts waits for the intents. Those of an attempt of the same request that was made before the ballot's go at once
// where the same gateway made it, and has given it up; but where another gateway makes it, that may be waiting for this one
// elsewhere: then this one gives way, after a while.
func (r *Region) outwaitAttempts(ctx context.Context, l *lead, b *ballot, intents []fsm.Intent) (no *fsm.Vote, err error) {
	for _, x := range intents {
		id, self := x.Txn.ID, b.ref.ID
		if b.free || id.Client != self.Client || id.Seq != self.Seq || id.Attempt > self.Attempt {
			continue
		}
		within, cancel := context.WithTimeout(ctx, sameRequest)
		defer cancel()
		if err := r.outwaitOne(within, l, x); err != nil && ctx.Err() == nil && within.Err() != nil {
			return r.no(x.Key, "another attempt of the request holds the key"), nil
		} else if err != nil {
			return nil, err
		}
	}
	return nil, r.outwait(ctx, l, intents)
}

// outwaitAMoment tells whether the intents went within Config.Moment.
func (r *Region) outwaitAMoment(ctx context.Context, l *lead, intents []fsm.Intent) (gone bool, err error) {
	moment, cancel := context.WithTimeout(ctx, r.cfg.Moment)
	defer cancel()
	err = r.outwait(moment, l, intents)
	if err != nil && moment.Err() != nil && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// sameRequest is how long that while is: the attempt is asked after in that time.
const sameRequest = 3 * queryFirst

// no is the vote of one that gives way.
func (r *Region) no(k api.Key, why string) *fsm.Vote {
	r.metrics.gaveWay(1)
	return &fsm.Vote{Refused: &api.Error{Code: fsm.RetryIntents, Key: k, RetryAfter: retryIntent, Hint: why}}
}

// frozen tells whether one of the keys lies in a range that is being given up.
func (r *Region) frozen(l *lead, keys []api.Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range l.frozen {
		for _, k := range keys {
			if f.Contains(k) {
				return true
			}
		}
	}
	return false
}

// Resolve ends the group's part of a transaction as its decision group has said. Repeated, it does nothing.
func (r *Region) Resolve(ctx context.Context, c fsm.Resolve) error {
	if err := r.ours(c.Group); err != nil {
		return err
	}
	if _, err := r.leader(ctx); err != nil {
		return err
	}
	began := time.Now()
	_, err := r.propose(ctx, c)
	r.metrics.resolved(time.Since(began))
	return err
}
