package region

import (
	"github.com/edgehold/edgehold/api"
)

// rate watches the clock rate of one holder process against this replica's clock.
type rate struct {
	node     api.NodeID
	detector api.RateDetector
	off      bool
}

// maxRates bounds the processes whose clocks are watched.
const maxRates = 1 << 14

// observe takes the holder's clock from a keep-alive. A holder whose clock runs at another rate than leases allow gets
// no leases and no renewals while it does, and an alarm is raised.
func (r *Region) observe(k *api.KeepAlive, received api.ClockSample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.rates[k.Nonce]
	if w == nil {
		if len(r.rates) >= maxRates {
			return
		}
		w = &rate{node: k.Node}
		r.rates[k.Nonce] = w
	}
	w.detector.Observe(k.Clock, received)
	if off := w.detector.Off(); off != w.off {
		w.off = off
		if off {
			r.metrics.clockOff(k.Node)
			r.cfg.Logger.Error("the clock of a lease holder runs at a wrong rate: it gets no leases",
				"group", r.cfg.Group, "node", k.Node)
		}
	}
}

func (r *Region) clockOffLocked(n api.Nonce) bool {
	w := r.rates[n]
	return w != nil && w.off
}

// forgetRatesLocked drops the processes that hold no session any more.
func (r *Region) forgetRatesLocked(alive map[api.Nonce]bool) {
	for n := range r.rates {
		if !alive[n] {
			delete(r.rates, n)
		}
	}
}
