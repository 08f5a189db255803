package group

import (
	"context"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Prepare has the group vote on its part of a transaction: leases on what it writes are revoked now, so that from here on
// nobody has them, and one log entry validates and locks. dropped are leases that the gateway has given up. A vote no is a
// Vote, too; an error is no vote, and after CodeAmbiguous the part may be prepared: ask again, the vote is the same.
//
// Where the intents of other transactions are in the way, an older one than all of them waits, a younger one gives way
// (wait-die): its vote is no, with [fsm.RetryIntents]. One that is free, which holds nothing anywhere, always waits: nobody can
// be waiting for it.
func (a *Authority) Prepare(ctx context.Context, p *fsm.Prepare, dropped []ident.DroppedLease, free bool) (*fsm.Vote, error) {
	if err := a.ours(p.Group); err != nil {
		return nil, err
	}
	own := *p
	own.Txn.Age = clamped(p.Txn.Age)
	return a.vote(ctx, &ballot{ref: &own.Txn, said: p.Txn.Age, conds: p.If, ops: p.Then, dropped: dropped, free: free,
		command: func(l *lead, c *clearance) fsm.Command {
			q := own
			q.Term, q.Cleared, q.Killed = l.term, c.cleared, c.killed
			return q
		}})
}

// CommitLast is a Prepare of the last participant that commits at once, in the decision group, which this is. A refusal ends the
// attempt: Vote.Decision says that it was aborted, so that no later copy of the message commits it. Without a Decision that is
// not certain.
func (a *Authority) CommitLast(ctx context.Context, p *fsm.CommitLast, dropped []ident.DroppedLease) (*fsm.Vote, error) {
	if err := a.ours(p.Txn.ID.Decider); err != nil {
		return nil, err
	}
	own := *p
	own.Txn.Age = clamped(p.Txn.Age)
	v, err := a.vote(ctx, &ballot{ref: &own.Txn, said: p.Txn.Age, conds: p.If, ops: p.Then, dropped: dropped,
		command: func(l *lead, c *clearance) fsm.Command {
			q := own
			q.Term, q.Cleared, q.Killed = l.term, c.cleared, c.killed
			return q
		}})
	if err == nil && v.Refused != nil && v.Refused.Code != fsm.Finished && guardRefusedLast {
		v = a.abortRefused(ctx, &own, v)
	}
	return v, err
}

// abortRefused aborts, here in its decision group, an attempt of which the last part was refused. The coordinator would do the
// same, one way later each, and the other participants would keep their locks meanwhile.
func (a *Authority) abortRefused(ctx context.Context, p *fsm.CommitLast, no *fsm.Vote) *fsm.Vote {
	res, err := a.propose(ctx, fsm.Decide{Txn: p.Txn, AckedBelow: p.AckedBelow, Outcome: ident.TxnAborted})
	switch d := res.Decision; {
	case err != nil || d == nil: // the coordinator sees to it
		return no
	case d.Outcome == ident.TxnCommitted: // by another copy of the message
		return &fsm.Vote{Decision: d, Timing: no.Timing}
	default:
		out := *no
		out.Decision = d
		return &out
	}
}

// ballot is what a participant votes on.
type ballot struct {
	ref     *ident.TxnRef // with the age as far as it is believed
	said    uint64        // the age as the gateway says
	conds   []api.Cond
	ops     []api.Op
	dropped []ident.DroppedLease
	free    bool
	// command is what to propose, judged by the lead, with what was cleared.
	command func(l *lead, c *clearance) fsm.Command
}

// keys are those that the ballot writes, and those that it tests or reads.
func (b *ballot) keys() (written, read []api.Key) {
	t := api.Txn{If: b.conds, Then: b.ops}
	return t.WrittenKeys(), t.Keys()
}

// turn is the ballot's turn, which does not stand yet.
func (b *ballot) turn(written, read []api.Key) *turn {
	t := turnOf(*b.ref, written, read)
	if b.said != 0 {
		t.said = b.said
	}
	return t
}

// clamped is the age of a gateway's request as this node believes it.
func clamped(age uint64) uint64 { return words.ClampAge(age, time.Now(), words.MaxAge) }

func (a *Authority) vote(ctx context.Context, b *ballot) (*fsm.Vote, error) {
	l, err := a.leader(ctx)
	if err != nil {
		return nil, err
	}
	written, read := b.keys()
	if a.frozen(l, read) {
		return nil, unavailable("the range of a key is being given to another group")
	}
	a.latch(l, written)
	defer a.unlatch(l, written)
	w := writing{waiter: waiter{Authority: a, lead: l, turn: b.turn(written, read)}, dropped: b.dropped}
	defer w.voted()
	if intents, prepared := a.blocking(b.ref.ID, written, read); !prepared { // else it votes as it did
		no, err := w.giveWay(ctx, b, intents)
		if no != nil {
			err = a.refusal(ctx, l, nil)
		}
		if err != nil {
			return nil, err
		}
		if no != nil {
			return no, nil
		}
	}
	holders := a.cfg.Machine.Holders(written)
	for {
		if guardRevokeAtPrepare {
			if err := w.clearAll(ctx, holders); err != nil {
				return nil, err
			}
		}
		if len(holders) > 0 { // it has waited: a read may have taken its turn since
			if no, err := w.awaitOlder(ctx, b); no != nil || err != nil {
				return no, err
			}
		}
		res, err := w.propose(ctx, b.command(l, &w.gained))
		if err != nil {
			return nil, err
		}
		if res.Err == nil {
			return &fsm.Vote{Txn: res.Txn, Decision: res.Decision, Timing: w.timing}, nil
		}
		holders = nil
		switch intents := w.inTheWay(&res, read); {
		case res.Err.Code == fsm.RetryLeases:
			holders = res.Holders
		case len(intents) > 0:
			if no, err := w.giveWay(ctx, b, intents); no != nil || err != nil {
				return no, err
			}
		case res.Err.Code == api.CodeNotLeader: // the term was over: no vote, and another leader has one
			return nil, res.Err
		default:
			return &fsm.Vote{Refused: res.Err, Stored: res.Stored, Decision: res.Decision}, nil
		}
	}
}

// inTheWay are the intents for which the machine has refused the ballot.
func (w *writing) inTheWay(res *fsm.Result, read []api.Key) []fsm.Intent {
	switch res.Err.Code {
	case fsm.RetryIntents:
		return res.Intents
	case api.CodeUnavailable: // so many read the key that no more may
		return w.crowded(read)
	}
	return nil
}

// voted ends the ballot's turn, and the one that a read for its transaction has kept here.
func (w *writing) voted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lead.queue.end(w.turn)
	w.lead.queue.endHeld(w.turn.said, func(*turn) bool { return true })
}

// giveWay waits for the intents if the ballot's transaction is older than all that hold them; else it votes no. It votes no as
// well if an older request waits for what it would lock, unless it is free: then it waits for that.
//
// It gives way to an older one after a moment: an intent is often that of a transaction which is decided, and is about to be
// resolved here. Since that moment is short and ends, no circle of such waits lasts.
func (w *writing) giveWay(ctx context.Context, b *ballot, intents []fsm.Intent) (no *fsm.Vote, err error) {
	i := slices.IndexFunc(intents, func(x fsm.Intent) bool { return !b.free && x.Txn.Older(*b.ref) })
	if i >= 0 {
		gone, err := w.awaitMoment(ctx, w.lead, intents)
		if err != nil {
			return nil, err
		}
		if !gone {
			return w.no(intents[i].Key, "an older transaction holds the key"), nil
		}
		intents = nil
	}
	if no, err := w.awaitOlder(ctx, b); no != nil || err != nil {
		return no, err
	}
	if len(intents) == 0 {
		return nil, nil
	}
	if err := w.queue(); err != nil {
		return nil, err
	}
	return w.awaitAttempts(ctx, w.lead, b, intents)
}

// awaitOlder has a free ballot wait for the older requests that wait for what it would lock, and any other vote no.
func (w *writing) awaitOlder(ctx context.Context, b *ballot) (no *fsm.Vote, err error) {
	older := func(q *queue) (o *turn) {
		o, _ = q.older(w.turn)
		return o
	}
	if b.free {
		return nil, w.awaitTurns(ctx, w.lead, older)
	}
	w.mu.Lock()
	w.lead.queue.expire(time.Now())
	o, k := w.lead.queue.older(w.turn)
	w.mu.Unlock()
	if o == nil {
		return nil, nil
	}
	return w.no(k, "an older request waits for the key"), nil
}

// awaitAttempts waits for the intents. Those of an attempt of the same request that was made before the ballot's go at once
// where the same gateway made it, and has given it up; but where another gateway makes it, that may be waiting for this one
// elsewhere: then this one gives way, after a while.
func (a *Authority) awaitAttempts(ctx context.Context, l *lead, b *ballot, intents []fsm.Intent) (no *fsm.Vote, err error) {
	for _, x := range intents {
		id, self := x.Txn.ID, b.ref.ID
		if b.free || id.Client != self.Client || id.Seq != self.Seq || id.Attempt > self.Attempt {
			continue
		}
		within, cancel := context.WithTimeout(ctx, sameRequest)
		defer cancel()
		if err := a.awaitIntent(within, l, x); err != nil && ctx.Err() == nil && within.Err() != nil {
			return a.no(x.Key, "another attempt of the request holds the key"), nil
		} else if err != nil {
			return nil, err
		}
	}
	return nil, a.awaitIntents(ctx, l, intents)
}

// awaitMoment tells whether the intents went within Config.Moment.
func (a *Authority) awaitMoment(ctx context.Context, l *lead, intents []fsm.Intent) (gone bool, err error) {
	moment, cancel := context.WithTimeout(ctx, a.cfg.Moment)
	defer cancel()
	err = a.awaitIntents(moment, l, intents)
	if err != nil && moment.Err() != nil && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// sameRequest is how long that while is: the attempt is asked after in that time.
const sameRequest = 3 * queryFirst

// no is the vote of one that gives way.
func (a *Authority) no(k api.Key, why string) *fsm.Vote {
	a.metrics.gaveWay(1)
	return &fsm.Vote{Refused: &api.Error{Code: fsm.RetryIntents, Key: k, RetryAfter: retryIntent, Hint: why}}
}

// frozen tells whether one of the keys lies in a range that is being given up.
func (a *Authority) frozen(l *lead, keys []api.Key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range l.frozen {
		if slices.ContainsFunc(keys, f.Contains) {
			return true
		}
	}
	return false
}

// Resolve ends the group's part of a transaction as its decision group has said. Repeated, it does nothing.
func (a *Authority) Resolve(ctx context.Context, c fsm.Resolve) error {
	if err := a.ours(c.Group); err != nil {
		return err
	}
	if _, err := a.leader(ctx); err != nil {
		return err
	}
	began := time.Now()
	_, err := a.propose(ctx, c)
	a.metrics.resolved(time.Since(began))
	return err
}
