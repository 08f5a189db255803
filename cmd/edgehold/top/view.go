package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

// downAfter is how old what is known of a node may be before the node counts as down.
const downAfter = 3 * time.Second

// Order is what the nodes are sorted by.
type Order int

// The orders, in which the key s steps through them.
const (
	ByMap Order = iota // as the placement map lists them
	ByReads
	ByWrites
	ByAge
	orders
)

func (o Order) String() string {
	return [...]string{"as they joined", "by reads", "by writes", "by age"}[o]
}

// line is a line of the screen. A loud one stands out.
type line struct {
	text string
	loud bool
}

// View is what is to be seen of the newest event. The zero value has none.
type View struct {
	Event *Event
	// Waited is how long ago it has come.
	Waited time.Duration
	// From is the node that is asked, and Problem why there is no newer event; "" if there is nothing the matter.
	From, Problem string
	Order         Order
}

// head returns the lines that stay on top.
func (v *View) head() []line {
	if v.Event == nil {
		return []line{{text: "edgehold top: waiting for " + printable(v.From)}, {text: printable(v.Problem), loud: true}}
	}
	e, down := v.Event, 0
	for i := range e.Nodes {
		if v.isDown(&e.Nodes[i]) {
			down++
		}
	}
	first := fmt.Sprintf("cluster %s  %d nodes, %d down  %d groups  %d sessions  %d leases", printable(e.ClusterID), len(e.Nodes), down, len(e.Groups), e.Sessions, e.Leases)
	second := line{text: fmt.Sprintf("asked %s  nodes %v", printable(cmp.Or(string(e.Live.Node), v.From)), v.Order)}
	if v.Problem != "" || v.Waited > downAfter {
		second = line{text: fmt.Sprintf("NO NEWS for %s: %s", seconds(v.Waited), printable(cmp.Or(v.Problem, "the node sends nothing"))), loud: true}
	}
	return []line{{text: first}, second, {}}
}

// body returns what is below, which may be scrolled.
func (v *View) body() []line {
	if v.Event == nil {
		return nil
	}
	all := v.sources()
	all = append(all, line{})
	all = append(all, v.nodes()...)
	all = append(all, line{})
	all = append(all, v.groups()...)
	all = append(all, v.alarms()...)
	return all
}

// Text returns all of it, for what is no terminal.
func (v *View) Text() string {
	var b strings.Builder
	for _, l := range append(v.head(), v.body()...) {
		b.WriteString(strings.TrimRight(l.text, " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// of returns what was told of a node lately, and how old it is now; nil if nothing was.
func (v *View) of(id api.NodeID) (*api.NodeLive, time.Duration) {
	for i := range v.Event.Live.Nodes {
		if n := &v.Event.Live.Nodes[i]; n.Node == id && n.AgeMs >= 0 {
			return n, time.Duration(n.AgeMs)*time.Millisecond + v.Waited
		}
	}
	return nil, 0
}

// isDown reports whether the node does not answer, or what is known of it is too old.
func (v *View) isDown(n *api.NodeStatus) bool {
	_, age := v.of(n.Node)
	return n.State == "unreachable" || age > downAfter
}

// rate is a number of things within a time, as things in a second.
func rate(n uint64, overMs int64) float64 {
	if overMs <= 0 {
		return 0
	}
	return float64(n) * 1000 / float64(overMs)
}

func reads(n *api.NodeLive) float64 { return rate(n.ReadsLease+n.ReadsOwner+n.ReadsStale, n.OverMs) }

// writes are those that the node has sent to groups.
func writes(n *api.NodeLive) float64 {
	var all uint64
	for _, f := range n.Flows {
		all += f.Writes
	}
	return rate(all, n.OverMs)
}

// sources sums up what has served the reads of all nodes that are not down, and how long their owners and the groups of writes took.
func (v *View) sources() []line {
	var lease, owner, stale, wrote, revoked float64
	var all api.Flow
	var timed api.NodeLive
	for i := range v.Event.Nodes {
		n, _ := v.of(v.Event.Nodes[i].Node)
		if n == nil || v.isDown(&v.Event.Nodes[i]) {
			continue
		}
		lease += rate(n.ReadsLease, n.OverMs)
		owner += rate(n.ReadsOwner, n.OverMs)
		stale += rate(n.ReadsStale, n.OverMs)
		wrote += writes(n)
		revoked += rate(n.Revoked, n.OverMs)
		timed.TimedLease, timed.TimedLeaseNs = timed.TimedLease+n.TimedLease, timed.TimedLeaseNs+n.TimedLeaseNs
		timed.TimedStale, timed.TimedStaleNs = timed.TimedStale+n.TimedStale, timed.TimedStaleNs+n.TimedStaleNs
		for _, f := range n.Flows {
			all.Reads, all.ReadUs = all.Reads+f.Reads, all.ReadUs+f.ReadUs
			all.Writes, all.WriteUs = all.Writes+f.Writes, all.WriteUs+f.WriteUs
		}
	}
	const row = "%-16s %10s %10s %10s %10s %10s"
	return []line{
		{text: fmt.Sprintf(row, "ALL NODES", "BY LEASE", "BY OWNER", "STALE", "WRITES", "REVOKED")},
		{text: fmt.Sprintf(row, "a second", count(lease), count(owner), count(stale), count(wrote), count(revoked))},
		{text: fmt.Sprintf(row, "mean time", mean(timed.TimedLeaseNs, timed.TimedLease), mean(1000*all.ReadUs, all.Reads),
			mean(timed.TimedStaleNs, timed.TimedStale), mean(1000*all.WriteUs, all.Writes), "")},
	}
}

// mean is the mean of n times that are ns nanoseconds together.
func mean(ns, n uint64) string {
	if n == 0 {
		return "-"
	}
	us := float64(ns) / float64(n) / 1000
	if us < 100 {
		return fmt.Sprintf("%.1fus", us)
	}
	return fmt.Sprintf("%.1fms", us/1000)
}

const nodeRow = "%-18s %-9s %5s %8s %8s %8s %8s %8s"

// nodes has a row for each node of the map. A node that is down has no rates, and the age of what is known of it.
func (v *View) nodes() []line {
	all := []line{{text: fmt.Sprintf(nodeRow, "NODE", "STATE", "AGE", "LEASE/s", "OWNER/s", "STALE/s", "WRITE/s", "REVOKE/s")}}
	for _, s := range v.sorted() {
		n, age := v.of(s.Node)
		old := "-"
		if n != nil {
			old = seconds(age)
		}
		cells := []any{fit(string(s.Node), 18), fit(s.State, 9), old, "-", "-", "-", "-", "-"}
		down := v.isDown(&s)
		switch {
		case down:
			cells[1] = "DOWN"
		case n != nil && n.OverMs > 0:
			cells = append(cells[:3], count(rate(n.ReadsLease, n.OverMs)), count(rate(n.ReadsOwner, n.OverMs)), count(rate(n.ReadsStale, n.OverMs)), count(writes(n)), count(rate(n.Revoked, n.OverMs)))
		}
		all = append(all, line{fmt.Sprintf(nodeRow, cells...), down})
	}
	return all
}

// sorted returns the nodes in the order that is chosen, the busiest or oldest first.
func (v *View) sorted() []api.NodeStatus {
	all := slices.Clone(v.Event.Nodes)
	weigh := func(s api.NodeStatus) float64 {
		n, age := v.of(s.Node)
		switch {
		case n == nil && v.Order == ByAge:
			return float64(time.Duration(1<<62) / time.Second)
		case n == nil:
			return -1
		case v.Order == ByReads:
			return reads(n)
		case v.Order == ByWrites:
			return writes(n)
		case v.Order == ByAge:
			return age.Seconds()
		}
		return 0
	}
	slices.SortStableFunc(all, func(a, b api.NodeStatus) int { return cmp.Compare(weigh(b), weigh(a)) })
	return all
}

const groupRow = "%-12s %-15s %5s %5s %6s %5s %4s %s"

// groups has a row for each group, as its leader sees it.
func (v *View) groups() []line {
	all := []line{{text: fmt.Sprintf(groupRow, "GROUP", "LEADER", "TERM", "AGE", "VOTERS", "LAG", "WAIT", "DELAYED BY")}}
	for _, s := range v.Event.Groups {
		age, heard, lag, waiting, by := "-", "-", "-", "-", ""
		i := slices.IndexFunc(v.Event.Live.Groups, func(g api.GroupLive) bool { return g.Group == s.Group })
		if i >= 0 {
			g := &v.Event.Live.Groups[i]
			age = seconds(time.Duration(g.AgeMs)*time.Millisecond + v.Waited)
			waiting = count(float64(g.Waiting))
			heard, lag = membersOf(g)
			by = slowest(g)
		}
		leader := cmp.Or(string(s.Leader), "NONE KNOWN")
		text := fmt.Sprintf(groupRow, fit(string(s.Group), 12), fit(leader, 15), count(float64(s.Term)), age, heard, lag, waiting, printable(by))
		all = append(all, line{strings.TrimRight(text, " "), s.Leader == ""})
	}
	return all
}

// membersOf returns how many voters of how many the leader hears, and how many entries the last of them lacks.
func membersOf(g *api.GroupLive) (heard, lag string) {
	var voters, answer int
	var most int64
	for _, m := range g.Members {
		if !m.Voter {
			continue
		}
		voters++
		if m.Heard || m.Node == g.Node {
			answer++
		}
		most = max(most, m.Lag)
	}
	return fmt.Sprintf("%d/%d", answer, voters), count(float64(most))
}

// slowest names the lease holder for which writes have waited longest within the last second; "" if they have waited for none.
func slowest(g *api.GroupLive) string {
	var worst *api.LeaseHolder
	for i := range g.Holders {
		if h := &g.Holders[i]; h.Delayed > 0 && (worst == nil || h.DelayMs > worst.DelayMs) {
			worst = h
		}
	}
	if worst == nil {
		return ""
	}
	return fmt.Sprintf("%s %.0fms", worst.Node, worst.DelayMs/float64(worst.Delayed))
}

// alarms says what waits for an operator.
func (v *View) alarms() []line {
	var all []line
	for i, a := range v.Event.Live.Alarms {
		if i == 0 {
			all = append(all, line{}, line{text: "ALARMS"})
		}
		text := printable(a.Text)
		if a.Next != "" {
			text += "; next: " + printable(a.Next)
		}
		all = append(all, line{text, true})
	}
	return all
}

// count is a number in at most six columns.
func count(x float64) string {
	switch {
	case x >= 1e9:
		return fmt.Sprintf("%.1fG", x/1e9)
	case x >= 1e6:
		return fmt.Sprintf("%.1fM", x/1e6)
	case x >= 1e4:
		return fmt.Sprintf("%.1fk", x/1e3)
	case x >= 10 || x == float64(int(x)):
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.1f", x)
}

// seconds is a time in at most five columns.
func seconds(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < 100*time.Minute:
		return fmt.Sprintf("%.0fm", d.Minutes())
	}
	return fmt.Sprintf("%.0fh", d.Hours())
}

// printable replaces what would do something to a terminal: names and texts come from other machines.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// fit is text that can be printed, cut to a width.
func fit(text string, width int) string {
	text = printable(text)
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}
