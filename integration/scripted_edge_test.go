package integration

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestSnapshotOverRegions: a snapshot of keys of three regions, of which one is leased at the reader, is read in one round to
// the farthest owner and one that finds nothing changed, whether the keys exist, were deleted or never existed. Each
// entry has its name, and values that the reader knows are left out.
func TestSnapshotOverRegions(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		at := p.byName["us-east-edge-1"]
		read := func(q *api.ReadRequest) (*api.ReadResult, time.Duration) {
			began := time.Now()
			res, err := storetest.Read(within(p.t, 10*time.Second), at.store0(), q)
			if err != nil {
				p.t.Fatal(err)
			}
			return res, time.Since(began)
		}
		p.put(at, "us-east/leased", "v")
		p.lease(at, "us-east/leased", "v")
		p.put(at, "ap-south/there", "v")
		p.put(at, "ap-south/deleted", "v")
		if _, err := at.store0().Do(within(p.t, 10*time.Second), &api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "ap-south/deleted"}}}); err != nil {
			p.t.Fatal(err)
		}
		known, _ := read(&api.ReadRequest{Keys: []api.Key{"us-east/leased", "eu-west/never", "ap-south/there"}, Snapshot: true})
		_, round := read(&api.ReadRequest{Keys: []api.Key{"ap-south/there"}, Consistency: api.Quorum})
		for _, far := range []api.Key{"ap-south/there", "ap-south/deleted", "ap-south/never"} {
			keys := []api.Key{"us-east/leased", "eu-west/never", far}
			res, took := read(&api.ReadRequest{Keys: keys, Snapshot: true})
			if !res.Snapshot || took > 2*round+leeway {
				p.t.Errorf("%v: a snapshot: %v, after %v; a round takes %v", keys, res.Snapshot, took, round)
			}
			for i, k := range keys {
				exists := i == 0 || far == "ap-south/there" && i == 2
				if e := res.Entries[i]; e.Key != k || e.Exists != exists || e.Unchanged || (string(e.Value) == "v") != exists {
					p.t.Errorf("entry %d of %v: %+v", i, keys, e)
				}
			}
		}
		q := &api.ReadRequest{Snapshot: true}
		for _, e := range known.Entries {
			q.Keys, q.Known = append(q.Keys, e.Key), append(q.Known, e.Version)
		}
		res, _ := read(q)
		for i, e := range res.Entries {
			if want := known.Entries[i]; e.Version != want.Version || e.Unchanged != want.Exists || e.Value != nil {
				p.t.Errorf("known entry %d: %+v, want %+v left out", i, e, want)
			}
		}
	})
}

// TestWrongClockCommits: a node whose clock is slow gets no leases, and its session is not renewed. It commits across
// regions all the same, also under an id, once.
func TestWrongClockCommits(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		wrong := p.byName["eu-west-edge-1"]
		wrong.clock.SetRate(0.9)
		time.Sleep(time.Minute)
		p.reads(wrong, "us-east/a", "")
		if n := wrong.running().Store(); n.Usable(p.owner("us-east/a")) {
			p.t.Fatal("the session of a node whose clock is slow is renewed")
		}
		txn := &api.Txn{
			ID: api.RequestID{Client: api.ClientID{7}, Seq: 1},
			Then: []api.Op{
				{Kind: api.OpPut, Key: "us-east/a", Value: []byte("v")},
				{Kind: api.OpAdd, Key: "ap-south/b", Delta: 1},
			},
		}
		for range 2 {
			again := *txn
			res, err := wrong.store0().Do(within(p.t, 10*time.Second), &again)
			if err != nil || !res.Committed {
				p.t.Fatalf("%+v, %v", res, err)
			}
		}
		p.reads(wrong, "us-east/a", "v")
		p.reads(wrong, "ap-south/b", "1")
	})
}
