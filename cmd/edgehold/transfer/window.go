package transfer

import (
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// MaxWindow is how many records are under way at most if ImportConfig.Concurrency is 0: half of what a node answers at once.
const MaxWindow = 2048

const (
	minWindow   = 256      // what a node takes even while its processors cannot keep up
	windowBytes = 12 << 20 // of keys and values; less than may wait for a stream
)

// mostWays bounds the ways that are told apart; keys beyond share one.
const mostWays = 64

// window bounds the records under way, by number and by bytes. Where the number may change it is chosen as BBR does it
// (Cardwell et al., 2016): twice the rate times the way, which is how long a record takes that waits for no other. So much
// keeps the way full; of more, no more would be done in a second, they would only wait longer, at last until some are
// refused. The way is the shortest time that any record of the same first segment took: owners are told apart by it. Where
// one segment has owners near and far, or moves away, the window is smaller than it could be.
//
// hold is for one goroutine, the others for all.
type window struct {
	mu      sync.Mutex
	freed   sync.Cond // of bytes, by mu
	bytes   int       // guarded by mu
	running int       // guarded by mu: goroutines that carry records out, one at a time each
	fixed   bool      // the size never changes
	size    int       // guarded by mu

	ways map[string]time.Duration // guarded by mu: by first segment

	// Guarded by mu: when the size was chosen, the records that were done since, and what their ways are in sum.
	since time.Time
	count int
	way   time.Duration
}

// newWindow is for size records at once, or where that is 0 for as many as pay.
func newWindow(size int) *window {
	w := &window{size: size, fixed: size > 0, since: time.Now(), ways: map[string]time.Duration{}}
	if size == 0 {
		w.size = minWindow
	}
	w.freed.L = &w.mu
	return w
}

// hold waits for room for so many bytes. A record is never too large to be alone.
func (w *window) hold(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.bytes > 0 && w.bytes+bytes > windowBytes {
		w.freed.Wait()
	}
	w.bytes += bytes
}

// another tells whether one more goroutine is to carry records out, and counts it.
func (w *window) another() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running >= w.size {
		return false
	}
	w.running++
	return true
}

// done takes note that a record of so many bytes is done, and when it began. It tells whether the goroutine is to go on;
// where not, it is counted no more.
func (w *window) done(key api.Key, bytes int, began time.Time) (goOn bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes -= bytes
	w.freed.Signal()
	if !w.fixed {
		w.measure(key, time.Since(began))
	}
	if w.running > w.size {
		w.running--
		return false
	}
	return true
}

// measure takes note of a record that is done, and once as many are as may be under way, chooses the size anew.
func (w *window) measure(key api.Key, took time.Duration) {
	way := w.wayOf(key, took)
	w.count++
	w.way += way
	if w.count < w.size {
		return
	}
	now := time.Now()
	size := 2 * float64(w.way) / float64(max(1, now.Sub(w.since))) // the rate is count/since, the way way/count
	w.size = int(min(MaxWindow, max(minWindow, size)))
	w.since, w.count, w.way = now, 0, 0
}

// wayOf is the key's way, now that a record of it took so long.
func (w *window) wayOf(key api.Key, took time.Duration) time.Duration {
	segment, _, ok := strings.Cut(string(key), "/")
	if !ok {
		segment = ""
	}
	way, known := w.ways[segment]
	if !known && len(w.ways) >= mostWays {
		segment = ""
		way, known = w.ways[segment]
	}
	if !known || took < way {
		way = took
		w.ways[segment] = way
	}
	return way
}
