package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
	"github.com/edgehold/edgehold/fsm/placement"
)

// diskRegion is a region of servers on real sockets and folders: what servers are in production, in one process.
type diskRegion struct {
	t      testing.TB
	dir    string
	limits replica.Limits
	cache  int64
	log    logstore.Kind // of servers that are opened from now on
	plan   *placement.Map
	addr   []string
	nodes  []*cluster.Node // nil while one is down
}

const diskGroup = api.GroupID("here.1")

// newDiskRegion starts so many servers and waits until they are ready.
func newDiskRegion(t testing.TB, servers int, limits replica.Limits, log logstore.Kind) *diskRegion {
	t.Helper()
	r := &diskRegion{t: t, dir: t.TempDir(), limits: limits, log: log, nodes: make([]*cluster.Node, servers)}
	listeners := make([]net.Listener, servers)
	plan := cluster.Planned{ClusterID: "disk"}
	for i := range servers {
		l, err := net.Listen("tcp", freeAddress(t))
		if err != nil {
			t.Fatal(err)
		}
		listeners[i], r.addr = l, append(r.addr, l.Addr().String())
		plan.Nodes = append(plan.Nodes, cluster.PlannedNode{ID: r.id(i), Region: "here", Role: api.RoleServer, Address: r.addr[i]})
	}
	var err error
	if r.plan, err = cluster.Plan(plan, 1, 3); err != nil {
		t.Fatal(err)
	}
	for i, l := range listeners {
		r.open(i, l)
	}
	t.Cleanup(r.close)
	for i := range servers {
		r.ready(i)
	}
	return r
}

func (r *diskRegion) id(i int) api.NodeID { return api.NodeID(fmt.Sprint("here-", i+1)) }

func (r *diskRegion) folder(i int) string { return filepath.Join(r.dir, string(r.id(i))) }

// start runs a server again where it was.
func (r *diskRegion) start(i int) {
	r.t.Helper()
	l, err := net.Listen("tcp", r.addr[i])
	if err != nil {
		r.t.Fatal(err)
	}
	r.open(i, l)
}

func (r *diskRegion) open(i int, l net.Listener) {
	r.t.Helper()
	// Patient: nothing here is about elections, and the machine may be busy. A leader does not give up after a pause of a
	// second, in which it receives nothing.
	timing := replica.RegionTiming().Scale(2)
	timing.LeaderLease = timing.Heartbeat
	n, err := cluster.Open(r.t.Context(), cluster.Config{
		ID: r.id(i), Region: "here", Role: api.RoleServer, Listener: l, Static: r.plan, Dir: r.folder(i), Limits: r.limits,
		StateCacheBytes: r.cache, Log: r.log,
		RegionTiming: timing, WideTiming: cluster.QuickWideTiming(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.nodes[i] = n
}

func (r *diskRegion) stop(i int) {
	r.t.Helper()
	if err := r.nodes[i].Close(); err != nil {
		r.t.Error(err)
	}
	r.nodes[i] = nil
}

// crash ends server i and puts its folder back to what it was before it ended: what was not flushed is lost.
func (r *diskRegion) crash(i int) {
	r.t.Helper()
	copied := r.folder(i) + ".crash"
	copyTree(r.t, r.folder(i), copied)
	r.stop(i)
	if err := os.RemoveAll(r.folder(i)); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(copied, r.folder(i)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *diskRegion) close() {
	for i, n := range r.nodes {
		if n != nil {
			r.stop(i)
		}
	}
}

func (r *diskRegion) until(limit time.Duration, what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(limit); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("no %s within %v", what, limit)
		}
	}
}

func (r *diskRegion) ready(i int) {
	r.t.Helper()
	r.until(time.Minute, "ready server", func() bool { return r.nodes[i].Ready(r.t.Context()) == nil })
}

// leader is the server that leads the group.
func (r *diskRegion) leader() (i int, term api.Term) {
	r.t.Helper()
	r.until(time.Minute, "leader", func() bool {
		for n := range r.nodes {
			if r.nodes[n] == nil {
				continue
			}
			if s, ok := r.nodes[n].Group(diskGroup); ok && s.Leader == r.id(n) {
				i, term = n, s.Term
				return true
			}
		}
		return false
	})
	return i, term
}

// put writes one key at server i.
func (r *diskRegion) put(ctx context.Context, i int, k api.Key, v []byte) error {
	_, err := r.nodes[i].Store().Do(ctx, &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: v}}})
	return err
}

// same waits until all servers are in one state.
func (r *diskRegion) same() {
	r.t.Helper()
	r.until(time.Minute, "agreement", func() bool {
		var sum [32]byte
		for i, n := range r.nodes {
			m := n.Machine(diskGroup)
			h, err := m.Hash()
			if err != nil {
				r.t.Fatal(err)
			}
			if i > 0 && h != sum {
				return false
			}
			sum = h
		}
		return true
	})
	for _, n := range r.nodes {
		if err := n.Machine(diskGroup).CheckInvariants(); err != nil {
			r.t.Error(err)
		}
	}
}

// TestStateOnDisk: a server that was away for long, one whose disk was lost, and all of them after a restart have the state
// again, while a client writes and without an election.
func TestStateOnDisk(t *testing.T) {
	t.Parallel()
	r := newDiskRegion(t, 3, replica.Limits{SnapshotEntries: 30, TrailingEntries: 10, SnapshotInterval: 100 * time.Millisecond}, "")
	leader, term := r.leader()
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var wrote atomic.Int64
	for c := range 4 {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := r.put(t.Context(), leader, api.Key(fmt.Sprintf("here/%d/%05d", c, n)), make([]byte, 256)); err != nil {
					t.Errorf("write %d: %v", n, err)
					return
				}
				wrote.Add(1)
			}
		})
	}
	for step, wiped := range []bool{false, true} {
		i := (leader + 1 + step) % 3
		r.until(time.Minute, "key at the member", func() bool { return r.nodes[i].Machine(diskGroup).Meta().Keys > 0 })
		r.stop(i)
		if wiped {
			if err := os.RemoveAll(r.folder(i)); err != nil {
				t.Fatal(err)
			}
		}
		before := r.nodes[leader].Machine(diskGroup).Meta().Applied
		r.until(time.Minute, "snapshot beyond the member's log", func() bool {
			return r.nodes[leader].Machine(diskGroup).Meta().Applied > before+60
		})
		r.start(i)
		if m := r.nodes[i].Machine(diskGroup).Meta(); (m.Keys == 0) != wiped {
			t.Errorf("%s starts with %d keys (wiped %v)", r.id(i), m.Keys, wiped)
		}
		goal := r.nodes[leader].Machine(diskGroup).Meta().Applied
		r.until(time.Minute, "member that has caught up", func() bool {
			return r.nodes[i].Machine(diskGroup).Meta().Applied >= goal
		})
		r.ready(i)
	}
	stop()
	clients.Wait()
	if _, now := r.leader(); now != term {
		t.Errorf("term %d became %d", term, now)
	}
	r.same()
	for i := range r.nodes {
		r.stop(i)
	}
	lost := (leader + 1) % 3 // its state alone: a checkpoint and the log are left
	if err := os.RemoveAll(filepath.Join(r.folder(lost), "groups", string(diskGroup), "state")); err != nil {
		t.Fatal(err)
	}
	for i := range r.nodes {
		r.start(i)
		if keys := r.nodes[i].Machine(diskGroup).Meta().Keys; keys == 0 || i != lost && keys != int(wrote.Load()) {
			t.Errorf("%s starts with %d keys of %d", r.id(i), keys, wrote.Load())
		}
	}
	r.ready(0)
	res, err := storetest.Read(t.Context(), r.nodes[0].Store(), &api.ReadRequest{Keys: []api.Key{"here/0/00000"}})
	if err != nil || !res.Entries[0].Exists {
		t.Errorf("after the restart: %+v, %v", res, err)
	}
	r.same()
	for i := range r.nodes {
		r.stop(i)
		left, err := filepath.Glob(filepath.Join(r.folder(i), "groups", string(diskGroup), "checkpoints", "*"))
		if err != nil || len(left) != 1 {
			t.Errorf("%s keeps %v (%v)", r.id(i), left, err)
		}
	}
	t.Logf("%d writes", wrote.Load())
}
