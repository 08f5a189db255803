package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// logFiles are what a group's folder holds for its log, by kind.
var logFiles = map[logstore.Kind]string{logstore.Bolt: "raft.db", logstore.WAL: "wal"}

// TestLogStores has servers stop, crash, catch up from the log and from a snapshot, and change how they keep their logs,
// each way, one after another in a group that goes on. All end in one state.
func TestLogStores(t *testing.T) {
	t.Parallel()
	for _, kind := range logstore.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			testLogStore(t, kind)
		})
	}
}

func testLogStore(t *testing.T, kind logstore.Kind) {
	r := newDiskRegion(t, 3, replica.Limits{SnapshotEntries: 40, TrailingEntries: 10, SnapshotInterval: 100 * time.Millisecond}, kind)
	writes := 0
	write := func(n int) {
		t.Helper()
		for range n {
			leader, _ := r.leader()
			if err := r.put(t.Context(), leader, api.Key(fmt.Sprintf("here/%05d", writes)), make([]byte, 256)); err != nil {
				t.Fatal(err)
			}
			writes++
		}
	}
	others := func() (i, j int) {
		leader, _ := r.leader()
		return (leader + 1) % 3, (leader + 2) % 3
	}
	is := func(i int, want logstore.Kind) {
		t.Helper()
		for k, name := range logFiles {
			_, err := os.Stat(filepath.Join(r.folder(i), "groups", string(diskGroup), name))
			if (err == nil) != (k == want) {
				t.Errorf("%s has a log of kind %s: %v", r.id(i), k, err)
			}
		}
	}
	write(20)
	i, j := others()
	r.stop(i) // comes back with the log
	write(5)
	r.start(i)
	r.crash(j) // comes back with a snapshot
	write(120)
	r.log = "" // whatever it is
	r.start(j)
	r.ready(i)
	r.ready(j)
	r.same()
	for n := range r.nodes {
		is(n, kind)
	}
	other := logstore.Bolt
	if kind == other {
		other = logstore.WAL
	}
	for n := range r.nodes { // the leader too
		r.stop(n)
		write(3)
		r.log = other
		r.start(n)
		is(n, other)
		write(3)
		r.ready(n)
	}
	r.same()
	for n, node := range r.nodes {
		if keys := node.Machine(diskGroup).Meta().Keys; keys != writes {
			t.Errorf("%s has %d keys of %d", r.id(n), keys, writes)
		}
	}
}
