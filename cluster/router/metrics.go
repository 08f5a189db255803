package router

import (
	"github.com/edgehold/edgehold/api/observe"
)

type metrics struct {
	attempts func(n float64, values ...string)
	seconds  func(seconds float64, values ...string)
}

func newMetrics(m observe.Metrics) metrics {
	return metrics{
		attempts: m.Counter("edgehold_router_attempts_total",
			"Attempts at nodes, by operation and the code of the answer (\"\" is success).", "op", "code"),
		seconds: m.Histogram("edgehold_router_request_seconds",
			"Time of requests over all their attempts.", "op"),
	}
}
