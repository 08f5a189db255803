package plot

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
)

// curve returns a curve of pairs of percent and milliseconds.
func curve(pairs ...float64) []load.Quantile {
	var points []load.Quantile
	for i := 0; i < len(pairs); i += 2 {
		points = append(points, load.Quantile{Percent: pairs[i], Millis: pairs[i+1]})
	}
	return points
}

func sample() *load.Report {
	r := &load.Report{
		Began: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), Seconds: 10,
		Settings:  load.Settings{Reads: 95, Keys: 1000, Zipf: 0.99, Clients: 16, Consistency: "linearizable", Prefix: "</script><script>alert(1)//"},
		Shortfall: load.Shortfall{Late: 17},
		Operations: []load.Operation{
			{Operation: "read", Count: 100_000, OpsPerSecond: 10_000, Latency: load.Latency{P50: 0.2, P99: 3.1, Max: 87.5}, ServedBy: &load.ServedBy{Lease: 99_000, Owner: 1000}, Errors: []load.Failure{},
				Curve: curve(0, 0.09, 50, 0.2, 90, 0.9, 99, 3.1, 99.99, 80, 100, 87.5)},
			{Operation: "write", Count: 5000, OpsPerSecond: 500, Failed: 3, Errors: []load.Failure{{Code: "ambiguous", Count: 3, Mean: 10_000, Max: 10_001, Text: "put: ambiguous"}},
				Curve: curve(0, 2, 50, 90, 100, 230)},
		},
		Endpoints: []load.Endpoint{{Endpoint: "http://127.0.0.1:7409", Node: "us-east-edge-1"}, {Endpoint: "https://edge.example:7411", Node: "ap-south-edge-1"}},
	}
	for i := range 40 {
		r.Timeline = append(r.Timeline, load.Point{At: float64(i) / 4, Seconds: 0.25, Reads: 2500, Writes: int64(100 + i), P50: 0.2, P99: float64(i)})
	}
	r.Timeline[7].Failed = 3
	return r
}

func write(t *testing.T, r *load.Report) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPageStandsAlone checks that the page loads nothing, and that input of the user is escaped.
func TestPageStandsAlone(t *testing.T) {
	r := sample()
	text := write(t, r)
	if found := regexp.MustCompile(`(?i)\b(src|href|srcset|action|data)\s*=|url\(|@import|<(link|iframe|object|embed|img)\b`).FindString(text); found != "" {
		t.Errorf("the page asks for something: %q", found)
	}
	for _, url := range regexp.MustCompile(`\w+://[^<"\\ ]+`).FindAllString(text, -1) {
		if url != r.Endpoints[0].Endpoint && url != r.Endpoints[1].Endpoint {
			t.Errorf("the page names %s", url)
		}
	}
	if n := strings.Count(text, "<script"); n != 1 || !strings.Contains(text, "alert(1)") {
		t.Errorf("%d scripts, one of them ours", n)
	}
}

// TestPageHoldsTheReport checks that the page has the report as JSON and as figures.
func TestPageHoldsTheReport(t *testing.T) {
	r := sample()
	text := write(t, r)
	_, data, _ := strings.Cut(text, `id="report">`)
	data, _, ok := strings.Cut(data, "</script>")
	var got load.Report
	if err := json.Unmarshal([]byte(data), &got); err != nil || !ok || !reflect.DeepEqual(&got, r) {
		t.Errorf("%v: got %+v", err, got)
	}
	for _, want := range []string{
		"2026-05-04 03:02:01 UTC", "16 clients at each of 2 endpoints", "zipf 0.99", "us-east-edge-1", "87.5 ms", "lease 99000, owner 1000",
		"3 writes failed as ambiguous, after 10.0 s on average", "17 operations were late",
		"Latency by percentile", "Throughput", "Latency over time", "99.99 %", "read: 3.10 ms at 99 %", "failed: 12/s at 1.9 s", "prefers-color-scheme: dark",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
}

// TestOfNothing checks the page of a run without answers.
func TestOfNothing(t *testing.T) {
	text := write(t, &load.Report{Operations: []load.Operation{{Operation: "read"}}, Endpoints: []load.Endpoint{{}}})
	if strings.Contains(text, "<svg") || strings.Contains(text, "Endpoints</h2>") || !strings.Contains(text, "</html>") {
		t.Error(text)
	}
	r := sample()
	r.Timeline = []load.Point{{Seconds: 0.1, Failed: 7}}
	if text := write(t, r); strings.Contains(text, "NaN") || strings.Contains(text, "Latency over time") {
		t.Error("a moment without an answer")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteFails(t *testing.T) {
	if err := Write(full{}, sample()); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

// TestLinesStayInThePlot checks that lines are inside the plot and rise with their values.
func TestLinesStayInThePlot(t *testing.T) {
	for _, d := range charts(sample()) {
		for _, l := range d.Lines {
			last := math.Inf(-1)
			for _, p := range l.Dots {
				if p.X < d.Left || p.X > d.Right || p.Y < d.Top || p.Y > d.Bottom || p.X < last {
					t.Errorf("%s: %+v after %v", d.Title, p, last)
				}
				last = p.X
			}
		}
	}
}
