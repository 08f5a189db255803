package clock

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/cluster/words"
)

func TestSystemMovesForward(t *testing.T) {
	c := System()
	a := c.Now()
	for range 1000 {
		b := c.Now()
		if b.Boottime < a.Boottime || b.Raw < a.Raw {
			t.Fatalf("the clock went back: %v, then %v", a, b)
		}
		a = b
	}
	if a == (words.ClockSample{}) {
		t.Error("the clock stands at zero")
	}
}

func TestPauseAllowance(t *testing.T) {
	for _, c := range []struct {
		source string
		want   time.Duration
	}{{"kvm-clock\n", KVMPause}, {"tsc\n", 0}, {"hyperv_clocksource_tsc_page\n", 0}} {
		file := filepath.Join(t.TempDir(), "current_clocksource")
		if err := os.WriteFile(file, []byte(c.source), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := PauseAllowance(file); got != c.want {
			t.Errorf("P is %v if the source is %q, want %v", got, c.source, c.want)
		}
	}
	if got := PauseAllowance(filepath.Join(t.TempDir(), "absent")); got != unknownPause {
		t.Errorf("P is %v if the source is not known, want %v", got, unknownPause)
	}
}

// TestFallback shows what the pair of other systems sees: sleep by the wall clock, a wall clock set back by the other.
func TestFallback(t *testing.T) {
	start := time.Now()
	var wall, mono time.Duration
	c := newFallback(func() time.Time { return start.Add(wall) }, func() time.Duration { return mono })
	for _, s := range []struct {
		name            string
		wall, mono      time.Duration
		holder, grantor time.Duration
	}{
		{"10 s pass", 10 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second},
		{"asleep for 20 of 30 s", 30 * time.Second, 10 * time.Second, 30 * time.Second, 10 * time.Second},
		{"wall clock set back by 1 h", 10*time.Second - time.Hour, 10 * time.Second, 10 * time.Second, 10*time.Second - time.Hour},
		{"wall clock set forward by 1 h", 10*time.Second + time.Hour, 10 * time.Second, 10*time.Second + time.Hour, 10 * time.Second},
	} {
		t.Run(s.name, func(t *testing.T) {
			wall, mono = 0, 0
			from := c.Now()
			wall, mono = s.wall, s.mono
			now := c.Now()
			if h, g := now.HolderElapsed(from), now.GrantorElapsed(from); h != s.holder || g != s.grantor {
				t.Errorf("a holder counts %v and a grantor %v, want %v and %v", h, g, s.holder, s.grantor)
			}
		})
	}
	a := goClocks()
	if from := a.Now(); a.Now().HolderElapsed(from) < 0 {
		t.Error("Go's clocks went back")
	}
}

// TestSimulated disturbs a clock for ten seconds and reads how far each hand went.
func TestSimulated(t *testing.T) {
	for _, c := range []struct {
		name      string
		disturb   func(*Simulated)
		boot, raw time.Duration
	}{
		{"undisturbed", func(*Simulated) {}, 10 * time.Second, 10 * time.Second},
		{"fast", func(s *Simulated) { s.SetRate(1.01) }, 10100 * time.Millisecond, 10100 * time.Millisecond},
		{"slewed", func(s *Simulated) { s.Slew(0.9) }, 9 * time.Second, 10 * time.Second},
		{"fast and slewed", func(s *Simulated) { s.SetRate(2); s.Slew(0.5) }, 10 * time.Second, 20 * time.Second},
		{"jumped", func(s *Simulated) { s.Jump(time.Minute) }, 70 * time.Second, 70 * time.Second},
		{"stopped", func(s *Simulated) { s.Stop() }, 0, 0},
		{"suspended", func(s *Simulated) { s.Suspend() }, 10 * time.Second, 0},
		{"suspended for a while", func(s *Simulated) { s.Suspend(); time.Sleep(4 * time.Second); s.Resume() }, 14 * time.Second, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewSimulated(time.Now)
				from := s.Now()
				c.disturb(s)
				time.Sleep(10 * time.Second)
				now := s.Now()
				if boot, raw := now.Boottime-from.Boottime, now.Raw-from.Raw; boot != c.boot || raw != c.raw {
					t.Errorf("BOOTTIME moved %v and RAW %v, want %v and %v", boot, raw, c.boot, c.raw)
				}
			})
		})
	}
}

func BenchmarkSystem(b *testing.B) {
	c := System()
	for b.Loop() {
		c.Now()
	}
}
