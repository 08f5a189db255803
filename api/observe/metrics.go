// Package observe is how a package registers what it measures, without knowing where the figures go.
package observe

// Metrics is where a room registers what it measures. Names follow Prometheus: edgehold_<room>_<what>_<unit>.
// Each name is registered once a node; the returned functions are cheap and safe for concurrent use.
type Metrics interface {
	// Counter returns a function that adds to a counter; its arguments after the amount are the label values, which are the
	// caller's again when it returns.
	Counter(name, help string, labels ...string) func(n float64, values ...string)
	// Gauge registers a function that is asked at scrape time.
	Gauge(name, help string, read func() float64)
	// Histogram returns a function that observes seconds.
	Histogram(name, help string, labels ...string) func(seconds float64, values ...string)
	// FineHistogram is Histogram of what takes microseconds: it tells times from 100 ns on apart.
	FineHistogram(name, help string, labels ...string) func(seconds float64, values ...string)
}

// NoMetrics measures nothing.
type NoMetrics struct{}

var _ Metrics = NoMetrics{}

// Counter counts nothing.
func (NoMetrics) Counter(string, string, ...string) func(float64, ...string) {
	return func(float64, ...string) {}
}

// Gauge is never asked.
func (NoMetrics) Gauge(string, string, func() float64) {}

// Histogram observes nothing.
func (NoMetrics) Histogram(string, string, ...string) func(float64, ...string) {
	return func(float64, ...string) {}
}

// FineHistogram observes nothing.
func (NoMetrics) FineHistogram(string, string, ...string) func(float64, ...string) {
	return func(float64, ...string) {}
}
