package peer

import "github.com/edgehold/edgehold/api/observe"

type metrics struct {
	refused func(n float64, values ...string)
}

func newMetrics(m observe.Metrics, s *Server) metrics {
	m.Gauge("edgehold_peer_requests", "Requests of nodes under way.", func() float64 { return float64(s.shares[Requests].n.Load()) })
	return metrics{
		refused: m.Counter("edgehold_peer_refused_total", "Requests refused because too many were under way.", "method"),
	}
}
