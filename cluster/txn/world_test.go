package txn

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/cluster/group"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// world consists of groups with real machines and real regions over logs of one replica, and the connections between
// them and gateways. It runs in a bubble of virtual time.
type world struct {
	t      *testing.T
	m      *placement.Map
	groups map[api.GroupID]*testGroup
	ending sync.WaitGroup // leaders that were killed

	mu   sync.Mutex
	cuts map[[2]string]bool // no connection from a gateway or group to a group
	// noticed are the groups that all gateways know to be lost. doubted are the groups that no gateway knows to be
	// well.
	noticed, doubted map[api.GroupID]bool
}

const (
	oneWay  = 40 * time.Millisecond // between any two
	logTime = 2 * time.Millisecond
	q       = 2 * oneWay // a round trip
)

// testGroup is one group, whichever node leads it.
type testGroup struct {
	w       *world
	id      api.GroupID
	machine *fsm.Machine

	mu        sync.Mutex
	term      uint64
	index     uint64
	authority *group.Authority // of the leader; nil while there is none
}

// inWorld runs f in a world of two regions, us and eu, with the given number of groups each, and closes everything
// after f.
func inWorld(t *testing.T, groups int, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, groups: map[api.GroupID]*testGroup{}, cuts: map[[2]string]bool{}, noticed: map[api.GroupID]bool{}, doubted: map[api.GroupID]bool{}}
		var nodes []placement.Node
		for _, r := range []string{"us", "eu"} {
			nodes = append(nodes, placement.Node{ID: api.NodeID(r), Region: api.RegionID(r), Role: api.RoleServer, Address: r, URL: "http://" + r})
		}
		var err error
		if w.m, err = placement.Static("test", nodes, groups, 3, "us", "eu"); err != nil {
			t.Fatal(err)
		}
		for _, g := range w.m.Groups {
			if g.ID == ident.MetaGroup {
				continue
			}
			x := &testGroup{w: w, id: g.ID}
			if x.machine, err = fsm.Open(engine.NewMemory()); err != nil {
				t.Fatal(err)
			}
			w.groups[g.ID] = x
			x.elect()
		}
		time.Sleep(time.Second)
		f(t, w)
		for _, g := range w.groups {
			g.kill()
			if err := g.machine.CheckInvariants(); err != nil {
				t.Errorf("%s: %v", g.id, err)
			}
		}
		w.ending.Wait()
	})
}

// elect makes a leader of a new term.
func (g *testGroup) elect() {
	init := &fsm.Init{Group: g.id, Incarnation: 1, MaxTerm: words.MaxLeaseTerm, MaxPause: words.MaxPause}
	for _, o := range g.w.m.Owned(g.id) {
		init.Shards = append(init.Shards, fsm.Shard{Range: o.Range, Epoch: o.Epoch, Index: o.Index, Of: o.Of})
	}
	r, err := group.New(group.Config{
		Group: g.id, Node: "leader", Machine: g.machine, Clock: wallClock{}, Groups: &line{w: g.w, from: string(g.id)}, Init: init,
		Lost: g.w.lost,
	})
	if err != nil {
		g.w.t.Fatal(err)
	}
	g.mu.Lock()
	g.term++
	g.authority = r
	l := &leaderLog{g, g.term}
	g.mu.Unlock()
	r.Attach(l)
	if _, err := l.Propose(context.Background(), r.OnLeadership(g.term)); err != nil {
		g.w.t.Error(err)
	}
}

// kill ends the leader. It proposes nothing more.
func (g *testGroup) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.authority; r != nil {
		g.authority = nil
		g.term++
		g.w.ending.Go(r.Close)
	}
}

func (g *testGroup) leader() *group.Authority {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.authority
}

// leaderLog is the log as the leader of one term sees it.
type leaderLog struct {
	g    *testGroup
	term uint64
}

func (l *leaderLog) Propose(ctx context.Context, command []byte) (fsm.Result, error) {
	if !pause(ctx, logTime) {
		return fsm.Result{}, api.Errorf(api.CodeUnavailable, "not proposed in time")
	}
	l.g.mu.Lock()
	defer l.g.mu.Unlock()
	if l.g.term != l.term {
		return fsm.Result{}, &api.Error{Code: api.CodeNotLeader}
	}
	l.g.index++
	results, err := l.g.authority.Machine().Apply(l.g.index, l.term, [][]byte{command})
	if err != nil {
		return fsm.Result{}, err
	}
	return results[0], nil
}

func (l *leaderLog) QuorumConfirm(ctx context.Context, term uint64) error {
	if l.CurrentTerm() != term || !pause(ctx, logTime) || l.CurrentTerm() != term {
		return &api.Error{Code: api.CodeNotLeader}
	}
	return nil
}

func (l *leaderLog) CurrentTerm() uint64 {
	l.g.mu.Lock()
	defer l.g.mu.Unlock()
	return l.g.term
}

func (l *leaderLog) Leader() (node string, term uint64) {
	if term = l.CurrentTerm(); term == l.term {
		node = "leader"
	}
	return node, term
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

type wallClock struct{}

var started = time.Now()

func (wallClock) Now() words.ClockSample {
	d := time.Since(started)
	return words.ClockSample{Boottime: d, Raw: d}
}

// cut cuts or heals the connection from a gateway or group to a group.
func (w *world) cut(from string, to api.GroupID, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[[2]string{from, string(to)}] = cut
}

// doubt ends the gateways' knowledge that the group is well. notice makes all gateways know that the group is lost.
func (w *world) doubt(g api.GroupID)  { w.know(g, false, true) }
func (w *world) notice(g api.GroupID) { w.know(g, true, true) }
func (w *world) trust(g api.GroupID)  { w.know(g, false, false) }

func (w *world) know(g api.GroupID, lost, doubted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noticed[g], w.doubted[g] = lost, doubted
}

func (w *world) lost(g api.GroupID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.noticed[g]
}

func (w *world) well(g api.GroupID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.doubted[g]
}

func (w *world) isCut(from string, to api.GroupID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cuts[[2]string{from, string(to)}]
}

// gateway is a coordinator in a region, named after the region and a number.
type gateway struct {
	*Coordinator
	line   *line
	counts *counts
}

// dedupEpoch returns a group's current dedup epoch.
func (w *world) dedupEpoch(g api.GroupID) ident.DedupEpoch {
	m := w.groups[g].machine.Meta()
	return ident.DedupEpoch{Group: m.Group, Incarnation: m.Incarnation, Count: uint64(m.DedupEpoch)}
}

var lastClient byte

// gateway opens a coordinator in the region. tune may change its configuration.
func (w *world) gateway(r string, tune ...func(*Config)) *gateway {
	w.t.Helper()
	lastClient++
	l := &line{w: w, from: r + " gateway " + string('a'+rune(lastClient%26))}
	metrics := &counts{n: map[string]float64{}}
	cfg := Config{
		Store: l, Groups: l, Well: w.well, Lost: w.lost, Map: func() *placement.Map { return w.m }, Region: api.RegionID(r), Metrics: metrics,
		DedupEpoch: w.dedupEpoch,
		Rand:       func() float64 { return 0.5 },
	}
	for _, f := range tune {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return &gateway{c, l, metrics}
}

// counts holds what a coordinator measured: counters by name and labels.
type counts struct {
	observe.NoMetrics
	mu sync.Mutex
	n  map[string]float64
}

func (c *counts) Counter(name, _ string, _ ...string) func(float64, ...string) {
	return func(n float64, values ...string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.n[strings.Join(append([]string{name}, values...), " ")] += n
	}
}

func (c *counts) of(name string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

// settled checks that within the time nothing of a transaction is left anywhere.
func (w *world) settled(within time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		left := 0
		for _, g := range w.groups {
			m := g.machine.Meta()
			left += m.Prepared + m.Unresolved + m.Intents
		}
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			w.t.Errorf("after %v, %d things are left of transactions", within, left)
			return
		}
	}
}

// value returns what a key holds at its owner now, or "" if it is absent.
func (w *world) value(k api.Key) string {
	w.t.Helper()
	g, _, _ := w.m.Locate(k)
	es, _, err := w.groups[g].machine.Read([]api.Key{k})
	if err != nil {
		w.t.Errorf("%q: %v", k, err)
		return "?"
	}
	return string(es[0].Value)
}

// within returns a context that ends.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func getOp(k api.Key) api.Op           { return api.Op{Kind: api.OpGet, Key: k} }
func putOp(k api.Key, v string) api.Op { return api.Op{Kind: api.OpPut, Key: k, Value: []byte(v)} }

func addOp(k api.Key, n int64) api.Op { return api.Op{Kind: api.OpAdd, Key: k, Delta: n} }
