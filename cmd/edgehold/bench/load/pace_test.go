package load

import (
	"testing"
	"time"
)

// TestPace compares before with due.
func TestPace(t *testing.T) {
	start := time.Now()
	for _, rate := range []float64{0.1, 1, 3, 7.77, 1000, 123_457} {
		for i := range 3 {
			p := newPace(start, rate, i, 3)
			if got := p.before(start); got != 0 {
				t.Errorf("rate %v: %d are due before the start", rate, got)
			}
			for _, k := range []int64{0, 1, 2, 10, 999, 1_000_000} {
				at := p.due(k)
				if got := p.before(at); got != k {
					t.Errorf("rate %v: %d are due before operation %d", rate, got, k)
				}
				if got := p.before(at.Add(1)); got != k+1 {
					t.Errorf("rate %v: %d are due up to operation %d", rate, got, k)
				}
			}
		}
	}
	a, b := newPace(start, 100, 0, 2), newPace(start, 100, 1, 2)
	if b.due(0).Sub(a.due(0)) != 10*time.Millisecond || a.due(1).Sub(b.due(0)) != 10*time.Millisecond {
		t.Error("the operations of the two targets do not alternate")
	}
}
