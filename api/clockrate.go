package api

import "time"

// RateDetector tells whether a holder's clock runs at another rate than leases allow (PROTOCOL 4). It compares the clock
// that comes with keep-alives to the grantor's own over 30 to 60 s; keep-alives that were long on their way are allowed
// for. The zero value is ready. Not safe for concurrent use.
type RateDetector struct {
	samples []clockPair // one for each rateSlot, the oldest first; of each slot the one that was fastest on its way
	slot    ClockSample // local begin of the newest slot
	bad     int         // observations in a row that were off
}

type clockPair struct{ remote, local ClockSample }

const (
	rateSlot     = 5 * time.Second
	rateSlots    = 13
	rateBaseline = 30 * time.Second
	rateJitter   = time.Second
)

// Observe takes the holder's clock as of sending, and one's own as of receipt.
func (d *RateDetector) Observe(remote, local ClockSample) {
	now := clockPair{remote, local}
	if d.offSince(now) {
		d.bad++
	} else {
		d.bad = 0
	}
	n := len(d.samples)
	switch {
	case n == 0 || local.GrantorElapsed(d.slot) >= rateSlot:
		if n == rateSlots {
			d.samples = append(d.samples[:0], d.samples[1:]...)
		}
		d.samples, d.slot = append(d.samples, now), local
	case remote.HolderElapsed(d.samples[n-1].remote) > local.GrantorElapsed(d.samples[n-1].local):
		d.samples[n-1] = now
	}
}

// offSince compares with all samples that are old enough.
func (d *RateDetector) offSince(now clockPair) bool {
	for _, old := range d.samples {
		mine := now.local.GrantorElapsed(old.local)
		if mine < rateBaseline {
			return false
		}
		difference := now.remote.HolderElapsed(old.remote) - mine
		if difference.Abs() > time.Duration(ClockRateError*float64(mine))+rateJitter {
			return true
		}
	}
	return false
}

// Off tells whether the clock's rate is off. One late keep-alive is not enough.
func (d *RateDetector) Off() bool { return d.bad >= 2 }
