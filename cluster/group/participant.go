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

// Prepare makes the group vote on its part of a transaction. It revokes the leases on the keys that the part writes,
// so that no holder has one from then on. One log entry then validates the part and locks its keys. dropped are
// leases that the gateway has given up. A vote no is returned as a Vote too. An error is no vote. After CodeAmbiguous
// the part may be prepared; the caller may repeat the call, and the vote is the same.
//
// If the intents of other transactions are in the way, wait-die applies. A transaction that is older than all of them
// waits. A younger one gives way: its vote is no, with [fsm.RetryIntents]. A free transaction holds nothing in any
// group, so no other can be waiting for it, and it always waits.
func (a *Authority) Prepare(ctx context.Context, p *fsm.Prepare, dropped []ident.DroppedLease, free bool) (*fsm.Vote, error) {
	if err := a.ours(p.Group); err != nil {
		return nil, err
	}
	own := *p
	own.Txn.Age = clamped(p.Txn.Age)
	return a.vote(ctx, &ballot{ref: &own.Txn, said: p.Txn.Age, conds: p.If, ops: p.Then, dropped: dropped, free: free,
		command: func(l *lead, c *clearance) fsm.Command {
			q := own
			q.Term, q.Cleared, q.Killed, q.Now = l.term, c.cleared, c.killed, a.stamp(l, q.Then)
			return q
		}})
}

// CommitLast is Prepare for the last participant, which commits at once. This group must be the decision group. A
// refusal ends the attempt: Vote.Decision then says that it was aborted, so no later copy of the message can commit
// it. Without a Decision the abort is not certain.
func (a *Authority) CommitLast(ctx context.Context, p *fsm.CommitLast, dropped []ident.DroppedLease) (*fsm.Vote, error) {
	if err := a.ours(p.Txn.ID.Decider); err != nil {
		return nil, err
	}
	if err := a.cfg.Machine.TakesOutcomes(len(p.Outcomes)); err != nil {
		return nil, err
	}
	own := *p
	own.Txn.Age = clamped(p.Txn.Age)
	v, err := a.vote(ctx, &ballot{ref: &own.Txn, said: p.Txn.Age, conds: p.If, ops: p.Then, dropped: dropped,
		command: func(l *lead, c *clearance) fsm.Command {
			q := own
			q.Term, q.Cleared, q.Killed, q.Now = l.term, c.cleared, c.killed, a.stamp(l, q.Then)
			return q
		}})
	if err == nil && v.Refused != nil && v.Refused.Code != fsm.Finished && guardRefusedLast {
		v = a.abortRefused(ctx, &own, v)
	}
	return v, err
}

// abortRefused aborts, in this decision group, an attempt whose last part was refused. The coordinator would do the
// same, but one message delay later in each direction, and meanwhile the other participants would keep their locks.
func (a *Authority) abortRefused(ctx context.Context, p *fsm.CommitLast, no *fsm.Vote) *fsm.Vote {
	res, err := a.propose(ctx, fsm.Decide{Txn: p.Txn, AckedBelow: p.AckedBelow, Outcome: ident.TxnAborted})
	switch d := res.Decision; {
	case err != nil || d == nil: // the coordinator aborts the attempt
		return no
	case d.Outcome == ident.TxnCommitted: // committed by another copy of the message
		return &fsm.Vote{Decision: d, Timing: no.Timing}
	default:
		out := *no
		out.Decision = d
		return &out
	}
}

// ballot is what a participant votes on.
type ballot struct {
	ref     *ident.TxnRef // with the age limited to what this node accepts
	said    uint64        // the age as the gateway reports it
	conds   []api.Cond
	ops     []api.Op
	dropped []ident.DroppedLease
	free    bool
	// command returns the command to propose, judged by the lead, with the leases that were cleared.
	command func(l *lead, c *clearance) fsm.Command
}

// keys returns the keys that the ballot writes, and the keys that it tests or reads.
func (b *ballot) keys() (written, read []api.Key) {
	t := api.Txn{If: b.conds, Then: b.ops}
	return t.WrittenKeys(), t.Keys()
}

// position returns the ballot's position. The position is not in the queue yet.
func (b *ballot) position(written, read []api.Key) *position {
	t := positionOf(*b.ref, written, read)
	if b.said != 0 {
		t.said = b.said
	}
	return t
}

// clamped returns the age of a gateway's request, limited to what this node accepts.
func clamped(age uint64) uint64 { return words.ClampAge(age, time.Now(), words.MaxAge) }

func (a *Authority) vote(ctx context.Context, b *ballot) (*fsm.Vote, error) {
	l, err := a.leader(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.cfg.Machine.Takes(&api.Txn{If: b.conds, Then: b.ops}); err != nil {
		return nil, err
	}
	written, read := b.keys()
	if a.frozen(l, read) {
		return nil, unavailable("the range of a key is being given to another group")
	}
	a.latch(l, written)
	defer a.unlatch(l, written)
	w := writing{waiter: waiter{Authority: a, lead: l, position: b.position(written, read)}, dropped: b.dropped}
	defer w.voted()
	if intents, prepared := a.blocking(b.ref.ID, written, read); !prepared { // if prepared, it votes as it did before
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
		if err := w.endOverdue(ctx, written, read); err != nil {
			return nil, err
		}
	}
	holders := a.cfg.Machine.Holders(written)
	for {
		if guardRevokeAtPrepare {
			if err := w.clearAll(ctx, holders); err != nil {
				return nil, err
			}
		}
		if len(holders) > 0 { // it has waited, and an older read may have been queued meanwhile
			if no, err := w.awaitOlder(ctx, b); no != nil || err != nil {
				return no, err
			}
			if err := w.endOverdue(ctx, written, read); err != nil {
				return nil, err
			}
		}
		res, err := w.propose(ctx, b.command(l, &w.gained))
		if err != nil {
			return nil, err
		}
		if res.Err == nil {
			return &fsm.Vote{Txn: w.withTTL(&res), Decision: res.Decision, Timing: w.timing}, nil
		}
		holders = nil
		switch intents := w.inTheWay(&res, read); {
		case res.Err.Code == fsm.RetryLeases:
			holders = res.Holders
		case len(intents) > 0:
			if no, err := w.giveWay(ctx, b, intents); no != nil || err != nil {
				return no, err
			}
		case res.Err.Code == api.CodeNotLeader: // the term was over: this is no vote, and another leader has one
			return nil, res.Err
		default:
			return &fsm.Vote{Refused: res.Err, Stored: res.Stored, Decision: res.Decision}, nil
		}
		if ctx, err = again(ctx); err != nil {
			return nil, err
		}
	}
}

// inTheWay returns the intents because of which the machine has refused the ballot.
func (w *writing) inTheWay(res *fsm.Result, read []api.Key) []fsm.Intent {
	switch res.Err.Code {
	case fsm.RetryIntents:
		return res.Intents
	case api.CodeUnavailable: // the key has reached its limit of readers
		return w.crowded(read)
	}
	return nil
}

// voted ends the ballot's position, and the position that a read for its transaction has kept here.
func (w *writing) voted() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lead.queue.end(w.position)
	w.lead.queue.endHeld(w.position.said, func(*position) bool { return true })
}

// giveWay waits for the intents if the ballot's transaction is older than all transactions that hold them. Otherwise
// it votes no. It also votes no if an older request waits for a key that the ballot would lock. A free ballot waits
// in both cases instead.
//
// Before it votes no because of an older transaction, it waits for a moment, since an intent often belongs to a
// transaction that is decided and about to be resolved here. That wait is short and always ends, so a cycle of such
// waits cannot last.
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

// awaitOlder makes a free ballot wait for the older requests that wait for keys it would lock. Any other ballot votes
// no if there is one.
func (w *writing) awaitOlder(ctx context.Context, b *ballot) (no *fsm.Vote, err error) {
	older := func(q *queue) (o *position) {
		o, _ = q.older(w.position)
		return o
	}
	if b.free {
		return nil, w.awaitPositions(ctx, w.lead, older)
	}
	w.mu.Lock()
	w.lead.queue.expire(time.Now())
	o, k := w.lead.queue.older(w.position)
	w.mu.Unlock()
	if o == nil {
		return nil, nil
	}
	return w.no(k, "an older request waits for the key"), nil
}

// awaitAttempts waits for the intents. Some may belong to an earlier attempt of the ballot's own request. If the same
// gateway made that attempt, it has given the attempt up, and the intents go soon. If another gateway made it, that
// attempt may be waiting for the ballot's attempt elsewhere. So after sameRequest the ballot gives way.
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

// awaitMoment reports whether the intents were gone within Config.Moment.
func (a *Authority) awaitMoment(ctx context.Context, l *lead, intents []fsm.Intent) (gone bool, err error) {
	moment, cancel := context.WithTimeout(ctx, a.cfg.Moment)
	defer cancel()
	err = a.awaitIntents(moment, l, intents)
	if err != nil && moment.Err() != nil && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// sameRequest is how long a ballot waits for another attempt of its own request. The decision group is asked for that
// attempt in this time.
const sameRequest = 3 * queryFirst

// no returns the vote of a ballot that gives way.
func (a *Authority) no(k api.Key, why string) *fsm.Vote {
	a.metrics.gaveWay(1)
	return &fsm.Vote{Refused: &api.Error{Code: fsm.RetryIntents, Key: k, RetryAfter: retryIntent, Hint: why}}
}

// frozen reports whether one of the keys lies in a range that is being ceded.
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

// ResolveHint takes note that the transaction may be over: the group asks the decision group, and resolves what that
// says. It does not wait for that, and does nothing if nothing of the transaction is prepared here.
func (a *Authority) ResolveHint(ctx context.Context, g api.GroupID, id ident.TxnID) error {
	if err := a.ours(g); err != nil {
		return err
	}
	l, err := a.leader(ctx)
	if err != nil {
		return err
	}
	ref, prepared := a.cfg.Machine.PreparedRef(id)
	if !prepared {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	l.hints.add(errand{ref, id.Decider})
	a.runLocked(l, &l.hints, func(x errand) { a.settle(x.txn, false) })
	return nil
}

// Resolve ends the group's part of a transaction as its decision group has decided. Repeated, it does nothing.
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
