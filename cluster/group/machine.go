package group

import (
	"io"
	"math"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// Machine is the group's machine as its replica sees it. Applying a command also updates the authority's volatile
// state. Apart from mutexes, Machine never waits.
type Machine struct{ r *Authority }

var (
	_ replica.Machine[fsm.Result] = (*Machine)(nil)
	_ replica.Durable             = (*Machine)(nil)
)

// Machine returns the machine to pass to replica.Open.
func (a *Authority) Machine() *Machine { return &Machine{a} }

// Apply applies the log entry of the given index and term. Only the replica calls it, one call at a time. After an
// error the machine does not continue with the log, so this node's lead ends.
func (m *Machine) Apply(index, term uint64, commands [][]byte) ([]fsm.Result, error) {
	m.r.endBelow(api.Term(term))
	began := time.Now()
	results, err := m.r.cfg.Machine.Apply(index, api.Term(term), commands)
	if err != nil {
		m.r.endBelow(math.MaxUint64)
		return nil, err
	}
	m.r.applied(api.Term(term), results)
	m.r.applyTook.Store(max(m.r.applyTook.Load(), int64(time.Since(began))))
	return results, nil
}

// Snapshot returns one atomic view of all the machine's state.
func (m *Machine) Snapshot() (replica.Snapshot, error) { return m.r.cfg.Machine.Snapshot() }

// Restore replaces the machine's state. The times that this replica has recorded about sessions are dropped and count
// anew.
func (m *Machine) Restore(from io.Reader) error {
	err := m.r.cfg.Machine.Restore(from)
	m.replaced()
	return err
}

// Applied, Flush, Checkpoint and Adopt are for a machine whose engine is durable: replica.Config.State.

// Applied returns the index of the newest entry that the state holds.
func (m *Machine) Applied() uint64 { return m.r.cfg.Machine.Applied() }

// Flush writes to disk what has applied.
func (m *Machine) Flush() error { return m.r.cfg.Machine.Flush() }

// Checkpoint writes a copy of the state to dir.
func (m *Machine) Checkpoint(dir string) error { return m.r.cfg.Machine.Checkpoint(dir) }

// Adopt replaces the machine's state as Restore does, from a checkpoint.
func (m *Machine) Adopt(dir string) error {
	err := m.r.cfg.Machine.Adopt(dir)
	m.replaced()
	return err
}

// replaced resets the authority's volatile state after the machine's state was replaced.
func (m *Machine) replaced() {
	r := m.r
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked()
	clear(r.suspected)
	r.ready = r.ready || r.cfg.Machine.Meta().Initialized
	r.announceLocked()
}

// endBelow ends the lead if its term is below the given one.
func (a *Authority) endBelow(term api.Term) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lead != nil && a.lead.term < term {
		a.endLocked()
	}
}

func (a *Authority) endLocked() {
	if a.lead == nil {
		return
	}
	close(a.lead.ended)
	a.lead = nil
	a.announceLocked()
}

// applied updates the volatile state with the effects of one entry's commands. It reads the clock after they have
// applied.
func (a *Authority) applied(term api.Term, results []fsm.Result) {
	if !guardLedTime {
		if t := a.cfg.Machine.Now(); t != a.stamped.time {
			a.stamped.time, a.stamped.at = t, a.cfg.Clock.Now()
		}
	}
	var now words.ClockSample
	locked := false
	for i := range results {
		res := &results[i]
		if len(res.Deadlines) > 0 {
			a.noteDeadlines(res.Deadlines)
		}
		e := &res.Effect
		if e.Kind == 0 && res.Session.IsZero() && e.Resolved == nil && e.Decided == nil {
			continue
		}
		if !locked {
			locked, now = true, a.cfg.Clock.Now()
			a.mu.Lock()
			defer a.mu.Unlock()
		}
		a.effectLocked(term, res, now)
	}
	if !locked {
		a.mu.Lock()
		defer a.mu.Unlock()
	}
	if a.lead != nil && a.lead.hub != nil {
		a.lead.hub.offer(results)
	}
	if !a.ready && a.cfg.Machine.Meta().Initialized {
		a.ready = true
		a.announceLocked()
	}
}

func (a *Authority) effectLocked(term api.Term, res *fsm.Result, now words.ClockSample) {
	e := res.Effect
	switch e.Kind {
	case fsm.EffectTermStart:
		if a.lead != nil && a.lead.term == term {
			return // proposed twice; what this term has refused stays refused
		}
		a.endLocked()
		if e.Node == a.cfg.Node {
			a.lead = newLead(&a.cfg, term, res.Index, now)
			if !guardLedTime && a.stamped.at != (words.ClockSample{}) {
				a.lead.timed = a.stamped.at
			}
			a.rates.resetLocked()
			a.announceLocked()
			a.signal()
			prompt(a.dueNow)
		}
	case fsm.EffectSuspect:
		for _, sid := range e.Sessions {
			if _, known := a.suspected[sid]; !known {
				a.suspected[sid] = now
			}
		}
	case fsm.EffectUnsuspect:
		for _, sid := range e.Sessions {
			delete(a.suspected, sid)
		}
	case fsm.EffectKilled:
		prompt(a.ended)
		for _, sid := range e.Sessions {
			delete(a.suspected, sid)
			if a.lead != nil {
				a.lead.gone(sid)
			}
		}
	}
	if a.lead != nil && e.Resolved != nil {
		a.lead.resolvedLocked(*e.Resolved)
		if a.hasDeadlines() { // what becomes visible may be overdue already
			a.lookAgain.Store(true)
			prompt(a.dueNow)
		}
	}
	if a.lead != nil && e.Decided != nil {
		a.lead.committed = append(a.lead.committed, *e.Decided)
		a.signal()
	}
	if a.lead != nil && !res.Session.IsZero() {
		// This is the first base of a new session. The holder counts from before it asked.
		a.lead.extended[res.Session] = now
	}
}
