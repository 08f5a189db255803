package slow

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
)

const (
	// Least is how long a request takes at least to be remembered.
	Least = time.Millisecond
	// PerMinute bounds the requests remembered of a minute: the slowest of it.
	PerMinute = 32
	// Minutes is how many minutes are remembered, the present one included.
	Minutes = 5
	// maxParts bounds the parts of a request.
	maxParts = 16
	// maxText bounds a name in a request, such as that of its trace.
	maxText = 64
)

// Log remembers the slowest requests of the last minutes. It is safe for concurrent use. Make it with [NewLog]. A nil Log remembers
// nothing.
type Log struct {
	began time.Time
	// floor is the least time, in nanoseconds, of what the minute still takes. It belongs to the minute that was current when it was set,
	// and is too high at most until the first request of the next minute that is over it, or that asks after tick has passed.
	floor  atomic.Int64
	minute atomic.Int64 // to which floor belongs

	mu      sync.Mutex
	minutes [Minutes]minute // a ring, by minute
}

// minute is what is remembered of one minute, in no order.
type minute struct {
	number int64
	all    []api.SlowRequest
}

// NewLog returns an empty Log.
func NewLog() *Log {
	l := &Log{began: time.Now()}
	l.floor.Store(int64(Least))
	return l
}

// Takes reports whether a request that ended at that time and took so long is one of the slowest of its minute so far. It does not
// allocate, and reads no clock.
func (l *Log) Takes(ended time.Time, took time.Duration) bool {
	if took < Least || l == nil {
		return false
	}
	return int64(took) >= l.floor.Load() || l.number(ended) != l.minute.Load()
}

// number returns the number of the minute of an instant.
func (l *Log) number(t time.Time) int64 { return int64(t.Sub(l.began) / time.Minute) }

// Add remembers a request that ended at that time, if it is still one of the slowest. It copies the key, and leaves out one that is too
// long to be a key. A request has at most 16 parts.
func (l *Log) Add(ended time.Time, r api.SlowRequest) {
	if l == nil {
		return
	}
	if len(r.Key) > api.MaxKeyBytes {
		r.Key = ""
	}
	r.Key = api.Key(strings.Clone(string(r.Key)))
	r.Parts = slices.Clone(r.Parts[:min(len(r.Parts), maxParts)])
	r.TraceID = r.TraceID[:min(len(r.TraceID), maxText)]
	n := l.number(ended)
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &l.minutes[max(n, 0)%Minutes]
	switch {
	case n < m.number: // older than all that is remembered
		return
	case n > m.number:
		clear(m.all)
		*m = minute{number: n, all: m.all[:0]}
	}
	if len(m.all) < PerMinute {
		m.all = append(m.all, r)
	} else if i := m.quickest(); r.TookMS > m.all[i].TookMS {
		m.all[i] = r
	}
	if n >= l.minute.Load() {
		l.floor.Store(int64(m.floor()))
		l.minute.Store(n)
	}
}

// quickest returns the place of the quickest request of the minute.
func (m *minute) quickest() (at int) {
	for i := range m.all {
		if m.all[i].TookMS < m.all[at].TookMS {
			at = i
		}
	}
	return at
}

// floor returns how long a request takes at least that the minute has room for.
func (m *minute) floor() time.Duration {
	if len(m.all) < PerMinute {
		return Least
	}
	return max(Least, time.Duration(m.all[m.quickest()].TookMS*float64(time.Millisecond)))
}

// Newest returns what is remembered at that time, the slowest first. The caller owns the list, but not the parts of its requests.
func (l *Log) Newest(now time.Time) []api.SlowRequest {
	if l == nil {
		return nil
	}
	oldest := l.number(now) - Minutes + 1
	var all []api.SlowRequest
	l.mu.Lock()
	for i := range l.minutes {
		if l.minutes[i].number >= oldest {
			all = append(all, l.minutes[i].all...)
		}
	}
	l.mu.Unlock()
	Sort(all)
	return all
}

// Sort puts the slowest requests first.
func Sort(all []api.SlowRequest) {
	slices.SortStableFunc(all, func(a, b api.SlowRequest) int { return cmp.Compare(b.TookMS, a.TookMS) })
}

// Millis returns a time in milliseconds.
func Millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
