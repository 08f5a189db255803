package group

import (
	"context"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// timeOf returns the time of the group, in milliseconds: what the log said when l's term began here, and what has passed since by the
// smaller of this node's two clocks. It is a lower bound of the time that has passed with a leader, whatever a clock jumps or a
// suspend hides: time that no leader counted does not count.
func (a *Authority) timeOf(l *lead) uint64 {
	now := a.cfg.Clock.Now()
	elapsed := now.GrantorElapsed(l.timed)
	if !guardGroupTime { // the mutant: a clock that jumps
		elapsed = now.HolderElapsed(l.timed)
	}
	return l.time + uint64(max(elapsed, 0)/time.Millisecond)
}

// now returns the time of the group, or 0 if the group keeps none yet.
func (a *Authority) now(l *lead) uint64 {
	if a.cfg.Machine.Level() < fsm.Level5 {
		return 0
	}
	return a.timeOf(l)
}

// stamp returns the Now of a command that l proposes with the steps: 0 if neither a step nor a key has a deadline, or the group
// keeps no time yet.
func (a *Authority) stamp(l *lead, branches ...[]api.Op) uint64 {
	meta := a.cfg.Machine.Meta()
	if meta.Level < fsm.Level5 {
		return 0
	}
	needed := meta.Deadlines > 0
	for _, ops := range branches {
		needed = needed || slices.ContainsFunc(ops, func(o api.Op) bool { return o.TTL != 0 })
	}
	if !needed {
		return 0
	}
	return a.timeOf(l)
}

// hasDeadlines reports whether a key of the group has a deadline.
func (a *Authority) hasDeadlines() bool { return a.cfg.Machine.Meta().Deadlines > 0 }

// minLeft is the least that an answer says of a key that is still there, however late its end is.
const minLeft = time.Millisecond

// setTTL sets what the entries have left to live at the time of the group. There are as many deadlines as entries, or none.
func setTTL(entries []api.Entry, deadlines []uint64, now uint64) {
	for i, d := range deadlines {
		if d == 0 || i >= len(entries) {
			continue
		}
		entries[i].TTL = minLeft
		if d > now {
			entries[i].TTL = time.Duration(d-now) * time.Millisecond
		}
	}
}

// withTTL returns the result of a transaction, with what its keys have left to live at this leader's time.
func (w *writing) withTTL(res *fsm.Result) *api.TxnResult {
	if res.Txn == nil || len(res.Deadlines) == 0 {
		return res.Txn
	}
	out := *res.Txn
	out.Entries = slices.Clone(out.Entries) // those of a result may be shared
	setTTL(out.Entries, res.Deadlines, w.timeOf(w.lead))
	return &out
}

// tellTTL sets what the keys have left to live at this leader's time.
func (a *Authority) tellTTL(l *lead, x seen) {
	now := a.timeOf(l)
	setTTL(x.entries, x.deadlines, now)
	if !guardExpiryLogged { // the mutant: the leader's clock hides what the log has
		for i, d := range x.deadlines {
			if d != 0 && d <= now {
				x.entries[i] = api.Entry{Key: x.entries[i].Key, Version: x.entries[i].Version}
			}
		}
	}
}

// overduePatience is how long a request waits for the end of an overdue key that it names.
const overduePatience = 100 * time.Millisecond

// overdue returns the keys whose deadline has passed by l's clock and which are still there.
func (a *Authority) overdue(l *lead, keys []api.Key) []fsm.Due {
	if !a.hasDeadlines() {
		return nil
	}
	return a.cfg.Machine.Overdue(keys, a.timeOf(l))
}

// awaitOverdue waits until none of the keys is overdue, at most for overduePatience, and returns those that still are. What the
// log says of them is true until they have ended there.
func (a *Authority) awaitOverdue(ctx context.Context, l *lead, keys []api.Key) []fsm.Due {
	due := a.overdue(l, keys)
	if len(due) == 0 {
		return nil
	}
	patience := time.NewTimer(overduePatience)
	defer patience.Stop()
	for {
		a.mu.Lock()
		ended := l.expired
		a.mu.Unlock()
		if due = a.overdue(l, keys); len(due) == 0 {
			return nil
		}
		prompt(a.dueNow)
		select {
		case <-ended:
			continue
		case <-patience.C:
		case <-l.ended:
		case <-a.ctx.Done():
		case <-ctx.Done():
		}
		return due
	}
}

// endOverdueOf ends the overdue keys that t names.
func (w *writing) endOverdueOf(ctx context.Context, t *words.Txn) error {
	if !w.hasDeadlines() {
		return nil
	}
	return w.endOverdue(ctx, t.WrittenKeys(), t.Keys())
}

// endOverdue ends the overdue keys that a transaction names, so that it finds them absent. For holders of the keys that it writes it
// waits as it does in any case. For what else is in the way it waits for overduePatience, and then sees what the log says. An error
// means that the transaction was not proposed.
func (w *writing) endOverdue(ctx context.Context, written, named []api.Key) error {
	for cleared := false; ; cleared = true {
		due := w.overdue(w.lead, named)
		if len(due) == 0 {
			return nil
		}
		c := expire(w.lead, due, &w.gained)
		c.Now = w.timeOf(w.lead)
		res, err := w.Authority.propose(ctx, c)
		if err != nil {
			return notWritten(err)
		}
		w.keysEnded(w.lead, due, &res)
		if len(res.Left) == 0 {
			return nil
		}
		holders := slices.DeleteFunc(res.Holders, func(h fsm.Holder) bool { return !slices.Contains(written, h.Key) })
		if cleared || len(holders) == 0 {
			w.awaitOverdue(ctx, w.lead, res.Left)
			return nil
		}
		if err := w.clearAll(ctx, holders); err != nil {
			return err
		}
	}
}

// expire returns the command that ends the keys, without its Now.
func expire(l *lead, due []fsm.Due, c *clearance) fsm.Expire {
	x := fsm.Expire{Term: l.term, Cleared: c.cleared, Killed: c.killed, Keys: make([]fsm.KeyVersion, len(due))}
	for i := range due {
		x.Keys[i] = fsm.KeyVersion{Key: due[i].Key, Version: due[i].Version}
	}
	return x
}

// keysEnded counts the keys that an Expire has ended, and wakes the requests that wait for that.
func (a *Authority) keysEnded(l *lead, due []fsm.Due, res *fsm.Result) {
	now, left := a.timeOf(l), res.Left
	for i := range due {
		if len(left) > 0 && left[0] == due[i].Key {
			left = left[1:]
			continue
		}
		a.metrics.keyEnded(time.Duration(now-min(now, due[i].Deadline)) * time.Millisecond)
	}
	if len(res.Left) == len(due) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	close(l.expired)
	l.expired = make(chan struct{})
}

// keysOf returns the keys.
func keysOf(due []fsm.Due) []api.Key {
	keys := make([]api.Key, len(due))
	for i := range due {
		keys[i] = due[i].Key
	}
	return keys
}

// anyOverdue returns the keys of the entries whose deadline has passed.
func anyOverdue(entries []api.Entry, deadlines []uint64, now uint64) (keys []api.Key) {
	for i, d := range deadlines {
		if d != 0 && d <= now {
			keys = append(keys, entries[i].Key)
		}
	}
	return slices.Clip(keys)
}

// overdueIn returns the keys of all pages whose deadline has passed.
func overdueIn(page *api.ListResult, at *fsm.ListedAt, now uint64) []api.Key {
	late := anyOverdue(page.Entries, at.Deadlines, now)
	for i, deadlines := range at.Also {
		late = append(late, anyOverdue(page.Also[i].Entries, deadlines, now)...)
	}
	return late
}

// setTTLs is setTTL for all pages.
func setTTLs(page *api.ListResult, at *fsm.ListedAt, now uint64) {
	setTTL(page.Entries, at.Deadlines, now)
	for i, deadlines := range at.Also {
		setTTL(page.Also[i].Entries, deadlines, now)
	}
}

// noteDeadlines wakes the expirer if a command has made a deadline that is earlier than the next that it knows. If the expirer has
// looked beyond the deadline, it looks again: the command was long on its way.
func (a *Authority) noteDeadlines(ds []uint64) {
	next, looked := a.nextDue.Load(), a.lookedTo.Load()
	wake := false
	for _, d := range ds {
		if d == 0 {
			continue
		}
		wake = wake || d < next
		if d <= looked {
			a.lookAgain.Store(true)
		}
	}
	if wake {
		prompt(a.dueNow)
	}
}
