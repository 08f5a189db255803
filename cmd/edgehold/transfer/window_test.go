package transfer

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

func TestWindowBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(2)
		w.acquire(windowBytes + 1) // a record of any size has room if it is the only one
		held := make(chan bool)
		hold := func(bytes int) { go func() { w.acquire(bytes); held <- true }() }
		waits := func() {
			t.Helper()
			synctest.Wait()
			select {
			case <-held:
				t.Fatal("held beyond the limit")
			default:
			}
		}
		hold(1)
		waits()
		for _, more := range []bool{true, true, false} {
			if w.addWorker() != more {
				t.Error("not two workers")
			}
		}
		if !w.release("k", windowBytes+1, time.Now()) {
			t.Error("a worker of two does not continue")
		}
		<-held
		hold(windowBytes)
		waits()
		w.release("k", 1, time.Now())
		<-held
		w.size = 1
		if w.release("k", windowBytes, time.Now()) || !w.release("k", 0, time.Now()) {
			t.Error("one of two workers must end")
		}
	})
}

// TestWindowFillsThePath imports into a store at a distance with a limited rate.
func TestWindowFillsThePath(t *testing.T) {
	if testing.Short() {
		t.Skip("for a rate")
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		name      string
		away      map[string]time.Duration // by first segment; records alternate
		rate      int                      // that the store can do in a second
		given     int                      // to newWindow
		low, high int
	}{
		{"far away", map[string]time.Duration{"a": 400 * ms}, 20_000, 0, MaxWindow, MaxWindow},
		{"the store is the bound", map[string]time.Duration{"a": 5 * ms}, 3000, 0, minWindow, minWindow},
		{"the store is the bound, far away", map[string]time.Duration{"a": 200 * ms}, 3000, 0, 700, 1800}, // 600 fill the path
		{"near and far", map[string]time.Duration{"a": ms, "b": 130 * ms, "c": 200 * ms}, 5000, 0, 700, 1600},
		{"one segment near and far", map[string]time.Duration{"a/near": ms, "a/far": 200 * ms}, 5000, 0, minWindow, minWindow},
		{"as measured", map[string]time.Duration{"a": 400 * ms}, 20_000, 64, 64, 64},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFlow(newWindow(c.given))
				store := &slowStore{each: time.Second / time.Duration(c.rate), free: time.Now()}
				for i, until := 0, time.Now().Add(20*time.Second); time.Now().Before(until); i++ {
					for segment, away := range c.away {
						f.start(t.Context(), api.Key(fmt.Sprint(segment, "/", i)), 1, func() { store.put(away) })
					}
				}
				if size := f.window.now(); size < c.low || size > c.high {
					t.Errorf("the window is %d, want %d to %d", size, c.low, c.high)
				}
				f.wait()
				if store.most > f.window.most() {
					t.Errorf("%d were in flight", store.most)
				}
			})
		})
	}
}

// TestWindowFollowsTheInput imports the records of a far owner, then those of a near one.
func TestWindowFollowsTheInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow(newWindow(0))
		for _, owner := range []struct {
			name      string
			away      time.Duration
			low, high int
		}{
			{"far", 400 * time.Millisecond, MaxWindow, MaxWindow},
			{"near", time.Millisecond, minWindow, minWindow},
		} {
			store := &slowStore{each: time.Second / 6000, free: time.Now()}
			for i := range 30_000 {
				f.start(t.Context(), api.Key(fmt.Sprint(owner.name, "/", i)), 1, func() { store.put(owner.away) })
			}
			if size := f.window.now(); size < owner.low || size > owner.high {
				t.Errorf("the window is %d for what is %s", size, owner.name)
			}
		}
		f.wait()
	})
}

// TestSegmentsAreBounded uses keys of many segments, and keys without one.
func TestSegmentsAreBounded(t *testing.T) {
	w := newWindow(0)
	for i := range 10 * maxSegments {
		w.minimumOf(api.Key(fmt.Sprint("segment", i, "/x")), time.Second)
		w.minimumOf(api.Key(fmt.Sprint(i)), time.Minute)
	}
	if len(w.minimum) > maxSegments+1 {
		t.Errorf("%d segments", len(w.minimum))
	}
	if least := w.minimumOf("segment0/y", time.Hour); least != time.Second {
		t.Errorf("the minimum is %v", least)
	}
}

// slowStore handles one record after the other.
type slowStore struct {
	each time.Duration

	mu          sync.Mutex
	free        time.Time
	under, most int
}

// put returns when the record is handled and the round trip is over.
func (s *slowStore) put(away time.Duration) {
	s.mu.Lock()
	s.under++
	s.most = max(s.most, s.under)
	if now := time.Now(); s.free.Before(now) {
		s.free = now
	}
	s.free = s.free.Add(s.each)
	d := time.Until(s.free) + away
	s.mu.Unlock()
	time.Sleep(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under--
}

func (w *window) now() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.size
}

// most returns the maximum number of records in flight.
func (w *window) most() int {
	if w.fixed {
		return w.now()
	}
	return MaxWindow
}

// TestWindowOfASlowInput imports from a slow input: the window does not grow.
func TestWindowOfASlowInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow(newWindow(0))
		store := &slowStore{each: time.Millisecond / 10, free: time.Now()}
		for i := range 5000 {
			f.start(t.Context(), api.Key(fmt.Sprint("a/", i)), 1, func() { store.put(10 * time.Millisecond) })
			time.Sleep(5 * time.Millisecond)
		}
		if size := f.window.now(); size != minWindow {
			t.Errorf("the window is %d for two records at once", size)
		}
		f.wait()
	})
}
