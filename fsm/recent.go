package fsm

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
)

// recent are rows of keys that were written of late, where the engine is on disk: what is written again or read soon is found
// here and not looked for in its levels. Derived from the table and changed with it, under the machine's mutex; the goroutine
// that applies is the only one to change it, and so may look without.
type recent struct {
	max   int // bytes; 0 keeps none
	bytes int
	rows  map[api.Key][]byte
}

const (
	maxRecentBytes = 16 << 20
	maxRecentRow   = 64 << 10 // a larger one is not kept
	// recentOverhead is about what a row takes beside its own bytes.
	recentOverhead = 96
)

func newRecent(e engine.Engine) *recent {
	r := &recent{rows: map[api.Key][]byte{}}
	if _, ok := e.(engine.Durable); ok {
		r.max = maxRecentBytes
	}
	return r
}

func (r *recent) get(k api.Key) ([]byte, bool) {
	if r == nil { // a view of something else than a machine's present state
		return nil, false
	}
	row, ok := r.rows[k]
	return row, ok
}

// set keeps the row; nil stands for an absent key, of which nothing is kept.
func (r *recent) set(k api.Key, row []byte) {
	if r.max == 0 {
		return
	}
	if old, ok := r.rows[k]; ok {
		r.bytes -= sizeOfRecent(k, old)
		delete(r.rows, k)
	}
	if row == nil || len(row) > maxRecentRow {
		return
	}
	r.rows[k] = row
	r.bytes += sizeOfRecent(k, row)
	for old, row := range r.rows { // in no order: any of them goes
		if r.bytes <= r.max {
			return
		}
		if old != k {
			r.bytes -= sizeOfRecent(old, row)
			delete(r.rows, old)
		}
	}
}

func sizeOfRecent(k api.Key, row []byte) int { return len(k) + len(row) + recentOverhead }
