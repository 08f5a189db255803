package group

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestOpenSession checks that sessions the group does not allow are refused.
func TestOpenSession(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, ctx := l.node("a"), context.Background()
		ok := words.OpenSession{Group: "g.1", Node: "e", Nonce: ident.Nonce{1}, Term: time.Second}
		if g, err := a.authority.OpenSession(ctx, ok); err != nil || g.Session.IsZero() {
			t.Fatalf("%+v, %v", g, err)
		}
		for name, bad := range map[string]func(*words.OpenSession){
			"a term over the maximum":  func(o *words.OpenSession) { o.Term = words.MaxLeaseTerm + 1 },
			"a pause over the maximum": func(o *words.OpenSession) { o.Pause = words.MaxPause + 1 },
			"no term":                  func(o *words.OpenSession) { o.Term = 0 },
			"a negative pause":         func(o *words.OpenSession) { o.Pause = -1 },
			"no node":                  func(o *words.OpenSession) { o.Node = "" },
		} {
			o := ok
			bad(&o)
			if _, err := a.authority.OpenSession(ctx, o); api.CodeOf(err) != api.CodeInvalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		ok.Group = "g.2"
		_, err := a.authority.OpenSession(ctx, ok)
		wantCode(t, err, api.CodeWrongGroup)
	})
}

// TestNonce checks that another process with the same name can neither acknowledge, renew nor close for the
// first one.
func TestNonce(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		go func() {
			time.Sleep(100 * time.Millisecond)
			a.authority.Acked(words.RevokeAck{Group: "g.1", Session: e.sid, Nonce: ident.Nonce{9}, Node: "e",
				Leases: []words.RevokedLease{{Key: "k", Lease: e.cache["k"].Lease}}})
			_ = a.authority.CloseSession(e.ctx, "g.1", e.sid, ident.Nonce{9})
			s, ok := a.authority.KeepAlive(context.Background(), &words.KeepAlive{Node: "e", Nonce: ident.Nonce{9}},
				words.SessionKeepAlive{Group: "g.1", Session: e.sid})
			if !ok || !s.Dead || s.Extended {
				t.Errorf("another process was answered %+v, %v", s, ok)
			}
		}()
		_, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait, grantorWait+2*tick)
	})
}

// TestAckOfAnEarlierLease checks that the acknowledgement of an earlier lease does not clear the present one.
func TestAckOfAnEarlierLease(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		go func() {
			time.Sleep(100 * time.Millisecond)
			a.authority.Acked(words.RevokeAck{Group: "g.1", Session: e.sid, Nonce: e.nonce, Node: "e",
				Leases: []words.RevokedLease{{Key: "k", Lease: e.cache["k"].Lease - 1}}})
		}()
		_, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait, grantorWait+2*tick)
	})
}

// TestReleaseAndCloseEndWaits checks that anything that ends a lease ends the wait for it.
func TestReleaseAndCloseEndWaits(t *testing.T) {
	for name, end := range map[string]func(*Authority, *testEdge) error{
		"release": func(r *Authority, e *testEdge) error {
			return r.Release(e.ctx, "g.1",
				[]ident.DroppedLease{{Session: e.sid, Key: "k", Lease: e.cache["k"].Lease}})
		},
		"close": func(r *Authority, e *testEdge) error {
			return r.CloseSession(e.ctx, "g.1", e.sid, e.nonce)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, l *testLog) {
				a, e := l.node("a"), l.edge("e")
				defer e.close()
				e.lease(a, "k")
				e.set(func(e *testEdge) { e.mute = true })
				go func() {
					time.Sleep(100 * time.Millisecond)
					if err := end(a.authority, e); err != nil {
						t.Error(err)
					}
				}()
				_, took := a.mustWrite(put("k", "new"))
				within(t, "the write", took, 100*time.Millisecond, 120*time.Millisecond)
			})
		})
	}
}

// TestLateAckIsReleased checks that a lease is removed from the machine if it is given back after the writes that
// asked for it have ended.
func TestLateAckIsReleased(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.live()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		_, _, err := a.write(500*time.Millisecond, put("k", "new"))
		wantCode(t, err, api.CodeUnavailable)
		e.set(func(e *testEdge) { e.mute = false })
		time.Sleep(2 * sweepEvery)
		if n := a.machine.Meta().Leases; n != 0 {
			t.Errorf("%d leases stand, want none", n)
		}
		if s, ok := a.machine.Session(e.sid); !ok || s.Suspect {
			t.Errorf("session %+v, %v: want it live", s, ok)
		}
	})
}

// TestUnknownSessionIsDead checks that an unknown session is dead and that its reads are answered without a lease.
func TestUnknownSessionIsDead(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.sid.Index += 100
		if x, err := e.fetch(a, "k"); err != nil || x.Lease != 0 {
			t.Errorf("%+v, %v", x, err)
		}
		if s, ok := e.keepAlive(a); !ok || !s.Dead {
			t.Errorf("answered %+v, %v", s, ok)
		}
	})
}

// TestStatusCountsLeases checks that the answer to a keep-alive says how many leases the group holds for the session.
func TestStatusCountsLeases(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e, other := l.node("a"), l.edge("e"), l.edge("other")
		defer e.close()
		defer other.close()
		other.lease(a, "k1")
		counts := func(want int) {
			t.Helper()
			if s, ok := e.keepAlive(a); !ok || !s.Extended || s.Leases != want {
				t.Errorf("answered %+v, %v; want %d leases", s, ok, want)
			}
		}
		counts(0)
		e.lease(a, "k1", "k2")
		counts(2)
		x, err := e.fetch(a, "k1")
		if err != nil {
			t.Fatal(err)
		}
		counts(2) // a newer lease replaces the one before

		for _, lid := range []ident.LeaseID{x.Lease - 1, x.Lease, x.Lease} { // late, in time, and once more
			d := ident.DroppedLease{Session: e.sid, Key: "k1", Lease: lid}
			if err := a.authority.Release(e.ctx, "g.1", []ident.DroppedLease{d}); err != nil {
				t.Fatal(err)
			}
			counts(map[bool]int{true: 2, false: 1}[lid < x.Lease])
		}
	})
}

// TestCoolDown checks that every holder that asks for a lease gets it, except for a while after a write of the key,
// whichever way the key was written. The other keys of the read get their leases.
func TestCoolDown(t *testing.T) {
	tune := func(c *Config) { c.CoolDown = 100 * time.Millisecond }
	bubble(t, tune, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		fetch := func(want string) {
			t.Helper()
			res, err := words.Read(e.ctx, a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k", "other"}}, Session: e.sid})
			if err != nil {
				t.Fatal(err)
			}
			var leased []string
			for i, x := range res.Entries {
				if res.Lease(i) != 0 {
					leased = append(leased, string(x.Key))
				}
			}
			if got := strings.Join(leased, " "); got != want {
				t.Fatalf("leases on %q, want %q", got, want)
			}
		}
		fetch("k other") // the first read that asks
		for _, write := range []*words.Txn{put("k", "1"), put("k", "2"), {Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "k"}}}}} {
			a.mustWrite(write)
			fetch("other")
			time.Sleep(99 * time.Millisecond)
			fetch("other")
			time.Sleep(time.Millisecond)
			fetch("k other")
		}
	})
}

// TestCoolDownsAreBounded checks that the remembered keys are bounded, whatever is written. A key that was written
// last is always known until its cool-down is over.
func TestCoolDownsAreBounded(t *testing.T) {
	c := newCoolDowns(time.Second)
	now := time.Now()
	for i := range 5 * maxCoolDowns {
		k := api.Key(fmt.Sprint(i))
		c.wrote(k, now)
		if c.over(k, now.Add(time.Second-1)) || !c.over(k, now.Add(time.Second)) {
			t.Fatalf("key %d does not cool down for a second", i)
		}
		if n := max(len(c.recent), len(c.older)); n > maxCoolDowns {
			t.Fatalf("%d keys are kept", n)
		}
	}
	if n := testing.AllocsPerRun(1000, func() { c.wrote("1", now); c.over("2", now) }); n != 0 {
		t.Errorf("a write allocates %v times", n)
	}
	for range 2 { // idle maps do not keep the keys of a burst for ever
		now = now.Add(time.Second)
		c.wrote("k", now)
	}
	if n := len(c.recent) + len(c.older); n > 2 {
		t.Errorf("%d keys are kept after their cool-down", n)
	}
	c = newCoolDowns(-1)
	if c.wrote("k", now); !c.over("k", now) {
		t.Error("a key cools down though none is to")
	}
}

// TestKnownAndMixedReads checks that values that the reader knows are omitted, and that keys with and without grants
// come in order.
func TestKnownAndMixedReads(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		first, _ := a.mustWrite(put("k1", "one"))
		a.mustWrite(put("k3", "three"))
		a.set(func(h *hooks) { h.before = only[fsm.Write](50 * time.Millisecond) })
		go a.mustWrite(put("k2", "two"))
		time.Sleep(time.Millisecond) // k2 is latched, so it gets no grant
		res, err := words.Read(e.ctx, a.authority, &words.ReadRequest{
			ReadRequest: api.ReadRequest{Keys: []api.Key{"k1", "k2", "k3"}, Known: []api.Version{first.Version, {}, {}}}, Session: e.sid,
		})
		if err != nil || len(res.Entries) != 3 || !res.Snapshot {
			t.Fatalf("%+v, %v", res, err)
		}
		k1, k2, k3 := res.Entries[0], res.Entries[1], res.Entries[2]
		if k1.Key != "k1" || res.Lease(0) == 0 || !k1.Unchanged || len(k1.Value) != 0 {
			t.Errorf("k1: %+v", k1)
		}
		if k2.Key != "k2" || res.Lease(1) != 0 || k2.Exists {
			t.Errorf("k2: %+v", k2)
		}
		if k3.Key != "k3" || res.Lease(2) == 0 || string(k3.Value) != "three" {
			t.Errorf("k3: %+v", k3)
		}
		time.Sleep(time.Second)
	})
}
