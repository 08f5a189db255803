package words

import "time"

// RateDetector detects whether a holder's clock is slower than its grantor's by more than leases allow.
// Such a holder would go on to use a lease after the grantor has taken it for expired. The detector compares the clock
// that comes with keep-alives to the grantor's own over 30 to 60 s. It allows for keep-alives that were long on their
// way.
//
// Each side is counted as it counts leases: the holder by the greater of its two clocks, the grantor by the smaller of
// its own. So a clock that is slewed, or that stands still at the grantor, makes no holder look slow. A holder that is
// faster ends its leases early, which is safe.
//
// The zero value is ready to use. A RateDetector is not safe for concurrent use.
type RateDetector struct {
	samples []clockPair // one for each rateSlot, the oldest first; in each slot the one that was fastest on its way
	slot    ClockSample // local begin of the newest slot
	bad     int         // slow observations in a row
}

type clockPair struct{ remote, local ClockSample }

const (
	rateSlot     = 5 * time.Second
	rateSlots    = 13
	rateBaseline = 30 * time.Second
	rateJitter   = time.Second
	rateBad      = 2 // one late keep-alive is not enough
)

// Observe takes the holder's clock at sending and the grantor's own clock at receipt.
func (d *RateDetector) Observe(remote, local ClockSample) {
	now := clockPair{remote, local}
	if d.slowSince(now) {
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

// slowSince reports whether the holder's clock is too slow compared with any sample that is old enough.
func (d *RateDetector) slowSince(now clockPair) bool {
	for _, old := range d.samples {
		mine := now.local.GrantorElapsed(old.local)
		if mine < rateBaseline {
			return false
		}
		behind := mine - now.remote.HolderElapsed(old.remote)
		if behind > time.Duration(ClockRateError*float64(mine))+rateJitter {
			return true
		}
	}
	return false
}

// Slow reports whether the holder's clock is too slow for the grantor's, or the grantor's too fast for the holder's.
func (d *RateDetector) Slow() bool { return d.bad >= rateBad }

// Knows reports whether there are samples that are old enough to compare with.
func (d *RateDetector) Knows() bool {
	n := len(d.samples)
	return n > 0 && d.slot.GrantorElapsed(d.samples[0].local) >= rateBaseline
}
