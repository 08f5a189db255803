package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster/clock"
	"github.com/edgehold/edgehold/fsm/placement"
)

// edgeConfig is that of an embedded edge in the bubble.
func (b *bubble) edgeConfig(cfg EdgeConfig) Config {
	b.t.Helper()
	cfg.Join, cfg.Region = []string{"s1"}, "r"
	cfg.Dial = b.fabric.Dialer("embedded")
	c, err := cfg.node()
	if err != nil {
		b.t.Fatal(err)
	}
	c.Clock = clock.NewSimulated(time.Now)
	return c
}

func (b *bubble) embed(cfg EdgeConfig) *Edge {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := openEdge(ctx, b.edgeConfig(cfg))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = e.Close() })
	return e
}

// founded is a plain cluster of one server, in a bubble.
func founded(t *testing.T) *joined {
	t.Helper()
	b := newBubble(t)
	cfg := b.config("s1", api.RoleServer)
	cfg.Bootstrap = true
	j := &joined{b, b.open(cfg)}
	b.ready(j.first)
	return j
}

// row is the edge in the status of the first server.
func (j *joined) row(id api.NodeID) (api.NodeStatus, bool) {
	j.t.Helper()
	s, err := j.first.Status(j.t.Context())
	if err != nil {
		j.t.Fatal(err)
	}
	i := slices.IndexFunc(s.Nodes, func(n api.NodeStatus) bool { return n.Node == id })
	if i < 0 {
		return api.NodeStatus{}, false
	}
	return s.Nodes[i], true
}

// TestEmbeddedEdge: an edge in the process serves the methods of the SDK with leases, without a port: the map has no address of it, and
// the cluster knows by its own word that it is up and which level it knows. When it closes it is gone.
func TestEmbeddedEdge(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cfg EdgeConfig
				var j *joined
				if secure {
					j = newJoined(t)
					cfg.Token = api.Secret(j.token(api.JoinTokenSpec{Role: api.RoleEdge, Uses: api.UnlimitedUses}))
				} else {
					j = founded(t)
				}
				e := j.embed(cfg)
				ctx := t.Context()
				version, err := e.Put(ctx, "k", []byte("v"))
				if err != nil {
					t.Fatal(err)
				}
				var v client.Value
				soon(t, func() bool {
					v, err = e.Get(ctx, "k")
					return err != nil || v.ServedBy == api.ServedByLease
				})
				if err != nil || string(v.Value) != "v" || v.Version != version || v.Node != e.ID() {
					t.Errorf("read %+v, %v", v, err)
				}
				o, _ := j.first.mirror.Map().Node(e.ID())
				if o.Address != "" || o.URL != "" || !o.Ephemeral || o.Role != api.RoleEdge {
					t.Errorf("the map has %+v", o)
				}
				soon(t, func() bool { row, _ := j.row(e.ID()); return row.State == "up" })
				row, _ := j.row(e.ID())
				if row.Level != int(placement.NewestLevel) || row.URL != "" || row.MapVersion == 0 {
					t.Errorf("the status has %+v", row)
				}
				if _, err := j.first.Drain(ctx, e.ID(), 0); err != nil {
					t.Error(err)
				}
				soon(t, func() bool { p, err := j.first.Drain(ctx, e.ID(), 0); return err == nil && p.Done })
				if err := e.Close(); err != nil {
					t.Error(err)
				}
				if _, known := j.row(e.ID()); known {
					t.Error("the edge has closed, and the cluster still has it")
				}
				if _, err := e.Get(ctx, "k"); api.CodeOf(err) != api.CodeUnavailable || e.Err() != nil {
					t.Errorf("after Close: %v, %v", err, e.Err())
				}
			})
		})
	}
}

// TestEmbeddedEdgeComesBack: with a Data the edge keeps its name and its key; the map stays but for the nonce of the process.
func TestEmbeddedEdgeComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		cfg := EdgeConfig{Data: t.TempDir(), Name: "web", Token: api.Secret(j.token(api.JoinTokenSpec{Role: api.RoleEdge, Uses: 1}))}
		e := j.embed(cfg)
		first := e.ID()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if o, ok := j.first.mirror.Map().Node(first); !ok || o.Ephemeral || !strings.HasPrefix(string(first), "web-") {
			t.Errorf("the map has %+v", o)
		}
		cfg.Token = "" // it was for one use, and is not needed any more
		again := j.embed(cfg)
		if again.ID() != first {
			t.Errorf("%s comes back as %s", first, again.ID())
		}
		if _, err := again.Put(t.Context(), "k", []byte("v")); err != nil {
			t.Error(err)
		}
		third := j.embed(cfg) // a second process with the same Data
		select {
		case <-again.Done():
		case <-time.After(time.Minute):
			t.Fatal("two processes run as one edge")
		}
		if again.Err() == nil {
			t.Error("the first process ended without an error")
		}
		soon(t, func() bool { // once its node is closed
			_, err := again.Get(t.Context(), "k")
			return api.CodeOf(err) == api.CodeUnavailable
		})
		if _, err := third.Get(t.Context(), "k"); err != nil {
			t.Errorf("the second: %v", err)
		}
	})
}

// TestEmbeddedEdgeIsRefused: what the cluster does not take is an error of OpenEdge, which leaves nothing behind; a removal ends an edge
// that runs, and not its program.
func TestEmbeddedEdgeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		servers := api.Secret(j.token(api.JoinTokenSpec{Role: api.RoleServer}))
		for says, cfg := range map[string]EdgeConfig{
			"the join token allows the role server only": {Token: servers},
			"an embedded edge begins with at most":       {Name: strings.Repeat("x", 60)},
			"this node has not reached its cluster yet":  {},
			"node id \"-x": {Name: "-x", Token: api.Secret(j.token(api.JoinTokenSpec{Role: api.RoleEdge}))},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			cfg.Join, cfg.Region, cfg.Dial = []string{"s1"}, "r", j.fabric.Dialer("embedded")
			e, err := OpenEdge(ctx, cfg)
			cancel()
			if err == nil {
				_ = e.Close()
			}
			if err == nil || !strings.Contains(fmt.Sprint(err), says) || cfg.Token != "" && strings.Contains(err.Error(), cfg.Token.Reveal()) {
				t.Errorf("%q: %v", says, err)
			}
		}
		e := j.embed(EdgeConfig{Token: api.Secret(j.token(api.JoinTokenSpec{Role: api.RoleEdge}))})
		if _, err := j.first.Remove(t.Context(), e.ID(), true); err != nil {
			t.Fatal(err)
		}
		select {
		case <-e.Done():
		case <-time.After(time.Minute):
			t.Fatal("the edge was removed and goes on")
		}
		if err := e.Err(); err == nil || !strings.Contains(err.Error(), "removed") {
			t.Errorf("it ended with %v", err)
		}
		if _, err := e.Get(t.Context(), "k"); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("it still answers: %v", err)
		}
	})
}

// TestEmbeddedEdgeHoldsNoLevelDown: a level of the map that needs every node rises, although no node can ask the edge; an edge whose
// program is older holds it down.
func TestEmbeddedEdgeHoldsNoLevelDown(t *testing.T) {
	for name, old := range map[string]bool{"new": false, "old": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := founded(t)
				c := j.edgeConfig(EdgeConfig{})
				if old {
					c.mapLevel = placement.NewestLevel - 1
				}
				e, err := openEdge(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = e.Close() }()
				level := func() placement.Level {
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					return j.first.replicas.mapLevelOf(ctx, nodesOf(j.first.mirror.Map()))
				}
				want := placement.NewestLevel
				if old {
					want--
				}
				soon(t, func() bool { return level() == want })
				time.Sleep(time.Hour / 2)
				if got := level(); got != want {
					t.Errorf("after a while all nodes know level %d", got)
				}
				j.fabric.Isolate("embedded")
				time.Sleep(2 * toldFor)
				if got := level(); got != placement.Level0 {
					t.Errorf("all nodes know level %d, though one is silent", got)
				}
				if row, _ := j.row(e.ID()); row.State != "unreachable" {
					t.Errorf("the status has %+v", row)
				}
			})
		})
	}
}

// TestEmbeddedEdgeWithPolicies: an edge whose join token has policies uses the keys of those alone: their owners refuse it all others.
func TestEmbeddedEdgeWithPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		shop := api.Policy{Name: "shop", Rules: []api.PolicyRule{{Prefix: "shop/", Read: true, List: true, Write: true}}}
		if _, err := j.first.SetPolicy(t.Context(), shop, time.Second); err != nil {
			t.Fatal(err)
		}
		e := j.embed(EdgeConfig{Token: api.Secret(j.token(api.JoinTokenSpec{Role: api.RoleEdge, Policies: []string{"shop"}}))})
		if _, err := e.Put(t.Context(), "shop/k", nil); err != nil {
			t.Error(err)
		}
		if _, err := e.Put(t.Context(), "bank/k", nil); api.CodeOf(err) != api.CodeDenied {
			t.Errorf("a write outside: %v", err)
		}
		if _, err := e.Get(t.Context(), "bank/k"); api.CodeOf(err) != api.CodeDenied {
			t.Errorf("a read outside: %v", err)
		}
	})
}

// TestTellIsOfOneself: no node sends a report of another, and none is taken of a node that can be asked.
func TestTellIsOfOneself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := founded(t)
		cfg := j.config("e1", api.RoleEdge)
		cfg.Join = []string{"s1"}
		n := j.open(cfg)
		j.ready(n)
		for _, as := range []api.NodeID{"e1", "s1"} {
			if _, err := methodTell.Ask(t.Context(), n.pool.Remote("s1"), &report{Node: as, MapLevel: placement.NewestLevel}); err == nil {
				t.Errorf("the server takes a report of %s from e1", as)
			}
		}
		if len(j.first.told.newest(time.Now())) != 0 {
			t.Error("a report was kept")
		}
	})
}

// TestRollIsNotAwaitedOfPortless: a command about tokens does not wait for an edge that answers no client.
func TestRollIsNotAwaitedOfPortless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJoined(t)
		j.embed(EdgeConfig{Token: api.Secret(j.token(api.JoinTokenSpec{Role: api.RoleEdge}))})
		told, err := j.first.SetPolicy(t.Context(), api.Policy{Name: "p", Observe: true}, 5*time.Second)
		if err != nil || len(told.NotTold) != 0 {
			t.Errorf("%+v, %v", told, err)
		}
	})
}
