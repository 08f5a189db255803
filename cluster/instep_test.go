package cluster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestStaleWithoutMajority: after two of three servers are lost the third, and an edge by it, answer stale and bounded reads soon, with an
// age that is an upper bound: the newest write that the lost ones acknowledged alone is younger than it. Linearizable reads fail. A
// server that has met no leader since it started knows no bound, and refuses.
func TestStaleWithoutMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		cfgs, nodes := b.static()
		s, _ := nodes["s1"].Group("r.1")
		last := map[api.NodeID]api.NodeID{"s1": "s2", "s2": "s3", "s3": "s1"}[s.Leader] // a follower
		write := func(value string) {
			t.Helper()
			if _, err := nodes["e1"].Store().Do(context.Background(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte(value)}}}); err != nil {
				t.Fatal(err)
			}
		}
		write("old")
		time.Sleep(5 * time.Second)
		for id := range nodes {
			if id != last {
				b.fabric.Cut(string(last), string(id)) // it misses what comes now
			}
		}
		write("new")
		acknowledged := time.Now()
		for id := range nodes {
			if id == last || id == "e1" {
				b.fabric.Heal(string(last), "e1")
				continue
			}
			if err := nodes[id].Close(); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(10 * time.Second)
		read := func(at api.NodeID, q api.ReadRequest) (*api.ReadResult, error) {
			q.Keys = []api.Key{"k"}
			began := time.Now()
			res, err := storetest.Read(context.Background(), nodes[at].Store(), &q)
			if took := time.Since(began); err == nil && took > 5*time.Second {
				t.Errorf("at %s it took %v", at, took)
			}
			return res, err
		}
		for _, at := range []api.NodeID{last, "e1"} {
			res, err := read(at, api.ReadRequest{Consistency: api.Stale})
			if err != nil || string(res.Entries[0].Value) != "old" || res.ServedBy != api.ServedByStale {
				t.Fatalf("stale at %s: %+v, %v", at, res, err)
			}
			if since := time.Since(acknowledged); res.Age < since || res.Age > since+5*time.Second {
				t.Errorf("at %s the answer claims to be %v old, and was overwritten %v ago", at, res.Age, since)
			}
			if res, err := read(at, api.ReadRequest{Consistency: api.Bounded, MaxStale: time.Minute}); err != nil || string(res.Entries[0].Value) != "old" {
				t.Errorf("at most a minute, at %s: %+v, %v", at, res, err)
			}
			if res, err := read(at, api.ReadRequest{Consistency: api.Bounded, MaxStale: time.Second}); err == nil {
				t.Errorf("at most a second, at %s: %+v", at, res)
			}
			page, err := nodes[at].Store().List(context.Background(), &api.ListRequest{Consistency: api.Stale})
			if err != nil || len(page.Entries) != 1 || string(page.Entries[0].Value) != "old" || !page.Stale || page.Age < time.Since(acknowledged) {
				t.Errorf("a stale list at %s: %+v, %v", at, page, err)
			}
			if page, err := nodes[at].Store().List(context.Background(), &api.ListRequest{Consistency: api.Bounded, MaxStale: time.Second}); err == nil {
				t.Errorf("a list at most a second old, at %s: %+v", at, page)
			}
			if res, err := read(at, api.ReadRequest{}); err == nil {
				t.Errorf("linearizable, at %s: %+v", at, res)
			}
		}
		if err := nodes[last].Close(); err != nil {
			t.Error(err)
		}
		cfg := cfgs[last]
		cfg.Listener = b.config(last, api.RoleServer).Listener
		nodes[last] = b.open(cfg)
		time.Sleep(5 * time.Second)
		if res, err := read(last, api.ReadRequest{Consistency: api.Bounded, MaxStale: time.Hour}); err == nil {
			t.Errorf("a bound that is not known: %+v", res)
		}
	})
}
