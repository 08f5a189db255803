package cluster

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/group"
)

// activity is what a node has done since it started, and what it does at that moment.
type activity struct {
	// Started is when the node started, in Unix milliseconds: the counts are since then.
	Started  int64      `cbor:"1,keyasint"`
	Leased   uint64     `cbor:"2,keyasint,omitempty"`
	Owner    uint64     `cbor:"3,keyasint,omitempty"`
	Stale    uint64     `cbor:"4,keyasint,omitempty"`
	Released uint64     `cbor:"5,keyasint,omitempty"`
	Flows    []api.Flow `cbor:"6,keyasint,omitempty"`
	Keys     int64      `cbor:"7,keyasint,omitempty"`
	Bytes    int64      `cbor:"8,keyasint,omitempty"`
	Sessions int        `cbor:"9,keyasint,omitempty"`
	Usable   int        `cbor:"10,keyasint,omitempty"`
	Requests int        `cbor:"11,keyasint,omitempty"`
	Watches  int        `cbor:"12,keyasint,omitempty"`
	Links    []link     `cbor:"13,keyasint,omitempty"`
	// CertificateEnds is in Unix seconds; 0 if the node has none.
	CertificateEnds int64         `cbor:"14,keyasint,omitempty"`
	DiskFree        uint64        `cbor:"15,keyasint,omitempty"`
	DiskSize        uint64        `cbor:"16,keyasint,omitempty"`
	Led             []ledActivity `cbor:"17,keyasint,omitempty"` // groups
	// Samples of the reads answered from memory, and how long they took together.
	TimedLease   uint64 `cbor:"18,keyasint,omitempty"`
	TimedLeaseNs uint64 `cbor:"19,keyasint,omitempty"`
	TimedStale   uint64 `cbor:"20,keyasint,omitempty"`
	TimedStaleNs uint64 `cbor:"21,keyasint,omitempty"`
}

// link is how a server answers the keep-alives of the node. The times are in nanoseconds.
type link struct {
	Node      api.NodeID    `cbor:"1,keyasint"`
	RoundTrip time.Duration `cbor:"2,keyasint,omitempty"`
	Silent    time.Duration `cbor:"3,keyasint,omitempty"`
}

// ledActivity is a group that the node leads.
type ledActivity struct {
	ledGroup
	Waiting int            `cbor:"5,keyasint,omitempty"`
	Holders []group.Holder `cbor:"6,keyasint,omitempty"`
}

// activity describes what this node has done; nil while it is being opened. It does not block.
func (n *Node) activity() *activity {
	if !n.opened.Load() {
		return nil
	}
	c := n.cache.Activity()
	a := &activity{
		Started: n.started.UnixMilli(), Leased: c.Leased, Owner: c.Owner, Stale: c.Stale, Released: c.Revoked, Flows: n.router.Flows(),
		Keys: c.Keys, Bytes: c.Bytes, Sessions: c.Sessions, Usable: c.Usable, Led: n.members.ledActivity(),
		TimedLease: c.LeasedTimed.Reads, TimedLeaseNs: c.LeasedTimed.Nanoseconds, TimedStale: c.StaleTimed.Reads, TimedStaleNs: c.StaleTimed.Nanoseconds,
	}
	for _, s := range c.Servers {
		a.Links = append(a.Links, link(s))
	}
	a.Requests, a.Watches = n.backend.UnderWay()
	if id := n.membership.credentials.identity(); id != nil {
		a.CertificateEnds = id.Leaf.NotAfter.Unix()
	}
	if n.cfg.Dir != "" {
		if free, size, err := DiskSpace(n.cfg.Dir); err == nil {
			a.DiskFree, a.DiskSize = free, size
		}
	}
	return a
}

// ledActivity describes the groups that this node leads, the meta group among them.
func (m *members) ledActivity() (all []ledActivity) {
	for _, g := range m.led() {
		a := ledActivity{ledGroup: g}
		if x := m.get(g.Group); x != nil && x.authority != nil {
			if of, ok := x.authority.Activity(); ok {
				a.Waiting, a.Holders = of.Waiting, of.Holders
			}
		}
		all = append(all, a)
	}
	return all
}
