package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
)

// TestMembersOverTLS: on a planet with TLS a server leaves and an edge is removed. Both are refused everywhere and end, though no map
// reaches them any more. Attack 14.
func TestMembersOverTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2", "s3", "s4", "e1", "e2")
		f := &fleet{bubble: s.bubble, nodes: s.nodes, removed: &removals{}}
		for id, cfg := range s.cfgs {
			cfg.OnRemoved = func(err error) { f.removed.put(id, err) }
			s.cfgs[id] = cfg
		}
		s.start()
		put(t, s.nodes["e2"], "k", "v")
		f.done(ordered(s.nodes["s3"].Leave, "s2", false))
		if f.voters("r.1") != "s1 s3 s4" {
			t.Errorf("voters: %s", f.voters("r.1"))
		}
		began := time.Now()
		f.done(ordered(s.nodes["s3"].Remove, "e1", false))
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the removal took %v", took)
		}
		soon(t, func() bool { return f.removed.of("s2") != nil })
		soon(t, func() bool { return f.removed.of("e1") != nil })
		if f.removed.of("e2") != nil || f.removed.of("s4") != nil {
			t.Errorf("others were removed too: %v, %v", f.removed.of("e2"), f.removed.of("s4"))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := reportOf(ctx, s.nodes["e1"].pool.Remote("s1")); err == nil {
			t.Error("a removed edge is answered")
		}
		voters := 0
		for id, n := range s.nodes {
			if n.members.get(ident.MetaGroup) == nil || f.removed.of(id) != nil {
				continue
			}
			voters++
			_, err := s.asks(s.ids["e1"], id, "Report")
			if r, ok := errors.AsType[*transport.RefusedError](err); !ok || r.Why != string(join.WhyRemoved) {
				t.Errorf("%s says of a removed edge: %v", id, err)
			}
		}
		if voters != 3 {
			t.Errorf("%d servers know the edges that were removed", voters)
		}
		put(t, s.nodes["e2"], "k", "w")
	})
}

// TestHearsay: one server that says so is enough for a removal; that a node is not known must be said many times while no newer map
// comes.
func TestHearsay(t *testing.T) {
	var h hearsay
	m := &placement.Map{Version: 1}
	said := func(why join.Why) bool { return h.removed(&Standing{Why: string(why)}, m) }
	if h.removed(nil, m) || said(join.WhyKey) {
		t.Error("it takes nothing, or another key, for a removal")
	}
	same := &Standing{Why: string(join.WhyUnknown)}
	for range 100 {
		if h.removed(same, m) {
			t.Fatal("it counts one refusal many times")
		}
	}
	for range unknownTimes - 2 {
		if said(join.WhyUnknown) {
			t.Fatal("it is removed too early")
		}
	}
	m = &placement.Map{Version: 2}
	if said(join.WhyUnknown) {
		t.Error("a newer map is forgotten")
	}
	for range unknownTimes - 1 {
		if said(join.WhyUnknown) {
			return
		}
	}
	t.Error("it is never removed")
}

// TestRemovedBySaying: a server's word is enough.
func TestRemovedBySaying(t *testing.T) {
	var h hearsay
	if !h.removed(&Standing{Why: string(join.WhyRemoved)}, &placement.Map{Version: 1}) {
		t.Error("it goes on")
	}
}
