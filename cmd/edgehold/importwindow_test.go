package main

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWindowBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ctx := newWindow(2), t.Context()
		if !w.take(ctx, windowBytes+1) {
			t.Fatal("a record that is larger than all the room must be taken alone")
		}
		got := make(chan bool, 1)
		take := func(ctx context.Context, bytes int) { go func() { got <- w.take(ctx, bytes) }() }
		waits := func(what string) {
			t.Helper()
			synctest.Wait()
			select {
			case ok := <-got:
				t.Fatalf("%s: take did not wait, %v", what, ok)
			default:
			}
		}
		take(ctx, 1)
		waits("no bytes")
		w.give(windowBytes + 1)
		if !<-got || !w.take(ctx, 1) {
			t.Fatal("there was room")
		}
		short, cancel := context.WithCancel(ctx)
		take(short, 1)
		waits("no slot")
		cancel()
		if <-got {
			t.Error("taken although the context has ended")
		}
		take(ctx, windowBytes-1)
		waits("no slot again")
		w.give(1)
		if !<-got {
			t.Error("there was room")
		}
	})
}

// TestWindowGrowsWhereItPays drives the window with a store that takes a while for each record and can do only so many a
// second: far away it grows to what the way needs, near by it stays.
func TestWindowGrowsWhereItPays(t *testing.T) {
	for _, c := range []struct {
		name        string
		away        time.Duration
		most        float64 // records/s that the store can do
		size        int     // given to newWindow
		least, high int
	}{
		{"far away", 400 * time.Millisecond, 20_000, 0, mostWindow, mostWindow},
		{"the store is the bound", time.Millisecond, 3000, 0, firstWindow, 2 * firstWindow}, // it may be trying
		{"as told", 400 * time.Millisecond, 20_000, 64, 64, 64},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWindow(c.size)
				var running sync.WaitGroup
				free, until := time.Now(), time.Now().Add(20*time.Second)
				high := 0
				for time.Now().Before(until) {
					if !w.take(t.Context(), 1) {
						t.Fatal("not taken")
					}
					if now := time.Now(); free.Before(now) {
						free = now
					}
					free = free.Add(time.Duration(float64(time.Second) / c.most))
					d := time.Until(free) + c.away
					running.Go(func() {
						time.Sleep(d)
						w.give(1)
					})
					high = max(high, w.now())
				}
				running.Wait()
				if size := w.now(); size < c.least || high < c.least || size > c.high {
					t.Errorf("the window is %d and was up to %d", size, high)
				}
			})
		})
	}
}

func (w *window) now() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.climb.size
}

// TestClimb: what did not pay is given up, and tried again later.
func TestClimb(t *testing.T) {
	c := climb{size: 512, most: 2048}
	for step, want := range []struct {
		rate float64
		size int
	}{
		{1000, 1024}, {1900, 2048}, {2500, 2048}, {100, 2048}, // at the most it stays
	} {
		if c.next(want.rate); c.size != want.size {
			t.Fatalf("step %d: %d, want %d", step, c.size, want.size)
		}
	}
	c = climb{size: 512, most: 2048}
	c.next(1000)
	if c.next(1000 * math.Nextafter(pays, 0)); c.size != 512 {
		t.Errorf("it did not pay, and the size is %d", c.size)
	}
	for step := range restSteps {
		if c.next(1000); c.size != 512 {
			t.Errorf("step %d after it did not pay: %d", step, c.size)
		}
	}
	if c.next(1000); c.size != 1024 {
		t.Errorf("not tried again: %d", c.size)
	}
}
