package httpd

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api/observe"
)

// measures are this room's metrics. Labels come from small fixed sets, never from what clients send.
type measures struct {
	requests func(n float64, values ...string)
	seconds  func(seconds float64, values ...string)
	rejected func(n float64, values ...string)
}

func newMeasures(m observe.Metrics, inFlight *atomic.Int64) measures {
	m.Gauge("edgehold_httpd_requests_in_flight", "Requests being answered, probes aside.",
		func() float64 { return float64(inFlight.Load()) })
	return measures{
		requests: m.Counter("edgehold_httpd_requests_total", "Requests answered.", "route", "status"),
		seconds:  m.Histogram("edgehold_httpd_request_seconds", "Time from the request's header to the end of its answer.", "route"),
		rejected: m.Counter("edgehold_httpd_rejected_total", "Requests refused at once because of load."),
	}
}

// statusText holds the statuses as labels.
var statusText = func() (s [600]string) {
	for i := range s {
		s[i] = strconv.Itoa(i)
	}
	return s
}()

// observe counts a request; labels are memory for two of them, so that it needs none.
func (m *measures) observe(labels *[2]string, route string, status int, d time.Duration) {
	*labels = [2]string{route, statusText[min(max(status, 0), len(statusText)-1)]}
	m.requests(1, labels[:]...)
	m.seconds(d.Seconds(), labels[:1]...)
}
