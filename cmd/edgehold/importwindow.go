package main

import (
	"context"
	"sync"
	"time"
)

// What is under way at once, where --concurrency leaves it to the window.
const (
	firstWindow = 512
	mostWindow  = 2048     // half of what a node answers at once
	windowBytes = 12 << 20 // of keys and values; less than may wait for a stream
)

const (
	leastStep = 200 * time.Millisecond // what a rate is measured over
	pays      = 1.05                   // a window of twice the size is kept where it does this much more
	restSteps = 4                      // after one that did not pay, until it is tried again
)

// window bounds the records under way, by number and by bytes. Where it may grow, it doubles while that makes the rate
// rise: over a long way more must be under way for the same rate, near by they would only wait longer. take is for one
// goroutine, give for all.
type window struct {
	mu          sync.Mutex
	freed       sync.Cond // of room, by mu
	count       int       // guarded by mu
	bytes       int       // guarded by mu
	fixed       bool      // the size never changes
	climb       climb     // guarded by mu
	skip, given int       // guarded by mu: records until the measuring begins; measured so far
	began       time.Time // guarded by mu: when it did
	full        bool      // guarded by mu: since then a record had to wait for the number
}

// newWindow is for size records at once, or where that is 0 for as many as pay.
func newWindow(size int) *window {
	w := &window{fixed: size > 0, climb: climb{size: size, most: size}}
	if size == 0 {
		w.climb = climb{size: firstWindow, most: mostWindow}
	}
	w.freed.L = &w.mu
	w.skip = w.climb.size
	return w
}

// take waits for room for a record of so many bytes; false where ctx ended first. A record is never too large to be alone.
func (w *window) take(ctx context.Context, bytes int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.room(bytes) {
		stop := context.AfterFunc(ctx, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.freed.Broadcast()
		})
		defer stop()
		for !w.room(bytes) && ctx.Err() == nil {
			w.freed.Wait()
		}
	}
	if ctx.Err() != nil {
		return false
	}
	w.count++
	w.bytes += bytes
	return true
}

func (w *window) room(bytes int) bool {
	if w.count >= w.climb.size {
		w.full = true
		return false
	}
	return w.count == 0 || w.bytes+bytes <= windowBytes
}

// give makes the room of a record free.
func (w *window) give(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count--
	w.bytes -= bytes
	w.measure(time.Now)
	w.freed.Signal()
}

// measure counts a record that is done, and now and then chooses the size anew.
func (w *window) measure(now func() time.Time) {
	switch {
	case w.fixed:
		return
	case w.skip > 0: // they were begun under the size before
		if w.skip--; w.skip == 0 {
			w.given, w.began, w.full = 0, now(), false
		}
		return
	}
	if w.given++; w.given < w.climb.size {
		return
	}
	took := now().Sub(w.began)
	if took < leastStep {
		return
	}
	if w.full {
		w.climb.next(float64(w.given) / took.Seconds())
	}
	w.skip = w.climb.size
}

// climb looks for the size beyond which more does not pay. It comes back to the sizes above now and then, as what pays
// may change.
type climb struct {
	size, most int
	before     float64 // the rate at half the size, where that is being tried; else 0
	rest       int     // steps until the next try
}

// next chooses the next size, given the rate at the present one.
func (c *climb) next(rate float64) {
	switch {
	case c.before > 0 && rate < c.before*pays:
		c.size /= 2
		c.before, c.rest = 0, restSteps
	case c.rest > 0:
		c.rest--
	case 2*c.size <= c.most:
		c.size *= 2
		c.before = rate
	default:
		c.before = 0
	}
}
