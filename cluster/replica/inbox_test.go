package replica

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// TestConflictAtSnapshot sends a snapshot to a member whose log has other entries at the snapshot's index and after it. Raft alone
// would send the snapshot again and again.
func TestConflictAtSnapshot(t *testing.T) {
	for _, tail := range []int{1, 2, 4, 6} {
		for _, idle := range []bool{true, false} {
			t.Run(fmt.Sprintf("tail=%d/idle=%v", tail, idle), func(t *testing.T) { conflictAtSnapshot(t, "", tail, idle) })
		}
	}
	eachLog(t, func(t *testing.T, kind logstore.Kind) {
		conflictAtSnapshot(t, kind, 1, true)
		conflictAtSnapshot(t, kind, 4, false)
	})
}

func conflictAtSnapshot(t *testing.T, log logstore.Kind, tail int, idle bool) {
	simulateOn(t, log, 3, Limits{TrailingEntries: 1, InFlight: tail}, Timing{}, func(t *testing.T, g *group) {
		f := g.leader()
		g.must(f, "a")
		time.Sleep(2 * time.Second)
		g.net.cut(true, []string{f.name}, g.others(f.name)...)
		rep := f.rep
		var wg sync.WaitGroup
		for i := range tail {
			wg.Go(func() { _, _ = rep.Propose(t.Context(), fmt.Append(nil, "x", i)) })
			synctest.Wait()
		}
		wg.Wait()
		l := g.leader(f.name)
		if err := l.rep.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !idle {
			g.must(l, "b")
		}
		g.net.cut(false, []string{f.name}, g.others(f.name)...)
		time.Sleep(20 * time.Second)
		g.must(g.leader(), "c")
		g.until(20*time.Second, "return of the member", func() bool { return f.machine.has("c") })
		if f.machine.restore > 1 {
			t.Errorf("the snapshot was installed %d times", f.machine.restore)
		}
		g.settle()
		g.crash(f.name)
		g.start(f.name, 3)
		g.settle()
	})
}

// TestCrashOnFiles crashes each member in turn, again and again. The logs are in files and truncated behind snapshots. Every
// member ends with every command that was acknowledged.
func TestCrashOnFiles(t *testing.T) {
	eachLog(t, func(t *testing.T, kind logstore.Kind) {
		simulateOn(t, kind, 3, Limits{TrailingEntries: 3}, Timing{}, func(t *testing.T, g *group) {
			var want []string
			for round := range 9 {
				l := g.leader()
				for i := range 5 {
					c := fmt.Sprintf("%d.%d", round, i)
					g.must(l, c)
					want = append(want, c)
				}
				if round%3 == 1 {
					if err := l.rep.Snapshot(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				down := fmt.Sprint("n", round%3)
				g.crash(down)
				l = g.leader(down)
				c := "without " + down + fmt.Sprint(round)
				g.must(l, c)
				want = append(want, c)
				g.start(down, 3)
			}
			g.leader()
			g.settle()
			if all := g.nodes["n0"].machine.all(); !slices.Equal(all, want) {
				t.Errorf("the members have %v, want %v", all, want)
			}
		})
	})
}

// TestLateSnapshot: the inbox answers a snapshot that has nothing new, since installing it would roll the machine back.
func TestLateSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stores, err := logstore.NewMemory(0).Stores()
		if err != nil {
			t.Fatal(err)
		}
		if err := stores.Log.StoreLogs([]*raft.Log{{Index: 8, Term: 2}, {Index: 9, Term: 3}}); err != nil {
			t.Fatal(err)
		}
		i := newInbox(stores.Log, func(uint64) {})
		at := func(n uint64) func() uint64 { return func() uint64 { return n } }
		i.applied, i.term, i.last = at(7), at(3), at(9)
		i.halted = func() error { return nil }
		in := make(chan raft.RPC)
		go i.pump(in)
		defer i.close()
		for _, c := range []struct {
			leader, index, term uint64
			passes              bool
		}{
			{3, 5, 1, false}, // applied long ago
			{3, 7, 2, false}, // applied
			{4, 7, 2, false}, // a newer leader's
			{3, 8, 2, false}, // in the log
			{3, 9, 4, true},  // conflicts with the log
			{3, 10, 3, true}, // beyond it
			{2, 5, 1, true},  // an old leader's: Raft refuses it
		} {
			body := strings.NewReader("the state")
			answer := make(chan raft.RPCResponse, 1)
			in <- raft.RPC{
				Command: &raft.InstallSnapshotRequest{Term: c.leader, LastLogIndex: c.index, LastLogTerm: c.term},
				Reader:  body, RespChan: answer,
			}
			synctest.Wait()
			select {
			case rpc := <-i.out:
				if !c.passes {
					t.Errorf("the snapshot %+v reaches Raft", c)
				}
				rpc.Respond(&raft.InstallSnapshotResponse{}, nil)
				<-answer
			case a := <-answer:
				if r := a.Response.(*raft.InstallSnapshotResponse); c.passes || !r.Success || body.Len() > 0 {
					t.Errorf("the snapshot %+v is answered by %+v, %d bytes unread", c, r, body.Len())
				}
			}
		}
	})
}

func TestReconcile(t *testing.T) {
	for _, c := range []struct {
		name              string
		first, last, term uint64 // of the log
		keep, damaged     bool
	}{
		{"goes on from behind it", 5, 12, 2, true, false},
		{"starts behind it", 11, 12, 2, true, false},
		{"ends at it", 5, 10, 2, true, false},
		{"ends before it", 5, 9, 2, false, false},
		{"conflicts", 5, 12, 1, false, false},
		{"leaves a hole", 12, 14, 2, true, true}, // a newer snapshot is lost: nothing may be dropped for that
		{"is empty", 0, 0, 0, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			stores, err := logstore.NewMemory(0).Stores()
			if err != nil {
				t.Fatal(err)
			}
			sink, err := stores.Snapshots.Create(1, 10, 2, raft.Configuration{}, 1, nil)
			if err == nil {
				err = sink.Close()
			}
			for i := c.first; i <= c.last && i > 0 && err == nil; i++ {
				err = stores.Log.StoreLog(&raft.Log{Index: i, Term: c.term})
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := reconcile(stores); (err != nil) != c.damaged {
				t.Fatal(err)
			}
			want := c.last
			if !c.keep {
				want = 0
			}
			if last, _ := stores.Log.LastIndex(); last != want {
				t.Errorf("the log ends at %d, want %d", last, want)
			}
		})
	}
}
