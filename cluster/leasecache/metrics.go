package leasecache

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// meter counts in this package's own atomics, which are cheap on the path of a leased read. It passes the sums to
// observe.Metrics once a KeepAlive.
type meter struct {
	stripes [stripes]stripe // reads served by leases: the one counter that every core writes all the time

	owner, stale, misses   atomic.Uint64
	evictions, revocations atomic.Uint64
	releases, releasesLost atomic.Uint64
	acksLost, keepAlives   atomic.Uint64
	grants                 [refusedGrant + 1]atomic.Uint64
	sessions               [sessionReplaced + 1]atomic.Uint64
	streams                atomic.Int64
	answer                 func(seconds float64, values ...string)

	timing timing

	mu    sync.Mutex
	flows []flow
}

const stripes = 16

type stripe struct {
	n atomic.Uint64
	_ [56]byte
}

// refusedGrant is the outcome of a lease request that the owner did not grant, beside the outcomes of install.
const refusedGrant = declined + 1

type sessionEvent uint8

const (
	sessionOpened sessionEvent = iota
	sessionRefused
	sessionExtended
	sessionDead
	sessionLapsed
	sessionReplaced
)

// flow is a counter's sum and the part of it that was passed on.
type flow struct {
	sum      func() uint64
	reported uint64
	add      func(n float64, values ...string)
	with     []string
}

func newMeter(e *Cache) *meter {
	m := &meter{}
	x := e.cfg.Metrics
	reads := x.Counter("edgehold_edge_reads_total", "Keys read, by what served them.", "served_by")
	m.flow(reads, m.leased, "lease")
	m.flow(reads, m.owner.Load, "owner")
	m.flow(reads, m.stale.Load, "stale")
	lookups := x.Counter("edgehold_edge_lookups_total", "Keys looked up in the cache, by whether a lease answered.", "result")
	m.flow(lookups, m.leased, "hit")
	m.flow(lookups, m.misses.Load, "miss")
	grants := x.Counter("edgehold_edge_grants_total", "Leases asked for, by what became of them.", "outcome")
	for o, name := range [...]string{installed: "installed", fenced: "fenced", outdated: "outdated", declined: "declined", refusedGrant: "refused"} {
		m.flow(grants, m.grants[o].Load, name)
	}
	sessions := x.Counter("edgehold_edge_session_events_total", "What happened to sessions.", "event")
	for ev, name := range [...]string{sessionOpened: "opened", sessionRefused: "refused", sessionExtended: "extended", sessionDead: "dead", sessionLapsed: "lapsed", sessionReplaced: "replaced"} {
		m.flow(sessions, m.sessions[ev].Load, name)
	}
	one := func(name, help string, sum func() uint64) { m.flow(x.Counter(name, help), sum) }
	one("edgehold_edge_revocations_total", "Leases revoked by their owners.", m.revocations.Load)
	one("edgehold_edge_evictions_total", "Leases given up to make room.", m.evictions.Load)
	one("edgehold_edge_releases_total", "Leases given back to their owners.", m.releases.Load)
	one("edgehold_edge_releases_lost_total", "Leases given up of which the owner gets no message: too many releases wait.", m.releasesLost.Load)
	one("edgehold_edge_acks_lost_total", "Acknowledgements that found the queue full.", m.acksLost.Load)
	one("edgehold_edge_keepalives_total", "Keep-alives sent.", m.keepAlives.Load)
	m.answer = x.Histogram("edgehold_edge_keepalive_seconds", "Time from sending a keep-alive to its answer.")
	took := x.FineHistogram("edgehold_edge_cached_read_seconds",
		"How long reads took that the node answered from its memory, by what served them: of a sample, one in 256 and a few each second.", "served_by")
	m.timing.leased.observe, m.timing.leased.labels = took, []string{"lease"}
	m.timing.stale.observe, m.timing.stale.labels = took, []string{"stale"}
	m.gauges(e)
	return m
}

func (m *meter) gauges(e *Cache) {
	x := e.cfg.Metrics
	x.Gauge("edgehold_edge_cache_bytes", "Bytes cached, with what is kept beside them.", func() float64 { n, _, _ := e.entries.room.size(); return float64(n) })
	x.Gauge("edgehold_edge_cache_entries", "Keys cached.", func() float64 { _, n, _ := e.entries.room.size(); return float64(n) })
	x.Gauge("edgehold_edge_cache_absent_entries", "Keys cached as absent.", func() float64 { _, _, n := e.entries.room.size(); return float64(n) })
	x.Gauge("edgehold_edge_streams", "Lease streams open.", func() float64 { return float64(m.streams.Load()) })
	x.Gauge("edgehold_edge_sessions", "Sessions open.", func() float64 { n, _ := e.countSessions(); return float64(n) })
	x.Gauge("edgehold_edge_sessions_usable", "Sessions whose term is running.", func() float64 { _, n := e.countSessions(); return float64(n) })
}

func (c *Cache) countSessions() (open, usable int) {
	now := c.cfg.Clock.Now()
	for _, g := range c.allGroups() {
		if s := g.live(); s != nil {
			open++
			if s.usable(now) {
				usable++
			}
		}
	}
	return open, usable
}

func (m *meter) flow(add func(float64, ...string), sum func() uint64, with ...string) {
	m.flows = append(m.flows, flow{sum: sum, add: add, with: with})
}

// served counts the keys of one read.
func (m *meter) served(got keysServed) { m.servedAt(rand.Uint32(), got) }

// servedAt is served with a random number.
func (m *meter) servedAt(dice uint32, got keysServed) {
	if got.leased != 0 {
		m.stripes[dice%stripes].n.Add(uint64(got.leased))
	}
	if got.stale != 0 {
		m.stale.Add(uint64(got.stale))
	}
	if got.missing != 0 {
		m.misses.Add(uint64(got.missing))
	}
}

func (m *meter) leased() (n uint64) {
	for i := range m.stripes {
		n += m.stripes[i].n.Load()
	}
	return n
}

func (m *meter) answered(after time.Duration) { m.answer(after.Seconds()) }

// flush passes on what was counted since the last call, once a KeepAlive.
func (m *meter) flush() {
	m.timing.more.Store(timedAtLeast)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.flows {
		f := &m.flows[i]
		if n := f.sum(); n > f.reported {
			f.add(float64(n-f.reported), f.with...)
			f.reported = n
		}
	}
}
