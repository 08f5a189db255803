package bench

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
)

// Text returns a report as text. explain returns the meaning of an error in one line.
func Text(r *load.Report, explain func(error) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", head(r))
	rows := [][]string{append([]string{"OPERATION"}, columns...)}
	for _, o := range r.Operations {
		rows = append(rows, append([]string{o.Operation}, cells(&o)...))
	}
	writeTable(&b, rows)
	if len(r.Endpoints) > 1 {
		rows = [][]string{append([]string{"ENDPOINT", "NODE", "OPERATION"}, columns...)}
		for _, e := range r.Endpoints {
			for _, o := range e.Operations {
				rows = append(rows, append([]string{e.Endpoint, string(e.Node), o.Operation}, cells(&o)...))
			}
		}
		b.WriteByte('\n')
		writeTable(&b, rows)
	}
	if lines := notes(r, explain); len(lines) > 0 {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(lines, "\n"))
	}
	return b.String()
}

// writeTable writes rows with equal numbers of cells in aligned columns.
func writeTable(b *strings.Builder, rows [][]string) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) // into memory: never fails
	}
	_ = w.Flush()
}

// head describes the load.
func head(r *load.Report) string {
	s := &r.Settings
	clients := fmt.Sprintf("%d clients", s.Clients)
	if n := len(r.Endpoints); n > 1 {
		clients += fmt.Sprintf(" at each of %d endpoints", n)
	}
	loop := "as fast as they can"
	if s.Rate > 0 {
		loop = load.RateText(s.Rate) + " operations per second"
	}
	keys := fmt.Sprintf("%d keys, chosen equally", s.Keys)
	if s.Zipf > 0 {
		keys = fmt.Sprintf("%d keys, zipf %v", s.Keys, s.Zipf)
	}
	return fmt.Sprintf("%.1f s, %s, %s\n%v %% reads (%s) of %s; keys of %d bytes, values of %d", r.Seconds, clients, loop, s.Reads, s.Consistency, keys, s.KeySize, s.ValueSize)
}

var columns = []string{"COUNT", "OPS/S", "FAILED", "MEAN", "P50", "P90", "P99", "P99.9", "MAX"}

func cells(o *load.Operation) []string {
	row := []string{fmt.Sprint(o.Count), load.RateText(o.OpsPerSecond), fmt.Sprint(o.Failed)}
	l := &o.Latency
	for _, ms := range []float64{l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max} {
		if o.Count == 0 {
			row = append(row, "-")
		} else {
			row = append(row, load.MillisText(ms))
		}
	}
	return row
}

// notes returns the results that are not in the table.
func notes(r *load.Report, explain func(error) string) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, o := range r.Operations {
		if by := o.ServedBy; by != nil && o.Count > 0 {
			add("reads served by: %s", servedText(by, o.Count))
		}
		if o.Absent > 0 {
			add("%d reads found no value: --prepare writes every key first", o.Absent)
		}
	}
	for _, o := range r.Operations {
		for _, e := range o.Errors {
			add("%s failed: %d %s, after %s on average and %s at most; for example %s", o.Operation, e.Count, e.Code, load.MillisText(e.Mean), load.MillisText(e.Max), explain(e.Err))
		}
	}
	if r.Late > 0 {
		add("%d operations were late: all clients were busy when they were due; the wait is part of their latency", r.Late)
	}
	if r.NotStarted > 0 {
		add("%d operations were due but not started before the end, and are not in the figures above: the clients did not keep up with --rate", r.NotStarted)
	}
	if r.CutOff > 0 {
		add("%d operations were in flight at the interrupt", r.CutOff)
	}
	return lines
}

func servedText(by *load.ServedBy, of int64) string {
	var parts []string
	for _, p := range []struct {
		name string
		n    int64
	}{{"lease", by.Lease}, {"owner", by.Owner}, {"stale", by.Stale}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d (%.1f %%)", p.name, p.n, 100*float64(p.n)/float64(of)))
		}
	}
	return strings.Join(parts, ", ")
}

// readingText returns a reading in one line.
func readingText(r load.Reading) string {
	text := fmt.Sprintf("%s: %s ops/s, p50 %s, p99 %s", r.Phase, load.RateText(r.OpsPerSecond), load.MillisText(millis(r.P50)), load.MillisText(millis(r.P99)))
	if r.Late > 0 {
		text += fmt.Sprintf(", %d late", r.Late)
	}
	if r.Failed > 0 {
		text += fmt.Sprintf(", %d failed", r.Failed)
	}
	return text
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
