package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// table is what people read: a title, a head, and rows.
type table struct {
	title string
	head  []string
	rows  [][]string
}

var titles = []struct{ work, title string }{
	{putWork, "Puts of 256 bytes, on the disks of a majority before each is acknowledged"},
	{readWork, "Linearizable reads of 256 bytes, by the owner"},
	{localWork, "Local reads of 256 bytes: under a lease at an edge whose keys live 200 ms away, beside what only has memory"},
	{respWork, "Local reads of 256 bytes over RESP: under a lease at an edge, beside Redis, each on the same one core"},
	{pipeWork, "The same, 16 GETs an operation"},
	{watchWork, "Changes told to watchers of one member, each of every key: ops are events; p50, p99: until the last watcher has a put"},
}

// tables of everything that was measured.
func (r *report) tables() []table {
	var out []table
	for _, t := range titles {
		tab := table{title: t.title, head: []string{
			"clients", "product", "ops/s", "least-most", "p50 ms", "p99 ms", "server us/op", "client us/op", "rate ratio", "CPU ratio",
		}}
		for _, x := range r.Results {
			if x.Work == t.work {
				tab.rows = append(tab.rows, r.row(x))
			}
		}
		if len(tab.rows) > 0 {
			out = append(out, tab)
		}
	}
	return out
}

func (r *report) row(x *result) []string {
	least, most := x.Rounds[0].Rate, x.Rounds[0].Rate
	for _, s := range x.Rounds {
		least, most = min(least, s.Rate), max(most, s.Rate)
	}
	name := x.Product
	if x.Median.Failed > 0 {
		name += fmt.Sprintf(" (%d failed)", x.Median.Failed)
	}
	m := &x.Median
	row := []string{
		fmt.Sprint(x.Clients), name, thousands(m.Rate), thousands(least) + "-" + thousands(most),
		short(m.P50), short(m.P99), short(m.ServerCPU), short(m.ClientCPU), "", "",
	}
	ours := r.find(work{edgeholdName, x.Work, x.Clients})
	if ours != nil && ours != x {
		row[8], row[9] = ratio(ours.Median.Rate, m.Rate), ratio(ours.Median.ServerCPU, m.ServerCPU)
	}
	return row
}

// ratio of Edgehold's figure to the other's.
func ratio(ours, theirs float64) string {
	if theirs == 0 || ours == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", ours/theirs)
}

// thousands prints a whole number with commas.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short prints three digits or so.
func short(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// counted is a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// about is where, what and how, in sentences.
func (r *report) about() []string {
	m, s := &r.Machine, &r.Settings
	products := []string{}
	for name, v := range r.Versions {
		if v != "" && slices.ContainsFunc(r.Results, func(x *result) bool { return x.Product == name }) {
			products = append(products, name+" "+v)
		}
	}
	slices.Sort(products)
	via := "evenly to the three members"
	if s.Leader {
		via = "to the leader"
	}
	return []string{
		fmt.Sprintf("%d cores, %.0f GiB of memory, %s, %s, %s; load average %.1f before the run and %.1f after it.",
			m.Cores, m.MemoryGiB, m.Kernel, m.FileSystem, m.Go, m.LoadBefore, m.LoadAfter),
		"Measured: " + strings.Join(products, ", ") + ".",
		fmt.Sprintf("Medians of %s of %g s each after %g s of warm-up; %s.", counted(s.Rounds, "round"), s.Seconds, s.WarmUp, s.Date),
		fmt.Sprintf("Values of %d bytes over %s keys, local reads over %s.",
			s.ValueBytes, thousands(float64(s.Keys)), thousands(float64(s.LocalKeys))),
		"Clients of replicated products talk " + via + ".",
	}
}

// text is for a terminal.
func (r *report) text() string {
	var b bytes.Buffer
	for _, line := range r.about() {
		fmt.Fprintln(&b, line)
	}
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n%s\n", t.title)
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		for _, row := range append([][]string{t.head}, t.rows...) {
			fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
		}
		_ = w.Flush() // into memory
	}
	fmt.Fprintln(&b, "\nrate ratio, CPU ratio: Edgehold's divided by the row's.")
	return b.String()
}

// markdown is for docs/benchmarks/peers.md.
func (r *report) markdown() string {
	var b strings.Builder
	for _, line := range r.about() {
		fmt.Fprintln(&b, line)
	}
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n### %s\n\n", t.title)
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
		for _, row := range t.rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	return b.String()
}
