package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// TestCheckpointCatchesUp wipes a member, and stops another one, while a client writes: each catches up by a checkpoint and the
// log, without an election and without a failed write.
func TestCheckpointCatchesUp(t *testing.T) {
	eachLog(t, func(t *testing.T, kind logstore.Kind) {
		synctest.Test(t, func(t *testing.T) { testCheckpointCatchesUp(t, kind) })
	})
}

func testCheckpointCatchesUp(t *testing.T, kind logstore.Kind) {
	limits := Limits{SnapshotEntries: 20, TrailingEntries: 5, SnapshotInterval: 50 * time.Millisecond}
	g := newGroup(t, 3, limits, Timing{}, kind, func(g *group) {
		g.durable = map[string]*durableRegister{"n0": {}, "n1": {}, "n2": {}}
	})
	defer g.close()
	leader := g.leader()
	term := leader.rep.CurrentTerm()
	done, wrote := make(chan struct{}), make(chan int, 1)
	stop := sync.OnceValue(func() int { close(done); return <-wrote })
	defer stop() // also if the test fails
	go func() {
		n := 0
		defer func() { wrote <- n }()
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := leader.rep.Propose(t.Context(), fmt.Append(nil, "w", n)); err != nil {
				t.Errorf("write %d: %v", n, err)
				return
			}
			n++
		}
	}()
	for i, name := range g.others(leader.name) {
		n := g.nodes[name]
		rep := n.rep
		if err := rep.Close(); err != nil {
			t.Fatal(err)
		}
		has := rep.raft.LastIndex() // now that nothing is added any more
		if i == 0 {
			g.durable[name] = new(durableRegister)
			if err := os.RemoveAll(n.dir); err != nil {
				t.Fatal(err)
			}
		}
		g.until(time.Minute, "log that does not bring it back alone", func() bool {
			first, err := leader.rep.stores.Log.FirstIndex()
			return err == nil && first > has+1
		})
		g.start(name, 3)
		goal := leader.rep.Applied()
		g.until(time.Minute, "member that has caught up", func() bool { return n.rep.Applied() >= goal })
		if g.durable[name].adopted() == 0 {
			t.Errorf("%s caught up without a checkpoint", name)
		}
	}
	n := stop()
	g.settle()
	for name, m := range g.durable {
		if all := m.all(); len(all) != n {
			t.Errorf("%s has applied %d commands, want %d", name, len(all), n)
		}
	}
	if leader.rep.CurrentTerm() != term {
		t.Errorf("term %d became %d", term, leader.rep.CurrentTerm())
	}
	g.close()
	for _, node := range g.nodes {
		node.rep = nil
		names, err := filepath.Glob(filepath.Join(node.dir, checkpointsDir, "*"))
		if err != nil || len(names) != 1 || strings.HasSuffix(names[0], ".tmp") {
			t.Errorf("%s leaves %v, %v", node.name, names, err)
		}
	}
}
