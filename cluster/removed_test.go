package cluster

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestRemovedNode: an edge that is cut off and holds a lease is removed. Until the lease has ended it may answer, and no write passes
// that; once it can be reached it learns that, ends, and every other node refuses it. Attack 14.
func TestRemovedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3", "e1", "e2")
		put(t, f.nodes["s1"], "k", "old")
		e1, e2 := f.nodes["e1"], f.nodes["e2"]
		served := func(n *Node) string {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			res, err := storetest.Read(ctx, n.Store(), &api.ReadRequest{Keys: []api.Key{"k"}})
			if err != nil {
				return ""
			}
			return string(res.Entries[0].Value)
		}
		for range 10 {
			read(t, e1, "k")
			time.Sleep(100 * time.Millisecond)
		}
		f.fabric.Isolate("e1")
		if served(e1) != "old" {
			t.Fatal("e1 holds no lease: this test shows nothing")
		}
		began := time.Now()
		f.done(ordered(f.nodes["s2"].Remove, "e1", false))
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the removal took %v", took)
		}
		written := make(chan time.Time, 1)
		go func() {
			put(t, e2, "k", "new")
			written <- time.Now()
		}()
		stale := 0
		for done := false; !done; time.Sleep(10 * time.Millisecond) {
			select {
			case <-written:
				done = true
			default:
			}
			if v := served(e1); v == "old" {
				stale++
				if done {
					t.Error("e1 answered with what was written over")
				}
			}
		}
		if stale < 10 {
			t.Errorf("e1 answered %d times before the write: this test shows nothing", stale)
		}
		f.fabric.Rejoin("e1")
		soon(t, func() bool { return f.removed.of("e1") != nil })
		if err := f.removed.of("e1"); !strings.Contains(err.Error(), "removed from the cluster") {
			t.Errorf("it ended with %v", err)
		}
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := storetest.Read(ctx, e1.Store(), &api.ReadRequest{Keys: []api.Key{"k"}})
		if err == nil {
			t.Error("a removed node still routes")
		}
		if _, err := reportOf(ctx, e1.pool.Remote("s1")); api.CodeOf(err) == "" {
			t.Error("a removed node is answered")
		}
	})
}

// TestRemovedServerStartsAgain: a server that was removed while it was off learns it when it starts again, and casts no vote. Its
// name is never used again. Attacks 14 and 16.
func TestRemovedServerStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3", "s4")
		off := f.nodes["s2"]
		if err := off.Close(); err != nil {
			t.Fatal(err)
		}
		delete(f.nodes, "s2")
		time.Sleep(3 * time.Second)
		f.done(ordered(f.nodes["s1"].Remove, "s2", false))
		soon(t, func() bool { return f.voters("r.1") == "s1 s3 s4" })
		term := f.nodes["s1"].members.get("r.1").raft.CurrentTerm()

		cfg := f.configs["s2"]
		var err error
		if cfg.Listener, err = f.fabric.Listen("s2", "r"); err != nil {
			t.Fatal(err)
		}
		f.open(cfg)
		soon(t, func() bool { return f.removed.of("s2") != nil })
		time.Sleep(30 * time.Second)
		if now := f.nodes["s1"].members.get("r.1").raft.CurrentTerm(); now != term || f.voters("r.1") != "s1 s3 s4" {
			t.Errorf("it has disturbed the group: term %d and then %d, voters %s", term, now, f.voters("r.1"))
		}

		again := f.config("s2b", api.RoleServer)
		again.ID, again.Dir, again.Join = "s2", t.TempDir(), []string{"s1"}
		n := f.open(again)
		time.Sleep(30 * time.Second)
		if err := n.Ready(t.Context()); err == nil {
			t.Error("the name of a removed server is used again")
		}
	})
}

// TestReplacedVoterReturns: a voter that is being replaced comes back while its successor catches up: it gets no vote back, and the
// group keeps a majority all the time. Attack 16.
func TestReplacedVoterReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3")
		old := f.configs["s3"]
		if err := f.nodes["s3"].Close(); err != nil {
			t.Fatal(err)
		}
		delete(f.nodes, "s3")
		f.start("s4")
		time.Sleep(10 * time.Second)
		f.fabric.Cut("s1", "s4") // it cannot catch up yet, from one of them
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := f.nodes["s2"].Replace(ctx, "s3", "s4", false); err != nil {
			t.Fatal(err)
		}
		var err error
		if old.Listener, err = f.fabric.Listen("s3", "r"); err != nil {
			t.Fatal(err)
		}
		back := f.open(old)
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			if x := back.members.get("r.1"); x != nil && x.raft.IsLeader() {
				t.Fatal("the replaced voter leads")
			}
		}
		f.fabric.Heal("s1", "s4")
		soon(t, func() bool { return f.voters("r.1") == "s1 s2 s4" })
		soon(t, func() bool { return f.removed.of("s3") != nil })
		put(t, f.nodes["s4"], "k", "v")
	})
}

// TestElectsAfterTwoLosses: one of three voters is down, a new one is admitted and takes its place, and then another is lost before
// the rest can have heard of much: those that are left elect, and serve. Attack 6a.
func TestElectsAfterTwoLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3")
		put(t, f.nodes["s2"], "k", "v")
		f.kill("s3")
		f.start("s4")
		f.done(func(ctx context.Context) (*api.Progress, error) {
			return f.nodes["s2"].Replace(ctx, "s3", "s4", false)
		})
		f.kill(f.leader("r.1"))
		soon(t, func() bool { return f.leader("r.1") != "" && f.leader(ident.MetaGroup) != "" })
		for id, n := range f.nodes {
			soon(t, func() bool {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				res, err := storetest.Read(ctx, n.Store(), &api.ReadRequest{Keys: []api.Key{"k"}})
				return err == nil && string(res.Entries[0].Value) == "v"
			})
			put(t, n, "k", "v")
			t.Logf("%s serves", id)
		}
	})
}
