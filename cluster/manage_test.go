package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// fleet is a cluster in memory whose nodes come and go. Servers are s1 .. and edges e1 ..; the first server bootstraps.
type fleet struct {
	*bubble
	configs map[api.NodeID]Config
	nodes   map[api.NodeID]*Node
	removed *removals
}

// removals are the nodes that have ended because they were removed, with what OnRemoved was called. Safe for concurrent use.
type removals struct {
	mu sync.Mutex
	by map[api.NodeID]error
}

func (r *removals) put(id api.NodeID, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[api.NodeID]error{}
	}
	r.by[id] = err
}

func (r *removals) of(id api.NodeID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.by[id]
}

func newFleet(t *testing.T, ids ...api.NodeID) *fleet {
	t.Helper()
	f := &fleet{newBubble(t), map[api.NodeID]Config{}, map[api.NodeID]*Node{}, &removals{}}
	for _, id := range ids {
		f.start(id)
	}
	return f
}

// start starts a node, anew if it was started before, and waits until it is ready.
func (f *fleet) start(id api.NodeID) *Node {
	f.t.Helper()
	cfg, again := f.configs[id]
	if again {
		var err error
		if cfg.Listener, err = f.fabric.Listen(string(id), "r"); err != nil {
			f.t.Fatal(err)
		}
	} else {
		role := api.RoleServer
		if id[0] == 'e' {
			role = api.RoleEdge
		}
		cfg = f.config(id, role)
		cfg.Dir = f.t.TempDir()
		cfg.Bootstrap = len(f.configs) == 0
		if !cfg.Bootstrap {
			cfg.Join = []string{"s1", "s2", "s3"}
		}
		cfg.OnRemoved = func(err error) { f.removed.put(id, err) }
	}
	f.configs[id] = cfg
	n := f.open(cfg)
	f.nodes[id] = n
	f.ready(n)
	return n
}

// kill ends a node without a word to the others.
func (f *fleet) kill(id api.NodeID) {
	f.fabric.Isolate(string(id))
	_ = f.nodes[id].Close()
	delete(f.nodes, id)
}

// voters are the voters of a group, by its leader, sorted.
func (f *fleet) voters(g api.GroupID) string {
	for _, n := range f.nodes {
		x := n.members.get(g)
		if x == nil || !x.raft.IsLeader() {
			continue
		}
		var ids []string
		members, _ := x.raft.Members()
		for _, m := range members {
			if m.Voter {
				ids = append(ids, m.Node)
			}
		}
		return strings.Join(ids, " ")
	}
	return ""
}

func (f *fleet) leader(g api.GroupID) api.NodeID {
	for id, n := range f.nodes {
		if x := n.members.get(g); x != nil && x.raft.IsLeader() {
			return id
		}
	}
	return ""
}

// done repeats an order until it is done, for two minutes at most.
func (f *fleet) done(order func(ctx context.Context) (*api.Progress, error)) *api.Progress {
	f.t.Helper()
	var last string
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		p, err := order(ctx)
		cancel()
		if err != nil {
			if api.CodeOf(err) == api.CodeConflict || api.CodeOf(err) == api.CodeNotFound || api.CodeOf(err) == api.CodeInvalid {
				f.t.Fatalf("the order was refused: %v", err)
			}
			last = err.Error()
			continue
		}
		if p.Done != (len(p.Waits) == 0) {
			f.t.Errorf("done: %v, and it waits for %q", p.Done, p.Waits)
		}
		if p.Done {
			return p
		}
		last = strings.Join(p.Waits, "; ")
	}
	f.t.Fatalf("not done after two minutes: %s", last)
	return nil
}

// refused demands that an order is refused with the hint.
func (f *fleet) refused(order func(ctx context.Context) (*api.Progress, error), hint string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if p, err := order(ctx); api.CodeOf(err) != api.CodeConflict || api.AsError(err).Hint != hint {
		f.t.Errorf("want a refusal %q, got %+v, %v", hint, p, err)
	}
}

// ordered makes an order at a node.
func ordered[A any](call func(context.Context, api.NodeID, A) (*api.Progress, error), node api.NodeID, a A) func(context.Context) (*api.Progress, error) {
	return func(ctx context.Context) (*api.Progress, error) { return call(ctx, node, a) }
}

// TestDrain: a drained server leads nothing, has given its leases back, is not ready, and votes; afterwards all is as before.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3", "e1")
		put(t, f.nodes["e1"], "k", "v")
		s2 := f.nodes["s2"]
		lead := f.leader("r.1")
		p := f.done(ordered(s2.Drain, lead, time.Duration(0)))
		if want := fmt.Sprintf("%s leads nothing and holds no lease; it still votes", lead); p.Note != want {
			t.Errorf("it says %q", p.Note)
		}
		if f.leader("r.1") == lead || f.leader(ident.MetaGroup) == lead {
			t.Error("it leads")
		}
		if err := f.nodes[lead].Ready(t.Context()); err == nil || api.AsError(err).Hint != "this node is draining" {
			t.Errorf("it is ready: %v", err)
		}
		if f.nodes[lead].cache.Usable("r.1") {
			t.Error("it holds leases")
		}
		if f.voters("r.1") != "s1 s2 s3" {
			t.Errorf("voters: %s", f.voters("r.1"))
		}
		if got := read(t, f.nodes[lead], "k"); string(got.Entries[0].Value) != "v" {
			t.Error("it does not route")
		}
		others := slices.DeleteFunc([]api.NodeID{"s1", "s2", "s3"}, func(id api.NodeID) bool { return id == lead })
		f.done(ordered(s2.Drain, others[0], time.Duration(0)))
		f.refused(ordered(s2.Drain, others[1], time.Duration(0)), "no other voter of meta has caught up")
		f.done(func(ctx context.Context) (*api.Progress, error) { return s2.Undrain(ctx, others[0]) })
		f.done(func(ctx context.Context) (*api.Progress, error) { return s2.Undrain(ctx, lead) })
		f.ready(f.nodes[lead])
		soon(t, func() bool { return f.nodes[lead].cache.Usable("r.1") })

		f.done(ordered(s2.Drain, lead, 30*time.Second)) // and ends by itself
		time.Sleep(time.Minute)
		f.ready(f.nodes[lead])
		f.done(ordered(s2.Drain, "e1", time.Duration(0)))
		if f.nodes["e1"].cache.Usable("r.1") {
			t.Error("the edge holds leases")
		}
		if _, err := f.nodes["e1"].Drain(t.Context(), "s1", 0); api.CodeOf(err) != api.CodeDenied || !strings.Contains(api.AsError(err).Hint, "http://s") {
			t.Errorf("an order at an edge: %v", err)
		}
	})
}

// TestTransfer: another voter leads, and what cannot lead is refused in words.
func TestTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3", "s4")
		at := f.nodes["s2"].Transfer
		to := func(id api.NodeID) func(context.Context) (*api.Progress, error) {
			return func(ctx context.Context) (*api.Progress, error) { return at(ctx, "r.1", id) }
		}
		for _, id := range []api.NodeID{"s3", "s2", "s2", "s1"} {
			f.done(to(id))
			soon(t, func() bool { return f.leader("r.1") == id })
			time.Sleep(3 * time.Second)
		}
		f.done(to(""))
		soon(t, func() bool { l := f.leader("r.1"); return l != "s1" && l != "" })
		time.Sleep(3 * time.Second)
		f.refused(to("s4"), "s4 has no vote in r.1")
		f.done(ordered(f.nodes["s2"].Drain, "s1", time.Duration(0)))
		f.refused(to("s1"), "s1 is draining")
		if _, err := at(t.Context(), "r.9", ""); api.CodeOf(err) != api.CodeNotFound {
			t.Errorf("an unknown group: %v", err)
		}
	})
}

// TestLeave: a server that leaves gives its places to a spare one and ends; without a spare server that is refused, unless forced.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3", "s4")
		put(t, f.nodes["s3"], "k", "v")
		at := func(id api.NodeID) *Node { return f.nodes[id] }
		f.done(ordered(at("s3").Leave, "s1", false)) // the founder
		if f.voters("r.1") != "s2 s3 s4" || f.voters(ident.MetaGroup) != "s2 s3 s4" {
			t.Errorf("voters: %s; of meta: %s", f.voters("r.1"), f.voters(ident.MetaGroup))
		}
		soon(t, func() bool { return f.removed.of("s1") != nil })
		if err := at("s1").Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "removed") {
			t.Errorf("s1 is ready: %v", err)
		}
		f.done(ordered(at("s3").Leave, "s1", false)) // again
		f.refused(ordered(at("s3").Leave, "s2", false), "meta has 3 voters and no spare server: with 2 none may fail; add a server, or --force")
		f.done(ordered(at("s3").Leave, "s2", true))
		if f.voters("r.1") != "s3 s4" {
			t.Errorf("voters: %s", f.voters("r.1"))
		}
		if got := read(t, at("s4"), "k"); string(got.Entries[0].Value) != "v" {
			t.Error("what was written is lost")
		}
		if _, err := at("s3").Leave(t.Context(), "s9", false); api.CodeOf(err) != api.CodeNotFound {
			t.Errorf("an unknown node: %v", err)
		}
		f.start("s5") // takes the place that is free, without an order
		soon(t, func() bool { return f.voters("r.1") == "s3 s4 s5" })
	})
}

// TestRemove: a dead server is removed with one order, and a spare one takes its places; one that answers is let leave, and the last
// ones that make a majority stay.
func TestRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3", "s4", "e1")
		put(t, f.nodes["e1"], "k", "v")
		at := func(id api.NodeID) *Node { return f.nodes[id] }
		f.refused(ordered(at("s2").Remove, "s1", false), "s1 answers: let it leave")
		f.kill("s1")
		time.Sleep(5 * time.Second)
		if p := f.done(ordered(at("s2").Remove, "s1", false)); p.Note != "refused everywhere" {
			t.Errorf("it says %q", p.Note)
		}
		soon(t, func() bool { return f.voters("r.1") == "s2 s3 s4" && f.voters(ident.MetaGroup) == "s2 s3 s4" })
		f.done(ordered(at("s2").Remove, "s1", false)) // again
		if got := read(t, at("e1"), "k"); string(got.Entries[0].Value) != "v" {
			t.Error("what was written is lost")
		}
		f.kill("s2")
		time.Sleep(5 * time.Second)
		f.refused(ordered(at("s3").Remove, "s4", true), "meta would have 1 of 2 alive: see recover")
		f.refused(ordered(at("s3").Leave, "s4", true), "meta would have 1 of 2 alive: see recover")
		f.done(ordered(at("s3").Remove, "s2", false)) // of three one was dead: none could fail, and none can
		soon(t, func() bool { return f.voters("r.1") == "s3 s4" })
	})
}

// TestReplace: a server whose disk is lost is replaced with one order by a new one, and so is a living one.
func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "s2", "s3")
		put(t, f.nodes["s3"], "k", "v")
		at := func(id api.NodeID) *Node { return f.nodes[id] }
		by := func(old, next api.NodeID) func(context.Context) (*api.Progress, error) {
			return func(ctx context.Context) (*api.Progress, error) { return at("s3").Replace(ctx, old, next, false) }
		}
		f.kill("s1")
		time.Sleep(3 * time.Second)
		f.start("s4")
		f.start("e1")
		f.refused(by("s1", "e1"), "only servers have places: e1 is an edge")
		f.refused(by("s1", "s2"), "s2 has a place in r.1 already: name another server")
		if p := f.done(by("s1", "s4")); p.Note != "s4 votes in 2 groups" {
			t.Errorf("it says %q", p.Note)
		}
		if f.voters("r.1") != "s2 s3 s4" || f.voters(ident.MetaGroup) != "s2 s3 s4" {
			t.Errorf("voters: %s; of meta: %s", f.voters("r.1"), f.voters(ident.MetaGroup))
		}
		f.start("s5")
		f.done(by("s2", "s5")) // it lives
		if f.voters("r.1") != "s3 s4 s5" {
			t.Errorf("voters: %s", f.voters("r.1"))
		}
		soon(t, func() bool { return f.removed.of("s2") != nil })
		f.done(by("s2", "s5"))
		if got := read(t, at("s5"), "k"); string(got.Entries[0].Value) != "v" {
			t.Error("what was written is lost")
		}
	})
}

// TestEphemeralEdgeDeparts: an ephemeral edge that stops is removed at once, any other edge stays.
func TestEphemeralEdgeDeparts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "s1", "e1")
		s1 := f.nodes["s1"]
		for _, id := range []api.NodeID{"e2", "e3"} {
			c := placement.Join{Node: placement.Node{ID: id, Region: "r", Role: api.RoleEdge, Address: string(id), URL: "http://" + string(id), Ephemeral: true}}
			if _, err := s1.change(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		f.start("e2")
		for _, id := range []api.NodeID{"e1", "e2"} {
			if err := f.nodes[id].Close(); err != nil {
				t.Error(err)
			}
		}
		m := s1.membership.view.Map()
		if _, ok := m.Node("e1"); !ok {
			t.Error("an edge that is not ephemeral is gone")
		}
		soon(t, func() bool { _, ok := s1.membership.view.Map().Node("e2"); return !ok })
		if f.removed.of("e2") != nil {
			t.Errorf("it was removed, with %v", f.removed.of("e2"))
		}
		// A node cannot remove another.
		if _, err := methodDepart.Ask(t.Context(), s1.pool.Remote("s1"), &peer.Nothing{}); api.CodeOf(err) != api.CodeConflict {
			t.Errorf("a server departs: %v", err)
		}
	})
}
