package region

import (
	"io"
	"math"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm"
)

// Machine is the group's machine as its replica sees it: applying a command also brings the region's volatile state up
// to date. It never waits for anything but mutexes.
type Machine struct{ r *Region }

var (
	_ replica.Machine[fsm.Result] = (*Machine)(nil)
	_ replica.Durable             = (*Machine)(nil)
)

// Machine is what to give to replica.Open.
func (r *Region) Machine() *Machine { return &Machine{r} }

// Apply applies the log entry of that index and term. Only the replica calls it, one call at a time. After an error the
// machine does not go on with the log, so this node's lead ends.
func (m *Machine) Apply(index, term uint64, commands [][]byte) ([]fsm.Result, error) {
	m.r.endBelow(api.Term(term))
	results, err := m.r.cfg.Machine.Apply(index, api.Term(term), commands)
	if err != nil {
		m.r.endBelow(math.MaxUint64)
		return nil, err
	}
	m.r.applied(api.Term(term), results)
	return results, nil
}

// Snapshot is one atomic view of all the machine's state.
func (m *Machine) Snapshot() (replica.Snapshot, error) { return m.r.cfg.Machine.Snapshot() }

// Restore replaces the machine's state. What this replica had noted about sessions counts anew.
func (m *Machine) Restore(from io.Reader) error {
	err := m.r.cfg.Machine.Restore(from)
	m.replaced()
	return err
}

// Applied, Flush, Checkpoint and Adopt are for a machine whose engine is durable: replica.Config.State.

// Applied is the index of the newest entry that the state holds.
func (m *Machine) Applied() uint64 { return m.r.cfg.Machine.Applied() }

// Flush brings to disk what has applied.
func (m *Machine) Flush() error { return m.r.cfg.Machine.Flush() }

// Checkpoint makes dir a copy of the state.
func (m *Machine) Checkpoint(dir string) error { return m.r.cfg.Machine.Checkpoint(dir) }

// Adopt is Restore from a checkpoint.
func (m *Machine) Adopt(dir string) error {
	err := m.r.cfg.Machine.Adopt(dir)
	m.replaced()
	return err
}

// replaced: the state is another one.
func (m *Machine) replaced() {
	r := m.r
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked()
	clear(r.suspected)
	r.ready = r.ready || r.cfg.Machine.Meta().Initialized
	r.announceLocked()
}

// endBelow ends the lead of a term that is over.
func (r *Region) endBelow(term api.Term) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lead != nil && r.lead.term < term {
		r.endLocked()
	}
}

func (r *Region) endLocked() {
	if r.lead == nil {
		return
	}
	close(r.lead.ended)
	r.lead = nil
	r.announceLocked()
}

// applied takes note of what the commands of one entry did. The clock is read after they have applied.
func (r *Region) applied(term api.Term, results []fsm.Result) {
	var now api.ClockSample
	locked := false
	for i := range results {
		res := &results[i]
		e := &res.Effect
		if e.Kind == 0 && res.Session.IsZero() && e.Resolved == nil && e.Decided == nil {
			continue
		}
		if !locked {
			locked, now = true, r.cfg.Clock.Now()
			r.mu.Lock()
			defer r.mu.Unlock()
		}
		r.effectLocked(term, res, now)
	}
	if !locked {
		r.mu.Lock()
		defer r.mu.Unlock()
	}
	if !r.ready && r.cfg.Machine.Meta().Initialized {
		r.ready = true
		r.announceLocked()
	}
}

func (r *Region) effectLocked(term api.Term, res *fsm.Result, now api.ClockSample) {
	e := res.Effect
	switch e.Kind {
	case fsm.EffectTermStart:
		if r.lead != nil && r.lead.term == term {
			return // proposed twice: what this term has refused stays refused
		}
		r.endLocked()
		if e.Node == r.cfg.Node {
			r.lead = newLead(&r.cfg, term, res.Index, now)
			r.rates.resetLocked()
			r.announceLocked()
			r.signal()
		}
	case fsm.EffectSuspect:
		for _, sid := range e.Sessions {
			if _, known := r.suspected[sid]; !known {
				r.suspected[sid] = now
			}
		}
	case fsm.EffectUnsuspect:
		for _, sid := range e.Sessions {
			delete(r.suspected, sid)
		}
	case fsm.EffectKilled:
		prompt(r.ended)
		for _, sid := range e.Sessions {
			delete(r.suspected, sid)
			if r.lead != nil {
				r.lead.gone(sid)
			}
		}
	}
	if r.lead != nil && e.Resolved != nil {
		r.lead.resolvedLocked(*e.Resolved)
	}
	if r.lead != nil && e.Decided != nil {
		r.lead.committed = append(r.lead.committed, *e.Decided)
		r.signal()
	}
	if r.lead != nil && !res.Session.IsZero() {
		// A new session's first base. The holder counts from before it asked.
		r.lead.extended[res.Session] = now
	}
}
