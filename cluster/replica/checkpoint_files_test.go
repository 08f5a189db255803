package replica

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// TestCheckpointCatchesUp wipes a member, and cuts another off, while a client writes: each gets the others' checkpoint and
// then the log, without an election and without a pause of the writes.
func TestCheckpointCatchesUp(t *testing.T) { // not beside others: it looks for goroutines that are left
	eachLog(t, testCheckpointCatchesUp)
}

func testCheckpointCatchesUp(t *testing.T, kind logstore.Kind) {
	machines := map[string]*durableRegister{"n0": {}, "n1": {}, "n2": {}}
	// Patient: a machine that stands still for a second shall not lose the leader.
	f := &onFiles{t: t, dir: t.TempDir(), log: kind, scale: 2, addr: map[string]string{}, reps: map[string]*Replica[result]{}}
	f.limits = Limits{SnapshotEntries: 20, TrailingEntries: 5, SnapshotInterval: 50 * time.Millisecond}
	f.machine = func(name string) (Machine[result], Durable) { return machines[name], machines[name] }
	f.open()
	leader := f.do("first")
	term := leader.CurrentTerm()
	done, wrote := make(chan struct{}), make(chan int, 1)
	stop := sync.OnceValue(func() int { close(done); return <-wrote })
	defer stop() // also where the test gives up
	go func() {
		n := 0
		defer func() { wrote <- n }()
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := leader.Propose(t.Context(), fmt.Append(nil, "w", n)); err != nil {
				t.Errorf("write %d: %v", n, err)
				return
			}
			n++
		}
	}()
	for name, wipe := range map[string]bool{"n0": true, "n1": false, "n2": true} {
		if f.reps[name] == leader {
			continue
		}
		rep := f.reps[name]
		f.stop(name)
		has := rep.raft.LastIndex() // now that nothing is added any more
		dir := filepath.Join(f.dir, name)
		if wipe {
			machines[name] = new(durableRegister)
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		end := time.Now().Add(20 * time.Second)
		for first := uint64(0); first <= has+1; pause(5 * time.Millisecond) { // then the log alone does not bring it back
			var err error
			if first, err = leader.stores.Log.FirstIndex(); err != nil || time.Now().After(end) {
				t.Fatalf("the log begins at %d, and %s ends at %d: %v", first, name, has, err)
			}
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f.start(name, l)
		goal := leader.Applied()
		for end := time.Now().Add(20 * time.Second); f.reps[name].Applied() < goal; pause(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s is at %d, and the leader was at %d", name, f.reps[name].Applied(), goal)
			}
		}
		if machines[name].adopted() == 0 {
			t.Errorf("%s caught up without a checkpoint", name)
		}
	}
	n := stop()
	last := fmt.Sprint("w", n-1)
	for name, m := range machines {
		for end := time.Now().Add(10 * time.Second); !m.has(last) && time.Now().Before(end); {
			pause(5 * time.Millisecond)
		}
		if all := m.all(); len(all) != n+1 {
			t.Errorf("%s has applied %d commands, want %d", name, len(all), n+1)
		}
	}
	if leader.CurrentTerm() != term {
		t.Errorf("term %d became %d", term, leader.CurrentTerm())
	}
	f.close()
	for name := range machines {
		names, err := filepath.Glob(filepath.Join(f.dir, name, checkpointsDir, "*"))
		if err != nil || len(names) != 1 || strings.HasSuffix(names[0], ".tmp") {
			t.Errorf("%s leaves %v, %v", name, names, err)
		}
	}
	noGoroutines(t)
}
