package peer

import "github.com/edgehold/edgehold/api/observe"

type metrics struct {
	refused func(n float64, values ...string)
	dropped func(n float64, values ...string)
}

func newMetrics(m observe.Metrics, s *Server) metrics {
	m.Gauge("edgehold_peer_requests", "Requests of nodes under way.", func() float64 { return float64(s.requests.n.Load()) })
	m.Gauge("edgehold_peer_streams", "Lease streams open to this node.", func() float64 { return float64(s.holders()) })
	return metrics{
		refused: m.Counter("edgehold_peer_refused_total", "Requests refused because too many were under way.", "method"),
		dropped: m.Counter("edgehold_peer_dropped_total", "Messages that a lease stream had no room for.", "message"),
	}
}
