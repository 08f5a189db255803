package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/fsm/placement"
)

// renewed makes a node's next identity, with vouchers by the one before, and has the map take it: the old key is no pin any more.
func (s *secured) renewed(id api.NodeID, role api.Role) *join.Identity {
	s.t.Helper()
	next := s.issue(id, role)
	vouchers, err := s.ids[id].NextVouchers(&next.Key.PublicKey)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, der := range vouchers {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			s.t.Fatal(err)
		}
		next.Vouchers = append(next.Vouchers, c)
	}
	pin := next.Pin()
	s.propose(placement.Rekey{Node: id, Pin: pin[:]})
	s.propose(placement.Rekey{Node: id, Pin: pin[:], Drop: true})
	return next
}

// reopen starts a node that was closed, as the identity. It does not wait until it is ready.
func (s *secured) reopen(id api.NodeID, as *join.Identity) {
	s.t.Helper()
	cfg := s.cfgs[id]
	var err error
	if cfg.Listener, err = s.fabric.Listen(string(id), "r"); err != nil {
		s.t.Fatal(err)
	}
	cfg.Identity = as
	s.nodes[id] = s.open(cfg)
}

func (s *secured) stop(id api.NodeID) {
	s.t.Helper()
	if err := s.nodes[id].Close(); err != nil {
		s.t.Error(err)
	}
	delete(s.nodes, id)
}

// TestOldImage: a server comes back with an old copy of its disk, whose key the map has replaced, and reaches one server alone. That
// server says so by the newest map, and only by it: while it cannot fetch that, it may be the one that is behind. Attack 15.
func TestOldImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2", "s3", "s4")
		var mu sync.Mutex
		var heard []string // guarded by mu
		said := func(is func(string) bool) bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.ContainsFunc(heard, is)
		}
		cfg := s.cfgs["s4"]
		cfg.OnRefused = func(st Standing) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, st.Why+" by "+string(st.By))
		}
		s.cfgs["s4"] = cfg
		s.start()
		s.stop("s4")
		s.renewed("s4", api.RoleServer)
		apart := func(node string, from ...string) {
			for _, o := range from {
				s.fabric.Cut(node, o)
				s.fabric.Cut(o, node)
			}
		}
		time.Sleep(5 * time.Second)
		apart("s4", "s2", "s3")
		apart("s1", "s2", "s3")
		time.Sleep(5 * time.Second) // a voter that hears no other
		s.reopen("s4", s.ids["s4"])
		time.Sleep(time.Minute)
		if said(func(x string) bool { return x != "unsure by s1" }) {
			t.Error("a server without the newest map is sure")
		}
		err := s.nodes["s1"].membership.security.judge(t.Context(), &join.Shown{Subject: s.ids["s4"].Subject, Pin: s.ids["s4"].Pin()})
		if r, ok := errors.AsType[*join.RefusedError](err); !ok || r.Why != whyUnsure {
			t.Errorf("a server without the newest map is sure: %v", err)
		}
		s.fabric.Heal("s1", "s2")
		s.fabric.Heal("s2", "s1")
		s.fabric.Heal("s1", "s3")
		s.fabric.Heal("s3", "s1")
		soon(t, func() bool { return said(func(x string) bool { return x == "key by s1" }) })
	})
}

// TestElectsAfterRenewals: while one of three voters is down the others get new keys; then one of those is lost. The voter that comes
// back knows the old keys alone, and the map with the new ones comes through a group that must elect first: vouchers lead from the keys
// that it knows to the new ones. Attack 6a.
func TestElectsAfterRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1", "s2", "s3").start()
		if err := s.put(s.nodes["s1"], "k", "v"); err != nil {
			t.Fatal(err)
		}
		s.stop("s3")
		for _, id := range []api.NodeID{"s1", "s2"} {
			next := s.renewed(id, api.RoleServer)
			s.stop(id)
			s.reopen(id, next)
			s.ready(s.nodes[id])
		}
		s.stop("s2")
		s.fabric.Isolate("s3")
		s.reopen("s3", s.ids["s3"])
		if pins := s.nodes["s3"].membership.security.trust().nodes["s1"].Pins; s.nodes["s1"].membership.credentials.identity().Pin().In(pins) {
			t.Error("s3 knows the new keys: this test shows nothing")
		}
		s.fabric.Rejoin("s3")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		soon(t, func() bool { return s.nodes["s3"].Ready(ctx) == nil })
		for _, id := range []api.NodeID{"s1", "s3"} {
			if err := s.put(s.nodes[id], "k", "w"); err != nil {
				t.Errorf("at %s: %v", id, err)
			}
		}
	})
}
