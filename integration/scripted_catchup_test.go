package integration

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/fsm/placement"
)

// TestRestart: a node that restarts on its disks comes back as itself, whatever it missed, and leads again.
func TestRestart(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const key, group = "us-east/greeting", "us-east.1"
		us := p.byName["us-east-edge-1"]
		for i := range 3 { // each server in turn, the leader first
			old := p.leader(group)
			p.put(us, key, fmt.Sprint("before ", i))
			kill(old)
			p.newLeader(group, old)
			p.put(us, key, fmt.Sprint("while down ", i))
			old.start()
			p.ready(15 * time.Second)
			p.reads(old, key, fmt.Sprint("while down ", i))
		}
		p.same(group)
	})
}

// same waits until all replicas of the group are at one index, and demands that they are in one state.
func (p *planet) same(group api.GroupID) {
	p.t.Helper()
	p.soon(10*time.Second, "all replicas are at one index", func() bool {
		at := map[uint64]bool{}
		for _, h := range p.hosts {
			if n := h.running(); n != nil && n.Machine(group) != nil {
				at[n.Machine(group).Meta().Counter] = true
			}
		}
		return len(at) == 1
	})
	p.sameState()
}

// TestCatchUpBySnapshot: a region of five servers that join one after the other. One that was down until the log that it
// lacks was gone, and two that are new and empty, catch up by snapshot while writes go on, and vote.
func TestCatchUpBySnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seed := max(*oneSeed, 1)
		t.Logf("replay with -seed %d", seed)
		p := emptyPlanet(t, seed, 5)
		defer p.close()
		const group, first = "us-east.1", "us-east-1"
		dir := t.TempDir()
		one, lagging := p.byName[first], p.byName["us-east-3"]
		for _, h := range p.hosts[:3] {
			h.join(first, dir)
			p.ready(20 * time.Second)
		}
		p.plan = &placement.Map{Groups: []placement.Group{{ID: group}}}
		_, had := lagging.log(group)
		kill(lagging)
		for i := range manyEntries { // one after the other: an entry each
			p.put(one, api.Key(fmt.Sprintf("k%d", i%100)), fmt.Sprint(i))
		}
		p.soon(2*time.Minute, "the leader keeps a snapshot and drops the log before it", func() bool {
			begins, _ := p.leader(group).log(group)
			return begins > had+1
		})
		stopped, slowest := make(chan struct{}), make(chan time.Duration, 1)
		stop := sync.OnceFunc(func() { close(stopped) })
		defer stop()
		go func() { slowest <- p.writeUntil(stopped, one) }()
		for _, h := range []*host{lagging, p.hosts[3], p.hosts[4]} {
			h.join(first, dir)
			p.ready(30 * time.Second)
			p.soon(5*time.Second, "the log goes on behind the snapshot", func() bool {
				begins, _ := h.log(group)
				return begins > 0
			})
			if begins, _ := h.log(group); begins <= had+1 {
				t.Errorf("the log of %s begins at %d: it did not come by a snapshot", h.name, begins)
			}
		}
		stop()
		if took := <-slowest; took > reach {
			t.Errorf("a write took %v while others caught up", took)
		}
		p.same(group)
		kill(one, p.byName["us-east-2"]) // two of five: those that have caught up vote
		p.newLeader(group, one)
		p.put(p.hosts[4], "k0", "by those that caught up")
		p.reads(p.hosts[3], "k0", "by those that caught up")
	})
}

// manyEntries make a snapshot due, and leave more behind it than the log keeps.
const manyEntries = 4500

// emptyPlanet is servers of one region, none of which runs yet.
func emptyPlanet(t *testing.T, seed uint64, servers int) *planet {
	p := barePlanet(t, seed)
	for i := range servers {
		p.host(fmt.Sprintf("us-east-%d", i+1), "us-east", api.RoleServer)
	}
	return p
}

// join starts the host as one that joins, or founds the cluster if it is the first. Beside its disks it has
// a folder below dir.
func (h *host) join(first, dir string) {
	h.startAs(func(c *cluster.Config) {
		c.Static, c.Dir, c.Voters = nil, filepath.Join(dir, h.name), 5
		if c.Bootstrap = h.name == first; !c.Bootstrap {
			c.Join = []string{first}
		}
	})
}

// log returns the first and last index of the log on the host's disk.
func (h *host) log(g api.GroupID) (first, last uint64) {
	h.planet.t.Helper()
	disk, err := h.disk(g)
	if err == nil {
		first, err = disk.Log.FirstIndex()
	}
	if err == nil {
		last, err = disk.Log.LastIndex()
	}
	if err != nil {
		h.planet.t.Fatal(err)
	}
	return first, last
}

// writeUntil writes one after the other until it is stopped, and returns how long the slowest took.
func (p *planet) writeUntil(stop <-chan struct{}, at *host) (slowest time.Duration) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return slowest
		case <-time.After(5 * time.Millisecond):
		}
		began := time.Now()
		if _, err := at.store0().Do(within(p.t, opTimeout), put("busy", fmt.Sprint(i))); err != nil {
			p.t.Errorf("a write while others catch up: %v", err)
			return slowest
		}
		slowest = max(slowest, time.Since(began))
	}
}
