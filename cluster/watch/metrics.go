package watch

import "github.com/edgehold/edgehold/api/observe"

type metrics struct {
	gaps    func(n float64, values ...string)
	resumes func(n float64, values ...string)
	delay   func(seconds float64, values ...string)
}

func newMetrics(m observe.Metrics, h *Hub) metrics {
	m.Gauge("edgehold_watch_watchers", "Watches that are open at this node.", func() float64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		return float64(len(h.watchers))
	})
	m.Gauge("edgehold_watch_upstreams", "Feeds of groups that are open for the watches of this node.", func() float64 { return float64(h.upstreams.Load()) })
	m.Gauge("edgehold_watch_ring_bytes", "Bytes of events that are kept for watchers.", func() float64 { return float64(h.ringBytes.Load()) })
	return metrics{
		gaps:    m.Counter("edgehold_watch_gaps_total", "Gaps in feeds, by why changes were missing.", "reason"),
		resumes: m.Counter("edgehold_watch_resumes_total", "Watches that continued from a cursor."),
		delay:   m.Histogram("edgehold_watch_delay_seconds", "Bounds of how far feeds were behind their owners, as the feeds report them about once a second."),
	}
}
