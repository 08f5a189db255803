package cluster

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api/observe"
)

// scrape is what the registry exports, without the metrics of libraries.
func scrape(t *testing.T, m metrics) (lines []string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("a scrape got %d: %s", w.Code, w.Body)
	}
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "edgehold_") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func says(t *testing.T, m metrics, line string) {
	t.Helper()
	all := scrape(t, m)
	if !slices.Contains(all, line) {
		t.Errorf("no line %s in:\n%s", line, strings.Join(all, "\n"))
	}
}

// TestMetricsLabels: a label may be any bytes that a client sent; groups have metrics of their own.
func TestMetricsLabels(t *testing.T) {
	m := newMetrics()
	add := m.forGroup("a.1").Counter("edgehold_test_total", "Help.", "node")
	other := m.forGroup("a.2").Counter("edgehold_test_total", "Help.", "node")
	add(1, "n\xff\xfe1")
	add(2, "n\xff\xfe1")
	other(5, `a "quoted" name`)
	observe := m.Histogram("edgehold_test_seconds", "Help.", "op")
	observe(0.2, "\xc0")
	m.Histogram("edgehold_plain_seconds", "Help.")(0.2)
	m.Counter("edgehold_plain_total", "Help.")(7)
	says(t, m, `edgehold_test_total{group="a.1",node="n?1"} 3`)
	says(t, m, `edgehold_test_total{group="a.2",node="a \"quoted\" name"} 5`)
	says(t, m, `edgehold_test_seconds_bucket{op="?",le="0.25"} 1`)
	says(t, m, `edgehold_test_seconds_bucket{op="?",le="0.1"} 0`)
	says(t, m, `edgehold_plain_seconds_count 1`)
	says(t, m, `edgehold_plain_total 7`)
}

// TestMetricsManyLabels: many sets of labels, asked again and again, each counted as its own.
func TestMetricsManyLabels(t *testing.T) {
	m := newMetrics()
	add := m.Counter("edgehold_test_total", "Help.", "route", "status")
	three := m.Counter("edgehold_three_total", "Help.", "a", "b", "c")
	values := []string{"", ""}
	for range 2 {
		for i := range 74 {
			values[0], values[1] = strconv.Itoa(i), "x\xff"
			add(float64(i), values...) // the slice is the caller's
			if values[1] != "x\xff" {
				t.Fatal("the caller's values were changed")
			}
		}
		three(1, "a", "b", "c")
	}
	for i := range 74 {
		says(t, m, fmt.Sprintf(`edgehold_test_total{route="%d",status="x?"} %d`, i, 2*i))
	}
	says(t, m, `edgehold_three_total{a="a",b="b",c="c"} 2`)
}

// TestMetricsConcurrently: many at once meet the same new sets of labels.
func TestMetricsConcurrently(t *testing.T) {
	m := newMetrics()
	add := m.Counter("edgehold_test_total", "Help.", "route", "status")
	observe := m.Histogram("edgehold_test_seconds", "Help.", "route")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 10 {
				add(1, "r", strconv.Itoa(i))
				observe(1, strconv.Itoa(i))
			}
		})
	}
	all.Wait()
	for i := range 10 {
		says(t, m, fmt.Sprintf(`edgehold_test_total{route="r",status="%d"} 8`, i))
		says(t, m, fmt.Sprintf(`edgehold_test_seconds_count{route="%d"} 8`, i))
	}
}

// TestMetricsAgain: a room that was closed and opened again goes on with its counters, and its gauges read the new one.
func TestMetricsAgain(t *testing.T) {
	m := newMetrics()
	for i := range 2 {
		g := m.forGroup("a.1")
		g.Counter("edgehold_test_total", "Help.")(1)
		g.Histogram("edgehold_test_seconds", "Help.")(1)
		g.Gauge("edgehold_test", "Help.", func() float64 { return float64(10 + i) })
	}
	says(t, m, `edgehold_test_total{group="a.1"} 2`)
	says(t, m, `edgehold_test_seconds_count{group="a.1"} 2`)
	says(t, m, `edgehold_test{group="a.1"} 11`)
}

// TestMetricsTwoMeanings: one name for two things is a mistake of ours, found when the node opens.
func TestMetricsTwoMeanings(t *testing.T) {
	m := newMetrics()
	m.Counter("edgehold_test_total", "Help.", "node")
	defer func() {
		if recover() == nil {
			t.Error("one name was registered with two meanings")
		}
	}()
	m.Counter("edgehold_test_total", "Other help.", "region")
}

var _ observe.Metrics = metrics{}
