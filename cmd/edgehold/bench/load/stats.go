package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/edgehold/edgehold/api"
)

// kind is a kind of operation.
type kind int

const (
	read kind = iota
	write
	kinds
)

func (k kind) String() string { return [...]string{"read", "write"}[k] }

// Histograms have latencies from a microsecond to a day with three digits, those of a moment with two.
const (
	least, most     = int64(time.Microsecond), int64(25 * time.Hour)
	digits, digits2 = 3, 2
)

// outcome is the outcome of one operation.
type outcome struct {
	kind    kind
	latency time.Duration
	served  api.ServedBy
	err     error
	counts  bool // it began in the measured time
	inTime  bool // it ended in the measured time
}

// answered reports whether the operation was answered; a read of an absent key was.
func (o *outcome) answered() bool {
	return o.err == nil || o.kind == read && api.CodeOf(o.err) == api.CodeNotFound
}

// stats is the statistics of one target. Its size is constant. It is safe for concurrent use.
type stats struct {
	mu     sync.Mutex
	kinds  [kinds]measures // guarded by mu, as all below
	moment moment
	late   int64
	began  int64 // operations that were due in the measured time and have begun
	cutOff int64
}

func newStats() *stats {
	s := &stats{moment: newMoment()}
	for k := range s.kinds {
		s.kinds[k] = newMeasures()
	}
	return s
}

// begin counts an operation with a due time.
func (s *stats) begin(late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began++
	if late {
		s.late++
	}
}

func (s *stats) end(o *outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds[o.kind].end(o)
	s.moment.end(o)
}

// cut counts an operation that was cut off by the end of the run.
func (s *stats) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutOff++
}

// measures are the statistics of one kind of operation.
type measures struct {
	latencies *hdrhistogram.Histogram // of the answered
	sum, max  time.Duration
	inTime    int64
	absent    int64
	served    [3]int64
	failures  map[api.Code]*failures
}

// failures are the failures with one code.
type failures struct {
	count    int64
	sum, max time.Duration
	first    error
}

func newMeasures() measures {
	return measures{latencies: hdrhistogram.New(least, most, digits), failures: map[api.Code]*failures{}}
}

func (m *measures) end(o *outcome) {
	if o.answered() && o.inTime {
		m.inTime++
	}
	switch {
	case !o.counts:
	case o.answered():
		record(m.latencies, o.latency)
		m.sum += o.latency
		m.max = max(m.max, o.latency)
		if o.err != nil {
			m.absent++
		}
		m.served[o.served]++
	default:
		m.failed(api.CodeOf(o.err), failures{1, o.latency, o.latency, o.err})
	}
}

func (m *measures) failed(c api.Code, more failures) {
	f := m.failures[c]
	if f == nil {
		f = &failures{first: more.first}
		m.failures[c] = f
	}
	f.count += more.count
	f.sum += more.sum
	f.max = max(f.max, more.max)
}

// add adds the measures of another target.
func (m *measures) add(o *measures) {
	m.latencies.Merge(o.latencies)
	m.sum += o.sum
	m.max = max(m.max, o.max)
	m.inTime += o.inTime
	m.absent += o.absent
	for i, n := range o.served {
		m.served[i] += n
	}
	for c, f := range o.failures {
		m.failed(c, *f)
	}
}

// record records d, limited to the bounds of h.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(int64(d), 0), most)) // fails only for values out of bounds
}

// moment has the operations that have ended since the last look.
type moment struct {
	latencies *hdrhistogram.Histogram // of all kinds
	answered  [kinds]int64
	failed    int64
}

func newMoment() moment { return moment{latencies: hdrhistogram.New(least, most, digits2)} }

func (m *moment) end(o *outcome) {
	if !o.answered() {
		m.failed++
		return
	}
	record(m.latencies, o.latency)
	m.answered[o.kind]++
}

// moveInto adds m to sum and empties it.
func (m *moment) moveInto(sum *moment) {
	sum.latencies.Merge(m.latencies)
	for k, n := range m.answered {
		sum.answered[k] += n
	}
	sum.failed += m.failed
	m.clear()
}

func (m *moment) clear() {
	m.latencies.Reset()
	m.answered, m.failed = [kinds]int64{}, 0
}
