package replica

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestDiskHangs: when the leader's disk hangs, another member takes over, although the leader would send heartbeats for ever.
// Config.OnStuck is called once. When the disk answers again, the member takes part again.
func TestDiskHangs(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		g.must(l, "before")
		l.disk.Hang()
		start := time.Now()
		rep := l.rep
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := rep.Propose(t.Context(), []byte("hangs"))
			wantCode(t, err, api.CodeAmbiguous)
		})
		l2 := g.leader(l.name)
		d := time.Since(start)
		t.Logf("a new leader after %v", d)
		if d > RegionTiming().DiskStuck+6*time.Second {
			t.Errorf("a new leader took %v", d)
		}
		g.must(l2, "meanwhile")
		if l.rep.watchdog.StuckFor() == 0 {
			t.Error("the watchdog does not report that the disk hangs")
		}
		time.Sleep(3 * RegionTiming().DiskLost)
		if n := g.stuck.Load(); n != 1 {
			t.Errorf("OnStuck was called %d times", n)
		}
		l.disk.Unhang()
		wg.Wait()
		g.until(10*time.Second, "return of the member", func() bool { return l.machine.has("meanwhile") })
		if l.rep.watchdog.StuckFor() != 0 {
			t.Error("the watchdog still reports a stuck disk")
		}
		g.settle()
	})
}

// TestSlowDiskIsNotStuck lets appends take long, but not too long.
func TestSlowDiskIsNotStuck(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		for range 3 {
			l.disk.Hang()
			var wg sync.WaitGroup
			wg.Go(func() { g.must(l, "slow") })
			time.Sleep(RegionTiming().DiskStuck - 100*time.Millisecond)
			l.disk.Unhang()
			wg.Wait()
		}
		if !l.rep.IsLeader() {
			t.Error("a slow disk lost leadership")
		}
	})
}

// TestCloseWhileDiskHangs: Close returns an error in bounded time.
func TestCloseWhileDiskHangs(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		l.disk.Hang()
		var wg sync.WaitGroup
		rep := l.rep
		wg.Go(func() { _, _ = rep.Propose(t.Context(), []byte("hangs")) })
		time.Sleep(time.Second)
		start := time.Now()
		wantCode(t, l.rep.Close(), api.CodeInternal)
		if d := time.Since(start); d > time.Minute {
			t.Errorf("closing took %v", d)
		}
		wg.Wait()
		g.mu.Lock()
		l.rep = nil
		g.mu.Unlock()
		l.disk.Unhang()
		time.Sleep(time.Minute) // the rest ends now, as the bubble demands
	})
}

// TestCrashDuringAppend crashes at every stage of an append: the entry is on the disk as a whole or not at all, and it is there if
// it was acknowledged.
func TestCrashDuringAppend(t *testing.T) {
	for at := range 8 {
		simulate(t, 1, Limits{}, func(t *testing.T, g *group) {
			l := g.leader()
			g.must(l, "first")
			rep := l.rep
			var acked atomic.Bool
			var wg sync.WaitGroup
			wg.Go(func() {
				_, err := rep.Propose(t.Context(), []byte("second"))
				acked.Store(err == nil)
			})
			synctest.Wait()
			time.Sleep(time.Duration(at) * 200 * time.Microsecond)
			disk := l.disk.Clone()
			was := acked.Load()
			g.crash(l.name)
			wg.Wait()
			l.disk = disk
			g.start(l.name, 1)
			all := g.leader().machine.all()
			if !slices.Equal(all, []string{"first"}) && !slices.Equal(all, []string{"first", "second"}) {
				t.Errorf("crash after %d: the machine has %v", at, all)
			}
			if was && len(all) != 2 {
				t.Errorf("crash after %d: an acknowledged command is lost", at)
			}
		})
	}
}
