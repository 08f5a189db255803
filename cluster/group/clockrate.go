package group

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// rate compares the clock of one holder process with this node's clock, during one lead.
type rate struct {
	node     api.NodeID
	detector words.RateDetector
	slow     bool
}

// rates holds the rates of all holders. The authority's mutex guards it.
type rates struct {
	of map[process]*rate
	// doubted reports whether most of the holders look slow. Then it is this node's clock that is fast.
	doubted bool
}

// maxRates bounds the processes whose clocks are compared.
const maxRates = 1 << 14

// doubtedWait is the factor by which a grantor extends its wait for the expiry of a holder whose clock is too slow.
// It applies to all holders if the grantor's own clock is in doubt. It is enough for a clock that is twice as fast as
// the other.
const doubtedWait = 2

// observe records the holder's clock from a keep-alive. A holder whose clock is slower than leases allow gets no
// leases and no renewals while that lasts, and an alarm is raised. If most holders look slow, this node's clock is
// fast. Then this node gives no leases and waits longer for those that are out, which it renews as before.
func (a *Authority) observe(k *words.KeepAlive, received words.ClockSample) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := process{k.Node, k.Nonce}
	w := a.rates.of[p]
	if w == nil {
		if len(a.rates.of) >= maxRates {
			return
		}
		w = &rate{node: k.Node}
		a.rates.of[p] = w
	}
	w.detector.Observe(k.Clock, received)
	slow := w.detector.Slow()
	if slow == w.slow {
		return
	}
	w.slow = slow
	if a.judgeOwnClockLocked(); slow && !a.rates.doubted {
		a.metrics.clockOff(k.Node)
		a.cfg.Logger.Error("the clock of a lease holder is too slow: it gets no leases", "group", a.cfg.Group, "node", k.Node)
	}
}

// judgeOwnClockLocked sets doubted if at least two holders look slow and they are most of the known ones.
func (a *Authority) judgeOwnClockLocked() {
	slow, known := 0, 0
	for _, w := range a.rates.of {
		if w.slow {
			slow++
		}
		if w.slow || w.detector.Knows() {
			known++
		}
	}
	doubted := guardDoubtOwnClock && slow >= 2 && 2*slow > known
	if doubted && !a.rates.doubted {
		a.metrics.clockOff(a.cfg.Node)
		a.cfg.Logger.Error("most lease holders' clocks look slow, so this node's own is too fast: it gives no leases, and waits longer for holders",
			"group", a.cfg.Group, "node", a.cfg.Node, "slow", slow, "holders", known)
	}
	a.rates.doubted = doubted
}

// clockOffLocked reports whether the process must not be renewed because of its clock.
func (a *Authority) clockOffLocked(p process) bool {
	return !a.rates.doubted && a.slowLocked(p)
}

func (a *Authority) slowLocked(p process) bool {
	w := a.rates.of[p]
	return w != nil && w.slow
}

// waitLocked returns how long after its last extension a holder counts as expired.
func (a *Authority) waitLocked(h *holder) time.Duration {
	if a.rates.doubted || a.slowLocked(h.process()) {
		return doubtedWait * h.wait
	}
	return h.wait
}

// forgetRatesLocked drops the processes that no longer hold a session.
func (a *Authority) forgetRatesLocked(alive map[process]bool) {
	for n := range a.rates.of {
		if !alive[n] {
			delete(a.rates.of, n)
		}
	}
	a.judgeOwnClockLocked()
}

// resetLocked starts a new lead. Earlier observations are dropped because this node has not observed those clocks
// since.
func (x *rates) resetLocked() {
	*x = rates{of: map[process]*rate{}}
}
