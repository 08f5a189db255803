package cluster

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
)

const (
	// certificateSoon is how long before a certificate ends it is an alarm, as docs/alerts.yaml has it.
	certificateSoon = 14 * 24 * time.Hour
	// diskSoon is the part of a disk, in percent, below which it is an alarm.
	diskSoon = 15
	// owesLong is how long a lease holder may keep a write waiting before it is an alarm.
	owesLong = 2 * time.Second
	// txnLong is how long a transaction may stay prepared.
	txnLong = 30 * time.Second
)

// alarms says in words what an operator has to do something about: the troubles of the status, and what the nodes and leaders report
// that needs a hand. Each says what to do next.
func alarms(l *api.Live) []api.Alarm {
	all := []api.Alarm{}
	add := func(next, text string, args ...any) {
		all = append(all, api.Alarm{Text: fmt.Sprintf(text, args...), Next: next})
	}
	for _, t := range l.Status.Troubles {
		add("See docs/operations/failures.md.", "%s.", t)
	}
	figures := map[api.NodeID]*api.NodeLive{}
	for i := range l.Nodes {
		figures[l.Nodes[i].Node] = &l.Nodes[i]
	}
	lost := lostRegions(l.Status.Nodes)
	for _, r := range slices.Sorted(maps.Keys(lost)) {
		add("Look at the network between the regions, then at the machines there.", "None of the %d nodes of %s answers %s.", lost[r], r, l.Node)
	}
	for _, n := range l.Status.Nodes {
		if lost[n.Region] == 0 {
			nodeAlarms(n, figures[n.Node], l.UnixMs, add)
		}
	}
	for _, g := range l.Status.Groups {
		groupAlarms(g, add)
	}
	for _, g := range l.Groups {
		leaderAlarms(g, add)
	}
	return all
}

// lostRegions are the regions of several nodes none of which answers, with the number of these.
func lostRegions(nodes []api.NodeStatus) map[api.RegionID]int {
	lost := map[api.RegionID]int{}
	for _, n := range nodes {
		if n.State == "unreachable" {
			lost[n.Region]++
		}
	}
	for _, n := range nodes {
		if n.State != "unreachable" || lost[n.Region] == 1 {
			delete(lost, n.Region)
		}
	}
	return lost
}

func nodeAlarms(n api.NodeStatus, x *api.NodeLive, nowMs int64, add func(next, text string, args ...any)) {
	switch {
	case n.State == "unreachable" && x.AgeMs < 0:
		add("Look whether its process runs and its port can be reached: edgehold doctor on its machine.", "%s does not answer, and has not since this view began.", n.Node)
	case n.State == "unreachable":
		add("Look whether its process runs and its port can be reached: edgehold doctor on its machine.", "%s has not answered for %v.", n.Node, inSeconds(x.AgeMs))
	case n.State == "refused":
		add("Give it a new folder and a join token, or remove it: edgehold cluster remove.", "The cluster refuses %s: %s.", n.Node, n.Reason)
	}
	if end := time.Unix(x.CertificateEnds, 0); x.CertificateEnds > 0 {
		if left := end.Sub(time.UnixMilli(nowMs)); left < certificateSoon {
			add("Nodes renew their certificates by themselves: its log says why it could not.", "The certificate of %s ends on %s.", n.Node, end.UTC().Format(time.DateOnly))
		}
	}
	if x.DiskSize > 0 && x.DiskFree < x.DiskSize/100*diskSoon {
		add("Make room on its disk, or move the node to a larger one.", "The disk of %s has %d %% free.", n.Node, x.DiskFree*100/x.DiskSize)
	}
}

func groupAlarms(g api.GroupStatus, add func(next, text string, args ...any)) {
	if g.Leader == "" {
		add("A group elects one if a majority of its voters run and reach each other.", "No leader of %s is known here: its keys cannot be written from here.", g.Group)
	}
	for _, k := range g.Locked {
		add(fmt.Sprintf("Bring a majority of %s back; the transaction then ends by itself.", k.Decider),
			"A transaction has locked a key of %s for %.0f s: %s, which decides it, does not answer.", g.Group, k.Seconds, k.Decider)
		break // one a group: the list of locks has the others
	}
	if g.Prepared > 0 && g.OldestPreparedSeconds > txnLong.Seconds() && len(g.Locked) == 0 {
		add("It ends when the groups that take part answer each other.", "A transaction has been prepared in %s for %.0f s.", g.Group, g.OldestPreparedSeconds)
	}
}

func leaderAlarms(g api.GroupLive, add func(next, text string, args ...any)) {
	voters, heard := 0, 0
	for _, x := range g.Members {
		if x.Voter {
			voters++
			if x.Heard {
				heard++
			}
		}
	}
	if voters > 2 && heard == voters/2+1 {
		add("Bring the silent voter back, or replace it: edgehold cluster replace.", "%s has no voter to spare: one more that fails ends its writes.", g.Group)
	}
	for _, h := range g.Holders {
		switch {
		case h.Owes > 0 && h.OwesMs >= owesLong.Milliseconds():
			add("The write goes on when the node answers, or when its leases have expired.", "%s keeps writes of %s waiting: it has not given a lease back for %v.",
				h.Node, g.Group, inSeconds(h.OwesMs))
		case h.Barred:
			add("Look why it does not answer: its network, its processors. It gets leases again when it has been well for 10 minutes.",
				"Writes of %s have had to wait again and again for leases of %s to expire.", g.Group, h.Node)
		}
	}
}

// inSeconds is a time of ms milliseconds in whole seconds.
func inSeconds(ms int64) time.Duration {
	return (time.Duration(ms) * time.Millisecond).Round(time.Second)
}
