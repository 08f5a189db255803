// Package plot draws the report of a load as a self-contained HTML page, without scripts and external fonts or images, for light
// and dark screens. The page also has the report as JSON.
package plot

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"time"

	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"millis": load.MillisText, "rate": load.RateText,
	"moment": func(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST") },
}).Parse(pageText))

// Write writes the page for r.
func Write(w io.Writer, r *load.Report) error {
	return page.Execute(w, struct {
		*load.Report
		Charts  []*drawing
		Trouble bool
		Data    *load.Report
	}{r, charts(r), trouble(r), r})
}

// trouble reports whether an operation failed, was late, not started or cut off.
func trouble(r *load.Report) bool {
	return r.Shortfall != load.Shortfall{} || slices.ContainsFunc(r.Operations, func(o load.Operation) bool { return o.Failed > 0 })
}

// charts returns the charts for which there are results.
func charts(r *load.Report) []*drawing {
	var list []*drawing
	for _, c := range []*chart{byPercentile(r), throughput(r), overTime(r)} {
		if c != nil {
			list = append(list, c.draw())
		}
	}
	return list
}

// byPercentile returns the distribution of the latencies of each kind of operation.
func byPercentile(r *load.Report) *chart {
	c := &chart{
		Title: "Latency by percentile",
		Note:  "The percentage of operations that took at most this long. Both axes are logarithmic: each step to the right is ten times rarer.",
	}
	low, high, nines := math.Inf(1), 0.0, 1.0
	for _, o := range r.Operations {
		if len(o.Curve) == 0 {
			continue
		}
		line := series{Name: o.Operation, Class: o.Operation}
		most := math.Log10(float64(max(10, o.Count)))
		for _, q := range o.Curve {
			x := most
			if q.Percent < 100 {
				x = min(x, -math.Log10(1-q.Percent/100))
			}
			y := max(q.Millis, 0.001)
			line.Points = append(line.Points, xy{x, y, fmt.Sprintf("%s: %s at %.5g %%", o.Operation, load.MillisText(y), q.Percent)})
			low, high = min(low, y), max(high, y)
		}
		nines = max(nines, most)
		c.Series = append(c.Series, line)
	}
	if len(c.Series) == 0 {
		return nil
	}
	c.X, c.Y = ninesAxis(nines), logAxis(low, high)
	return c
}

// throughput returns the operations that were answered, and that failed, over time.
func throughput(r *load.Report) *chart {
	if len(r.Timeline) == 0 {
		return nil
	}
	c := &chart{Title: "Throughput", Note: "Operations per second that were answered"}
	of := map[string]func(load.Point) int64{
		"read":   func(p load.Point) int64 { return p.Reads },
		"write":  func(p load.Point) int64 { return p.Writes },
		"failed": func(p load.Point) int64 { return p.Failed },
	}
	names := make([]string, 0, len(of))
	for _, o := range r.Operations {
		names = append(names, o.Operation)
	}
	if slices.ContainsFunc(r.Timeline, func(p load.Point) bool { return p.Failed > 0 }) {
		c.Note += ", and that failed"
		names = append(names, "failed")
	}
	high := 0.0
	for _, name := range names {
		line := series{Name: name, Class: name}
		for _, p := range r.Timeline {
			y := float64(of[name](p)) / p.Seconds
			line.Points = append(line.Points, xy{middle(p), y, fmt.Sprintf("%s: %s/s at %.1f s", name, load.RateText(y), middle(p))})
			high = max(high, y)
		}
		c.Series = append(c.Series, line)
	}
	c.Note += "."
	c.X, c.Y = timeAxis(r.Seconds), linearAxis(high)
	return c
}

// overTime returns the latencies of all operations over time.
func overTime(r *load.Report) *chart {
	c := &chart{Title: "Latency over time", Note: "Of all operations that ended at each time, on a logarithmic axis."}
	p50, p99 := series{Name: "p50", Class: "p50"}, series{Name: "p99", Class: "p99"}
	low, high := math.Inf(1), 0.0
	for _, p := range r.Timeline {
		if p.Reads+p.Writes == 0 {
			continue
		}
		for s, y := range map[*series]float64{&p50: p.P50, &p99: p.P99} {
			y = max(y, 0.001)
			s.Points = append(s.Points, xy{middle(p), y, fmt.Sprintf("%s: %s at %.1f s", s.Name, load.MillisText(y), middle(p))})
			low, high = min(low, y), max(high, y)
		}
	}
	if len(p50.Points) == 0 {
		return nil
	}
	c.Series = []series{p50, p99}
	c.X, c.Y = timeAxis(r.Seconds), logAxis(low, high)
	return c
}

// middle returns the middle of the time of the point.
func middle(p load.Point) float64 { return p.At + p.Seconds/2 }
