package slow

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

const (
	// sampleOne is how many requests there are to one that is counted; a power of two.
	sampleOne = 64
	// counters bounds the keys of a sketch. A key with more than a 256th of the requests is certainly among them.
	counters = 256
	// half is how long one of the two sketches counts.
	half = 30 * time.Second
	// MaxHot bounds the hot keys that a node reports.
	MaxHot = 20
	// leastSamples is how often a key has to be met in the sample to be reported.
	leastSamples = 2
)

// Hot counts which keys are asked for most, in a sample of the requests: one in 64. It has two sketches (space-saving, Metwally and
// others, 2005), of which one counts for half a minute and the other has counted before it. It is safe for concurrent use. Make it with
// [NewHot]. A nil Hot counts nothing.
type Hot struct {
	chance func() uint32 // random bits

	mu       sync.Mutex
	sketches [2]sketch // the newer one first
}

// sketch counts in a bounded number of counters: a key that has none takes over that of the least key, with its count.
type sketch struct {
	since time.Time
	at    map[api.Key]int // its place in all
	all   []counter
}

// counter counts the requests of one key. Of its count, inherited may belong to keys that had the counter before.
type counter struct {
	key                      api.Key
	reads, writes, inherited float64
}

func (c *counter) count() float64 { return c.reads + c.writes + c.inherited }

// NewHot returns a Hot that has counted nothing.
func NewHot() *Hot {
	h := &Hot{chance: rand.Uint32}
	now := time.Now()
	for i := range h.sketches {
		h.sketches[i] = newSketch(now)
	}
	return h
}

func newSketch(now time.Time) sketch {
	return sketch{since: now, at: make(map[api.Key]int, counters), all: make([]counter, 0, counters)}
}

// Read counts a read of a key. It may keep a copy of the key.
func (h *Hot) Read(k api.Key) {
	if h != nil && h.chance()%sampleOne == 0 {
		h.add(k, 1, 0)
	}
}

// Write counts a write of a key. It may keep a copy of the key.
func (h *Hot) Write(k api.Key) {
	if h != nil && h.chance()%sampleOne == 0 {
		h.add(k, 0, 1)
	}
}

// add counts a request of the sample. What is too long to be a key is not counted, since it is kept.
func (h *Hot) add(k api.Key, reads, writes float64) {
	if len(k) > api.MaxKeyBytes {
		return
	}
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turn(now)
	c := h.sketches[0].counter(k)
	c.reads += reads
	c.writes += writes
}

// turn begins a new sketch if the newer one has counted for its time.
func (h *Hot) turn(now time.Time) {
	switch age := now.Sub(h.sketches[0].since); {
	case age >= 2*half: // nothing was asked for a while
		h.sketches[0], h.sketches[1] = newSketch(now), newSketch(now)
	case age >= half:
		h.sketches[0], h.sketches[1] = newSketch(now), h.sketches[0]
	}
}

// counter returns the counter of the key.
func (s *sketch) counter(k api.Key) *counter {
	if i, ok := s.at[k]; ok {
		return &s.all[i]
	}
	i := len(s.all)
	if i < counters {
		s.all = append(s.all, counter{})
	} else {
		i = s.least()
		delete(s.at, s.all[i].key)
	}
	c := &s.all[i]
	*c = counter{key: api.Key(strings.Clone(string(k))), inherited: c.count()}
	s.at[c.key] = i
	return c
}

// least returns the place of the counter with the least count.
func (s *sketch) least() (at int) {
	for i := range s.all {
		if s.all[i].count() < s.all[at].count() {
			at = i
		}
	}
	return at
}

// Hottest returns the keys that were asked for most in about the last minute, at most [MaxHot] of them, the hottest first. The rates are
// lower bounds, but for the chance of the sample.
func (h *Hot) Hottest(now time.Time) []api.HotKey {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turn(now)
	seconds := max(now.Sub(h.sketches[1].since).Seconds(), 1)
	sums := map[api.Key]counter{}
	for i := range h.sketches {
		for _, c := range h.sketches[i].all {
			sum := sums[c.key]
			sum.reads += c.reads
			sum.writes += c.writes
			sums[c.key] = sum
		}
	}
	var hot []api.HotKey
	for k, c := range sums {
		if c.count() >= leastSamples {
			hot = append(hot, api.HotKey{Key: k, Reads: c.reads * sampleOne / seconds, Writes: c.writes * sampleOne / seconds})
		}
	}
	SortHot(hot)
	return hot[:min(len(hot), MaxHot)]
}

// SortHot puts the hottest keys first.
func SortHot(all []api.HotKey) {
	slices.SortStableFunc(all, func(a, b api.HotKey) int {
		return cmp.Or(cmp.Compare(b.Reads+b.Writes, a.Reads+a.Writes), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Key, b.Key))
	})
}
