package main

import (
	"fmt"
	"strings"

	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
)

// benchText is a report for people.
func benchText(r *load.Report) string {
	var b strings.Builder
	b.WriteString(benchHead(r) + "\n\n")
	rows := table{append([]string{"OPERATION"}, benchColumns...)}
	for _, o := range r.Operations {
		rows = append(rows, append([]string{o.Operation}, benchCells(&o)...))
	}
	b.WriteString(rows.String())
	if len(r.Endpoints) > 1 {
		rows = table{append([]string{"ENDPOINT", "NODE", "OPERATION"}, benchColumns...)}
		for _, e := range r.Endpoints {
			for _, o := range e.Operations {
				rows = append(rows, append([]string{e.Endpoint, string(e.Node), o.Operation}, benchCells(&o)...))
			}
		}
		b.WriteString("\n" + rows.String())
	}
	if notes := benchNotes(r); len(notes) > 0 {
		b.WriteString("\n" + strings.Join(notes, "\n") + "\n")
	}
	return b.String()
}

// benchHead tells what was measured.
func benchHead(r *load.Report) string {
	s := &r.Settings
	clients := fmt.Sprintf("%d clients", s.Clients)
	if n := len(r.Endpoints); n > 1 {
		clients += fmt.Sprintf(" at each of %d endpoints", n)
	}
	loop := "as fast as they can"
	if s.Rate > 0 {
		loop = load.RateText(s.Rate) + " operations due in a second"
	}
	keys := fmt.Sprintf("%d keys, all alike", s.Keys)
	if s.Zipf > 0 {
		keys = fmt.Sprintf("%d keys, zipf %v", s.Keys, s.Zipf)
	}
	return fmt.Sprintf("%.1f s, %s, %s\n%v %% reads (%s) of %s; keys of %d bytes, values of %d", r.Seconds, clients, loop, s.Reads, s.Consistency, keys, s.KeySize, s.ValueSize)
}

var benchColumns = []string{"COUNT", "OPS/S", "FAILED", "MEAN", "P50", "P90", "P99", "P99.9", "MAX"}

func benchCells(o *load.Operation) []string {
	cells := []string{fmt.Sprint(o.Count), load.RateText(o.OpsPerSecond), fmt.Sprint(o.Failed)}
	l := &o.Latency
	for _, ms := range []float64{l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max} {
		if o.Count == 0 {
			cells = append(cells, "-")
		} else {
			cells = append(cells, load.MillisText(ms))
		}
	}
	return cells
}

// benchNotes is what the table does not tell.
func benchNotes(r *load.Report) []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
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
			add("%s failed: %d %s, after %s on average and %s at most; such as %s", o.Operation, e.Count, e.Code, load.MillisText(e.Mean), load.MillisText(e.Max), explain(e.Err))
		}
	}
	if r.Late > 0 {
		add("%d operations were late: all clients were busy when they were due; the wait is part of their latency", r.Late)
	}
	if r.NotStarted > 0 {
		add("%d operations were due and not started before the end, and are in none of the figures above: the clients did not keep up with --rate", r.NotStarted)
	}
	if r.CutOff > 0 {
		add("%d operations were under way when it was interrupted", r.CutOff)
	}
	return notes
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
