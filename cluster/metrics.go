package cluster

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
)

// waits are the histogram bounds in seconds: from a leased read over HTTP to a session that expires.
var waits = []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// moments are the histogram bounds in seconds of what happens in memory.
var moments = []float64{1e-7, 2e-7, 5e-7, 1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2}

// metrics registers what the rooms of one node measure with a registry of that node.
type metrics struct {
	registry *prometheus.Registry
	labels   prometheus.Labels
}

var _ observe.Metrics = metrics{}

func newMetrics() metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return metrics{registry: r}
}

// with is the same registry, with a label on everything: a node has several replicas, and several rooms for load.
func (m metrics) with(label, value string) metrics {
	return metrics{registry: m.registry, labels: prometheus.Labels{label: value}}
}

// forGroup is the same registry, with a group label on everything.
func (m metrics) forGroup(g api.GroupID) metrics { return m.with("group", string(g)) }

func (m metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// register returns the collector that is registered already if a replica was closed and opened again.
func register[C prometheus.Collector](r *prometheus.Registry, c C) C {
	if err := r.Register(c); err != nil {
		already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err)
		if !ok {
			panic(err) // a room registered one name with two meanings
		}
		return already.ExistingCollector.(C)
	}
	return c
}

func (m metrics) Counter(name, help string, labels ...string) func(float64, ...string) {
	c := register(m.registry, prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: name, Help: help, ConstLabels: m.labels}, labels))
	if len(labels) == 0 {
		only := c.WithLabelValues()
		return func(n float64, _ ...string) { only.Add(n) }
	}
	return func(n float64, values ...string) { c.WithLabelValues(clean(values)...).Add(n) }
}

func (m metrics) Gauge(name, help string, read func() float64) {
	g := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: m.labels}, read)
	m.registry.Unregister(g) // of a room that was closed and opened again: it read the old one
	register[prometheus.Collector](m.registry, g)
}

// Total is a counter that a function reads: the number of something that is counted elsewhere.
func (m metrics) Total(name, help string, read func() float64) {
	c := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: m.labels}, read)
	m.registry.Unregister(c)
	register[prometheus.Collector](m.registry, c)
}

func (m metrics) Histogram(name, help string, labels ...string) func(float64, ...string) {
	return m.histogram(waits, name, help, labels)
}

func (m metrics) FineHistogram(name, help string, labels ...string) func(float64, ...string) {
	return m.histogram(moments, name, help, labels)
}

func (m metrics) histogram(bounds []float64, name, help string, labels []string) func(float64, ...string) {
	h := register(m.registry, prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Name: name, Help: help, ConstLabels: m.labels, Buckets: bounds}, labels))
	if len(labels) == 0 {
		only := h.WithLabelValues()
		return func(s float64, _ ...string) { only.Observe(s) }
	}
	return func(s float64, values ...string) { h.WithLabelValues(clean(values)...).Observe(s) }
}

// clean makes label values valid UTF-8, which the library demands with a panic. It does not change the caller's values.
func clean(values []string) []string {
	for i, v := range values {
		if !utf8.ValidString(v) {
			values = slices.Clone(values)
			values[i] = strings.ToValidUTF8(v, "?")
		}
	}
	return values
}
