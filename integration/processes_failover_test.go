package integration

import (
	"cmp"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// regionFleet is a region of three servers, which owns every key, and another region with a server and an edge.
type regionFleet struct {
	*fleet
	there, edge *daemon // of the other region
}

func newRegionFleet(t *testing.T, binary string) *regionFleet {
	f := &regionFleet{fleet: newFleet(t, binary)}
	seed := ""
	for _, name := range []string{"us-east-1", "us-east-2", "us-east-3"} {
		d := f.server(t, name, "us-east", seed)
		seed = cmp.Or(seed, d.address)
	}
	f.there = f.server(t, "eu-west-1", "eu-west", seed)
	f.edge = f.fleet.edge(t, "eu-west-edge-1", "eu-west", seed)
	return f
}

// groupOf is the first group of a region, as the node sees it.
func groupOf(t *testing.T, at *daemon, region api.RegionID) api.GroupStatus {
	t.Helper()
	s, err := open(t, at).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range s.Groups {
		if g.Region == region {
			return g
		}
	}
	t.Fatalf("the cluster has no group in %s: %+v", region, s.Groups)
	return api.GroupStatus{}
}

// leader is the server that leads the region's group, as the node sees it.
func (f *fleet) leader(t *testing.T, at *daemon, region api.RegionID) (d *daemon) {
	t.Helper()
	eventually(t, time.Minute, "the group of "+string(region)+" has a leader", func() bool {
		d = f.named(groupOf(t, at, region).Leader)
		return d != nil
	})
	return d
}

// named returns the node of that name; nil if there is none.
func (f *fleet) named(name api.NodeID) *daemon {
	for _, d := range f.nodes {
		if d.name == string(name) {
			return d
		}
	}
	return nil
}

// open is a client of one node.
func open(t *testing.T, d *daemon) *client.Client {
	t.Helper()
	c, err := client.Open(t.Context(), client.Config{Endpoints: []string{d.url()}, Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// failoverBound is how soon after its leader's end a group takes writes again.
const failoverBound = 5 * time.Second

// testLeaderKilled kills a group's leader under load, and brings it back while the load goes on.
func testLeaderKilled(t *testing.T, f *regionFleet) {
	kept := mustPut(t, f.there, "kept", "as it was") // the edge has it under a lease, and leaves it alone through all of this
	leaseAt(t, f.edge, "kept")
	l := startLoad(t, f.edge, f.edge, f.there)
	eventually(t, time.Minute, "writers and readers are at work", func() bool { return l.acknowledged.Load() > 200 && l.leased.Load() > 200 })
	leader := f.leader(t, f.there, "us-east")
	before := sessionEvents(t, f.edge)

	leader.kill()
	l.killed.Store(time.Now().UnixNano())
	eventually(t, time.Minute, "the group takes writes again", func() bool { return t.Failed() || l.recovered.Load() != 0 })
	took := time.Duration(l.recovered.Load() - l.killed.Load())
	if took > failoverBound {
		t.Errorf("the first write after the leader's end was acknowledged after %v", took)
	}
	leader.start(t)
	acked, leased := l.acknowledged.Load(), l.leased.Load()
	eventually(t, time.Minute, "writers and readers are at work again", func() bool {
		return t.Failed() || l.acknowledged.Load() > acked+200 && l.leased.Load() > leased+200
	})
	l.end()
	checkSurvived(t, f.edge, before, kept)
	l.check(f.edge, f.there)

	ready(t, leader)
	if !f.isBack(t, leader) {
		t.Errorf("%s came back, and the cluster does not know it under its old name and address", leader.name)
	}
	group := groupOf(t, f.there, "us-east")
	applied := `edgehold_replica_applied_index{group="` + string(group.Group) + `"}`
	eventually(t, time.Minute, leader.name+" has applied what the leader has", func() bool {
		return leader.metric(t, applied) >= f.named(group.Leader).metric(t, applied)
	})
	l.check(leader)
	t.Logf("%d writes acknowledged, %d reads under leases; writes came back %v after the kill",
		l.acknowledged.Load(), l.leased.Load(), took.Round(time.Millisecond))
}

// isBack reports whether the cluster sees the node under its old name.
func (f *regionFleet) isBack(t *testing.T, d *daemon) bool {
	t.Helper()
	s, err := open(t, f.there).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for _, n := range s.Nodes {
		if n.Node == api.NodeID(d.name) && n.URL == d.url() && n.State == "up" {
			same++
		}
	}
	return same == 1 && len(s.Nodes) == len(f.nodes)
}

// events are the counts of what has happened to an edge's sessions.
type events struct{ opened, dead float64 }

// sessionEvents waits until the edge has counted up to now: it reports its counts with each keep-alive.
func sessionEvents(t *testing.T, edge *daemon) events {
	t.Helper()
	const keepAlives = "edgehold_edge_keepalives_total"
	sent := edge.metric(t, keepAlives)
	eventually(t, time.Minute, "the edge sends keep-alives", func() bool { return edge.metric(t, keepAlives) > sent })
	return events{
		opened: edge.metric(t, `edgehold_edge_session_events_total{event="opened"}`),
		dead:   edge.metric(t, `edgehold_edge_session_events_total{event="dead"}`),
	}
}

// checkSurvived reports whether the edge's sessions have outlived the leader: none has died or was opened anew, and a lease
// from before serves.
func checkSurvived(t *testing.T, edge *daemon, before events, kept reply) {
	t.Helper()
	eventually(t, time.Minute, "the edge may use both its sessions", func() bool { return edge.metric(t, "edgehold_edge_sessions_usable") == 2 })
	r := edge.get("/v1/kv/kept")
	if r.servedBy() != "lease" || r.header.Get("Edgehold-Version") != kept.header.Get("Edgehold-Version") {
		t.Errorf("a key leased before, not written since: the edge answers by %q, %s", r.servedBy(), r.header.Get("Edgehold-Version"))
	}
	if after := sessionEvents(t, edge); after != before {
		t.Errorf("the edge's sessions have not survived: before %+v, after %+v", before, after)
	}
}
