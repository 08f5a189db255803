package transfer

import (
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// MaxWindow is the maximum number of records in flight if ImportConfig.Concurrency is 0: half of what a node handles at once.
const MaxWindow = 2048

const (
	minWindow   = 256      // what a node accepts even if its processors are overloaded
	windowBytes = 12 << 20 // of keys and values; less than may be queued for a stream
)

// maxSegments is the maximum number of first segments whose latency is known by itself. Keys of further segments share one.
const maxSegments = 64

// window bounds the records in flight, by number and by bytes.
//
// The number is fixed, or it is chosen as BBR does (Cardwell et al., 2016): twice the rate times the minimum latency, which is the
// time of a record that waits for no other. That many keep the path to the owners full; more would not raise the rate, but wait
// longer, until some are refused. The minimum latency is that of the records whose keys have the same first segment, because it
// differs between owners. If a segment has near and far owners, or moves farther away, the window is smaller than it could be.
//
// acquire is for one goroutine; the other methods are safe for concurrent use.
type window struct {
	mu      sync.Mutex
	freed   sync.Cond // of bytes, by mu
	bytes   int       // guarded by mu
	workers int       // guarded by mu: goroutines that put records, one at a time each
	fixed   bool      // the size never changes
	size    int       // guarded by mu

	minimum map[string]time.Duration // guarded by mu: the minimum latency, by first segment

	// Guarded by mu: when the size was chosen, the number of records done since, and the sum of their minimum latencies.
	since time.Time
	count int
	sum   time.Duration
}

// newWindow returns a window of size records, or one that chooses its size if that is 0.
func newWindow(size int) *window {
	w := &window{size: size, fixed: size > 0, since: time.Now(), minimum: map[string]time.Duration{}}
	if size == 0 {
		w.size = minWindow
	}
	w.freed.L = &w.mu
	return w
}

// acquire waits for room for a record of so many bytes. A record of any size has room if it is the only one.
func (w *window) acquire(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.bytes > 0 && w.bytes+bytes > windowBytes {
		w.freed.Wait()
	}
	w.bytes += bytes
}

// addWorker reports whether one more worker is to be started, and counts it.
func (w *window) addWorker() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.workers >= w.size {
		return false
	}
	w.workers++
	return true
}

// release records that a record of so many bytes, begun at began, is done. It reports whether the worker is to continue; if not, the
// worker is no longer counted.
func (w *window) release(key api.Key, bytes int, began time.Time) (more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes -= bytes
	w.freed.Signal()
	if !w.fixed {
		w.measure(key, time.Since(began))
	}
	if w.workers > w.size {
		w.workers--
		return false
	}
	return true
}

// measure records the latency of a record. After as many records as the window has room for, it chooses the size again.
func (w *window) measure(key api.Key, latency time.Duration) {
	w.sum += w.minimumOf(key, latency)
	w.count++
	if w.count < w.size {
		return
	}
	now := time.Now()
	size := 2 * float64(w.sum) / float64(max(1, now.Sub(w.since))) // the rate is count/since, the minimum latency sum/count
	w.size = int(min(MaxWindow, max(minWindow, size)))
	w.since, w.count, w.sum = now, 0, 0
}

// minimumOf returns the minimum latency for the key, given that a record of it took latency.
func (w *window) minimumOf(key api.Key, latency time.Duration) time.Duration {
	segment, _, ok := strings.Cut(string(key), "/")
	if !ok {
		segment = ""
	}
	least, known := w.minimum[segment]
	if !known && len(w.minimum) >= maxSegments {
		segment = ""
		least, known = w.minimum[segment]
	}
	if !known || latency < least {
		least = latency
		w.minimum[segment] = least
	}
	return least
}
