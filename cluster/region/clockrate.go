package region

import (
	"time"

	"github.com/edgehold/edgehold/api"
)

// rate watches the clock of one holder process against this node's, in one lead.
type rate struct {
	node     api.NodeID
	detector api.RateDetector
	slow     bool
}

// rates are those of all holders. The region's mutex guards them.
type rates struct {
	of map[api.Nonce]*rate
	// doubted: most of the holders look slow. Then it is this node's clock that is fast.
	doubted bool
}

// maxRates bounds the processes whose clocks are watched.
const maxRates = 1 << 14

// doubtedWait is how much longer a grantor waits for the expiry of holders whose clock is too slow for its own, or all of
// them if its own is in doubt: enough for a clock that is twice as fast as the other.
const doubtedWait = 2

// observe takes the holder's clock from a keep-alive. A holder whose clock is slower than leases allow gets no leases and no
// renewals while it is, and an alarm is raised. If most holders look so, this node's clock is fast: then it gives no leases,
// and waits longer for those that are out, which are renewed as before.
func (r *Region) observe(k *api.KeepAlive, received api.ClockSample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.rates.of[k.Nonce]
	if w == nil {
		if len(r.rates.of) >= maxRates {
			return
		}
		w = &rate{node: k.Node}
		r.rates.of[k.Nonce] = w
	}
	w.detector.Observe(k.Clock, received)
	slow := w.detector.Slow()
	if slow == w.slow {
		return
	}
	w.slow = slow
	if r.judgeOwnClockLocked(); slow && !r.rates.doubted {
		r.metrics.clockOff(k.Node)
		r.cfg.Logger.Error("the clock of a lease holder is too slow: it gets no leases", "group", r.cfg.Group, "node", k.Node)
	}
}

// judgeOwnClockLocked doubts this node's own clock if two holders or more look slow, and they are most of those that are known.
func (r *Region) judgeOwnClockLocked() {
	slow, known := 0, 0
	for _, w := range r.rates.of {
		if w.slow {
			slow++
		}
		if w.slow || w.detector.Knows() {
			known++
		}
	}
	doubted := guardDoubtOwnClock && slow >= 2 && 2*slow > known
	if doubted && !r.rates.doubted {
		r.metrics.clockOff(r.cfg.Node)
		r.cfg.Logger.Error("most lease holders' clocks look slow, so this node's own is too fast: it gives no leases, and waits longer for holders",
			"group", r.cfg.Group, "node", r.cfg.Node, "slow", slow, "holders", known)
	}
	r.rates.doubted = doubted
}

// clockOffLocked reports whether the process is not to be renewed because of its clock.
func (r *Region) clockOffLocked(n api.Nonce) bool {
	return !r.rates.doubted && r.slowLocked(n)
}

func (r *Region) slowLocked(n api.Nonce) bool {
	w := r.rates.of[n]
	return w != nil && w.slow
}

// waitLocked is how long after its last extension a holder is taken for expired.
func (r *Region) waitLocked(h *holder) time.Duration {
	if r.rates.doubted || r.slowLocked(h.nonce) {
		return doubtedWait * h.wait
	}
	return h.wait
}

// forgetRatesLocked drops the processes that hold no session any more.
func (r *Region) forgetRatesLocked(alive map[api.Nonce]bool) {
	for n := range r.rates.of {
		if !alive[n] {
			delete(r.rates.of, n)
		}
	}
	r.judgeOwnClockLocked()
}

// resetLocked begins a lead: what was seen before is of clocks that this node has not watched since.
func (x *rates) resetLocked() {
	*x = rates{of: map[api.Nonce]*rate{}}
}
