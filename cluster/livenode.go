package cluster

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/group"
)

// since returns how much a count has risen. A count that has fallen began anew.
func since(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// continues reports whether the counts of the newer report go on from those of the older one: they are of one process.
func continues(r, before *report) bool {
	return before != nil && before.Activity != nil && r.Activity != nil && before.Activity.Started == r.Activity.Started
}

// nodeLive is what a node has reported, the newest of it in r; nil is a node that was never heard.
func nodeLive(id api.NodeID, r, before *report, now time.Time) api.NodeLive {
	out := api.NodeLive{Node: id, AgeMs: -1, Flows: []api.Flow{}, Links: []api.Link{}}
	if r == nil {
		return out
	}
	out.AgeMs = max(0, now.Sub(r.at).Milliseconds())
	a := r.Activity
	if a == nil {
		return out
	}
	out.Sessions, out.Usable, out.Keys, out.Bytes = a.Sessions, a.Usable, int(a.Keys), a.Bytes
	out.Requests, out.Watches = a.Requests, a.Watches
	out.CertificateEnds, out.DiskFree, out.DiskSize = a.CertificateEnds, a.DiskFree, a.DiskSize
	for _, x := range a.Links {
		out.Links = append(out.Links, api.Link{Node: x.Node, RoundTripMs: ms(x.RoundTrip), SilentMs: x.Silent.Milliseconds() + out.AgeMs})
	}
	if !continues(r, before) {
		return out
	}
	b := before.Activity
	out.OverMs = max(1, r.at.Sub(before.at).Milliseconds())
	out.ReadsLease, out.ReadsOwner, out.ReadsStale = since(a.Leased, b.Leased), since(a.Owner, b.Owner), since(a.Stale, b.Stale)
	out.TimedLease, out.TimedLeaseNs = since(a.TimedLease, b.TimedLease), since(a.TimedLeaseNs, b.TimedLeaseNs)
	out.TimedStale, out.TimedStaleNs = since(a.TimedStale, b.TimedStale), since(a.TimedStaleNs, b.TimedStaleNs)
	out.Revoked = since(a.Released, b.Released)
	old := map[api.GroupID]api.Flow{}
	for _, f := range b.Flows {
		old[f.Group] = f
	}
	for _, f := range a.Flows {
		o := old[f.Group]
		f.Reads, f.Writes, f.ReadUs, f.WriteUs = since(f.Reads, o.Reads), since(f.Writes, o.Writes), since(f.ReadUs, o.ReadUs), since(f.WriteUs, o.WriteUs)
		if f.Reads > 0 || f.Writes > 0 {
			out.Flows = append(out.Flows, f)
		}
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// led is a group with its leader and the leader's reports.
type led struct {
	ledActivity
	leader    api.NodeID
	r, before *report
}

func (x led) live(now time.Time) api.GroupLive {
	out := api.GroupLive{Group: x.Group, Node: x.leader, AgeMs: max(0, now.Sub(x.r.at).Milliseconds()), Waiting: x.Waiting,
		Members: []api.MemberLive{}, Holders: []api.LeaseHolder{}}
	for _, m := range x.Members {
		out.Members = append(out.Members, api.MemberLive{Node: m.Node, Voter: m.Voter, Heard: m.Heard, CaughtUp: m.CaughtUp, SilentMs: m.Silent, Lag: m.Lag})
	}
	old := map[api.NodeID]group.Holder{}
	compares := continues(x.r, x.before)
	if compares {
		for _, of := range x.before.Activity.Led {
			if of.Group == x.Group {
				for _, h := range of.Holders {
					old[h.Node] = h
				}
			}
		}
		compares = len(old) > 0
	}
	for _, h := range x.Holders {
		row := api.LeaseHolder{
			Node: h.Node, Leases: h.Leases, Standing: h.Standing, Owes: h.Owes, OwesMs: h.Since.Milliseconds(), Barred: h.Barred,
			RevokedTotal: h.Revoked, DelayedTotal: h.Delayed, DelayTotalMs: ms(h.Delay),
		}
		if compares {
			b := old[h.Node]
			row.Revoked, row.Delayed, row.DelayMs = since(h.Revoked, b.Revoked), since(h.Delayed, b.Delayed), max(0, ms(h.Delay-b.Delay))
		}
		out.Holders = append(out.Holders, row)
	}
	return out
}
