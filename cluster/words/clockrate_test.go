package words

import (
	"testing"
	"time"
)

// TestRateDetector checks that deviations that leases allow for pass, with late keep-alives, and that greater ones are
// detected within a minute or so.
func TestRateDetector(t *testing.T) {
	at := func(d time.Duration) ClockSample { return ClockSample{Boottime: time.Hour + d, Raw: d} }
	seconds := func(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }
	for name, c := range map[string]struct {
		remote func(s float64) float64 // the holder's clock at second s
		late   func(s float64) float64 // how long the keep-alive of second s is on its way
		off    bool
	}{
		"exact":          {remote: func(s float64) float64 { return s }},
		"slow enough":    {remote: func(s float64) float64 { return s * 0.991 }},
		"fast enough":    {remote: func(s float64) float64 { return s * 1.009 }},
		"too slow":       {remote: func(s float64) float64 { return s * 0.96 }, off: true},
		"fast":           {remote: func(s float64) float64 { return s * 1.04 }}, // it ends its leases early
		"stands still":   {remote: func(float64) float64 { return 7 }, off: true},
		"paused for 3 s": {remote: func(s float64) float64 { return s - 3*float64(int(s)/75) }, off: true},
		"slow network":   {remote: func(s float64) float64 { return s }, late: func(float64) float64 { return 0.8 }},
		"late at times": {remote: func(s float64) float64 { return s }, late: func(s float64) float64 {
			return 1.5 * float64(int(s)/7%2) * float64(int(s)%2)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var d RateDetector
			off := false
			for s := 0.0; s < 100; s++ {
				late := 0.0
				if c.late != nil {
					late = c.late(s)
				}
				d.Observe(at(seconds(c.remote(s))), at(seconds(s+late)))
				off = off || d.Slow()
			}
			if off != c.off {
				t.Errorf("off = %v, want %v", off, c.off)
			}
		})
	}
}

// TestRateDetectorForgets checks that a clock that runs right again is accepted again.
func TestRateDetectorForgets(t *testing.T) {
	var d RateDetector
	for s := range 300 {
		remote := time.Duration(s) * time.Second
		if s > 60 {
			remote -= 5 * time.Second
		}
		local := time.Duration(s) * time.Second
		d.Observe(ClockSample{remote, remote}, ClockSample{local, local})
		if s == 70 && !d.Slow() {
			t.Error("a pause of 5 s was not seen")
		}
	}
	if d.Slow() {
		t.Error("a pause is held against the holder for ever")
	}
}
