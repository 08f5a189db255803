package leasecache

import (
	"sync/atomic"
	"time"
)

const (
	// timedOne is how many reads there are to one that is timed; a power of two.
	timedOne = 256
	// timedAtLeast is how many more reads are timed within a KeepAlive, so that there is a figure if there are few reads.
	timedAtLeast = 16
)

// Timed is a sample of reads that the cache has answered from memory, and how long they took together.
type Timed struct{ Reads, Nanoseconds uint64 }

// timing times a sample of the reads, so that timing costs the others a comparison and the look at a value that seldom changes. Its zero
// value times nothing but one read in timedOne.
type timing struct {
	more   atomic.Int32 // reads to be timed beside those of the sample
	leased took
	stale  took
}

// took is how long the timed reads took that one kind of answer was for.
type took struct {
	reads, nanoseconds atomic.Uint64
	observe            func(seconds float64, values ...string)
	labels             []string
}

// begin returns when a read begins that is to be timed; the zero Time for most. dice is random.
func (t *timing) begin(dice uint32) (began time.Time) {
	if dice%timedOne != 0 {
		if t.more.Load() <= 0 {
			return time.Time{}
		}
		t.more.Add(-1)
	}
	return time.Now()
}

// of returns what times the reads that were served so: stale ones apart.
func (t *timing) of(got keysServed) *took {
	if got.stale > 0 {
		return &t.stale
	}
	return &t.leased
}

// end notes how long a read took that began then.
func (t *took) end(began time.Time) {
	d := time.Since(began)
	t.reads.Add(1)
	t.nanoseconds.Add(uint64(d))
	t.observe(d.Seconds(), t.labels...)
}

func (t *took) sum() Timed { return Timed{t.reads.Load(), t.nanoseconds.Load()} }
