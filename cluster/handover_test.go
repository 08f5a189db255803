package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestRollingRestart: the leader of the moment is restarted, and again, while clients write and read without ids through a
// gateway that stays: no request fails, none has an unknown outcome, and each takes much less than an election.
func TestRollingRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		cfgs, nodes := b.static()
		gateway := nodes["e1"].Store()
		stop := make(chan struct{})
		var clients sync.WaitGroup
		var worst time.Duration
		var mu sync.Mutex
		done := 0
		for c := range 8 {
			clients.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					key, began := api.Key(fmt.Sprintf("k%d", c)), time.Now()
					_, err := gateway.Do(context.Background(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: key, Value: []byte(fmt.Sprint(i))}}})
					if err != nil {
						t.Errorf("write %d of %s: %v", i, key, err)
					}
					res, err := storetest.Read(context.Background(), gateway, &api.ReadRequest{Keys: []api.Key{key}})
					if err != nil || string(res.Entries[0].Value) != fmt.Sprint(i) {
						t.Errorf("read %d of %s: %+v, %v", i, key, res, err)
					}
					mu.Lock()
					worst, done = max(worst, time.Since(began)), done+1
					mu.Unlock()
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
		for range 3 {
			time.Sleep(2 * time.Second)
			s, _ := nodes["s1"].Group("r.1")
			id := s.Leader // the worst one to restart
			if id == "" {
				t.Fatal("there is no leader")
			}
			if err := nodes[id].Close(); err != nil {
				t.Errorf("close %s: %v", id, err)
			}
			cfg := cfgs[id]
			cfg.Listener = b.config(id, api.RoleServer).Listener
			nodes[id] = b.open(cfg)
			b.ready(nodes[id])
		}
		close(stop)
		clients.Wait()
		t.Logf("%d writes and reads, the longest pair took %v", done, worst)
		if done < 1000 {
			t.Errorf("%d pairs were done", done)
		}
		if worst > 600*time.Millisecond {
			t.Errorf("a write and a read took %v", worst)
		}
	})
}

// TestDrainingVotersKeepTheLead: two voters drain, and the third one dies. One of the two leads and keeps the lead: they do not hand it
// to each other again and again.
func TestDrainingVotersKeepTheLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3")
		f.done(ordered(f.nodes["s3"].Drain, "s1", time.Duration(0)))
		f.done(ordered(f.nodes["s3"].Drain, "s2", time.Duration(0)))
		f.kill("s3")
		soon(t, func() bool { return f.leader("r.1") != "" && f.leader(ident.MetaGroup) != "" })
		time.Sleep(5 * time.Second)
		for _, g := range []api.GroupID{"r.1", ident.MetaGroup} {
			term := f.nodes["s1"].members.get(g).raft.CurrentTerm()
			time.Sleep(20 * time.Second)
			if now := f.nodes["s1"].members.get(g).raft.CurrentTerm(); now != term {
				t.Errorf("the term of %s rises from %d to %d", g, term, now)
			}
		}
		put(t, f.nodes["s1"], "k", "v")
	})
}

// TestCloseAll: the nodes of a whole cluster end together. No group is handed over, which would take time and an election, and the
// leases are given back while the leaders still answer: after a restart a write waits for none of them.
func TestCloseAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		ids := []api.NodeID{"s1", "s2", "s3", "e1"}
		plan := planned(t, ids...)
		configs, nodes := map[api.NodeID]Config{}, map[api.NodeID]*Node{}
		start := func() {
			for _, id := range ids {
				self, _ := plan.Node(id)
				cfg := b.config(id, self.Role)
				cfg.Static = plan
				if stood, again := configs[id]; again {
					cfg.Stores = stood.Stores
				}
				configs[id], nodes[id] = cfg, b.open(cfg)
			}
			for _, n := range nodes {
				b.ready(n)
			}
		}
		start()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		write := func(value string) {
			t.Helper()
			if _, err := nodes["s1"].Store().Do(ctx, &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte(value)}}}); err != nil {
				t.Fatal(err)
			}
		}
		write("a")
		for served := api.ServedByOwner; served != api.ServedByLease; time.Sleep(10 * time.Millisecond) {
			r, err := storetest.Read(ctx, nodes["e1"].Store(), &api.ReadRequest{Keys: []api.Key{"k"}})
			if err != nil {
				t.Fatal(err)
			}
			served = r.ServedBy
		}
		status, _ := nodes["s1"].Group("r.1")
		began := time.Now()
		if err := CloseAll(nodes["s1"], nodes["s2"], nodes["s3"], nodes["e1"]); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("closing all took %v", took)
		}
		for id, n := range nodes {
			if is, _ := n.Group("r.1"); is.Term > status.Term {
				t.Errorf("%s: the group has elected another leader: term %d after %d", id, is.Term, status.Term)
			}
		}
		start()
		began = time.Now()
		write("b")
		if took := time.Since(began); took > time.Second {
			t.Errorf("a write after the restart took %v: a lease was left", took)
		}
	})
}
