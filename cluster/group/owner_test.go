package group

import (
	"context"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestOthersLeases (Attack 8) shows that a lying edge, which knows the session, the nonce and the leases of another,
// can neither release, drop, acknowledge nor close for it. The holder serves its entry all the while, so a write that
// came through would make what it serves stale.
func TestOthersLeases(t *testing.T) {
	for name, attack := range map[string]func(a *testNode, liar context.Context, e *testEdge, d ident.DroppedLease) error{
		"release": func(a *testNode, liar context.Context, _ *testEdge, d ident.DroppedLease) error {
			return a.authority.Release(liar, "g.1", []ident.DroppedLease{d})
		},
		"dropped in a write": func(a *testNode, liar context.Context, _ *testEdge, d ident.DroppedLease) error {
			txn := put("k", "new")
			txn.Dropped = []ident.DroppedLease{d}
			_, _, err := a.writeOf(liar, time.Second, txn)
			return err
		},
		"dropped in a prepare": func(a *testNode, liar context.Context, _ *testEdge, d ident.DroppedLease) error {
			_, err := a.authority.Prepare(liar, &fsm.Prepare{Group: "g.1", Txn: ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{7}, Seq: 1, Attempt: 1, Decider: "g.2"}},
				Then: put("k", "new").Then}, []ident.DroppedLease{d}, true)
			return err
		},
		"dropped in a last commit": func(a *testNode, liar context.Context, _ *testEdge, d ident.DroppedLease) error {
			_, err := a.authority.CommitLast(liar, &fsm.CommitLast{Txn: ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{7}, Seq: 1, Attempt: 1, Decider: "g.1"}},
				Then: put("k", "new").Then, Places: []uint32{0}}, []ident.DroppedLease{d})
			return err
		},
		"close": func(a *testNode, liar context.Context, e *testEdge, _ ident.DroppedLease) error {
			return a.authority.CloseSession(liar, "g.1", e.sid, e.nonce)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, l *testLog) {
				a, e := l.node("a"), l.edge("e")
				defer e.close()
				e.lease(a, "k")
				e.live()
				liar := words.WithCaller(context.Background(), &words.Caller{Node: "liar", Role: api.RoleEdge})
				d := ident.DroppedLease{Group: "g.1", Session: e.sid, Key: "k", Lease: e.cache["k"].Lease}
				if err := attack(a, liar, e, d); api.CodeOf(err) != api.CodeDenied {
					t.Fatalf("the attack ended with %v", err)
				}
				if x, ok := e.serves("k"); !ok || len(a.machine.Holders([]api.Key{"k"})) != 1 || string(a.mustRead("k").Value) != string(x.Value) {
					t.Errorf("the holder serves %q, %v, of %d leases; the owner has %q", x.Value, ok, len(a.machine.Holders([]api.Key{"k"})), a.mustRead("k").Value)
				}
			})
		})
	}
}

// TestOthersMessages (Attack 8) shows that an acknowledgement, a keep-alive and a request for leases in another node's
// session do nothing, even with its nonce: a write still waits until the silent holder has expired.
func TestOthersMessages(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.set(func(e *testEdge) { e.mute = true })
		liar := words.WithCaller(context.Background(), &words.Caller{Node: "liar", Role: api.RoleEdge})
		go func() {
			time.Sleep(100 * time.Millisecond)
			a.authority.Acked(words.RevokeAck{Group: "g.1", Session: e.sid, Nonce: e.nonce, Node: "liar",
				Leases: []words.RevokedLease{{Key: "k", Lease: e.cache["k"].Lease}}})
			s, ok := a.authority.KeepAlive(liar, &words.KeepAlive{Node: "liar", Nonce: e.nonce, Seq: 9, Clock: e.clock.Now()},
				words.SessionKeepAlive{Group: "g.1", Session: e.sid})
			if ok && s.Extended {
				t.Errorf("another node was answered %+v, %v", s, ok)
			}
			res, err := words.Read(liar, a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"other"}}, Session: e.sid})
			if err != nil || res.Lease(0) != 0 {
				t.Errorf("another node has a lease in the session: %+v, %v", res, err)
			}
		}()
		_, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait, grantorWait+2*tick)
	})
}

// TestSessionsToCome (Attack 8) shows that a node gives up no lease of a session that is opened only later, by anyone:
// the ids of sessions can be guessed.
func TestSessionsToCome(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), newEdge(l, "e")
		defer e.close()
		liar := words.WithCaller(context.Background(), &words.Caller{Node: "liar", Role: api.RoleEdge})
		next := ident.SessionID{Incarnation: ident.FirstIncarnation, Index: a.machine.Meta().Counter + 1}
		if err := a.authority.CloseSession(liar, "g.1", next, e.nonce); err != nil {
			t.Errorf("a session that is not there: %v", err)
		}
		if err := a.authority.Release(liar, "g.1", []ident.DroppedLease{{Session: next, Key: "k", Lease: 1 << 60}}); err != nil {
			t.Errorf("a lease that is not there: %v", err)
		}
		if now := a.machine.Meta().Counter + 1; now != next.Index {
			t.Errorf("the log has got %d entries", now-next.Index)
		}
		e.open(a)
		if e.sid != next {
			t.Fatalf("the session is %v, not %v", e.sid, next)
		}
	})
}

// TestBarredHolder (Attack 11) shows that an edge that takes leases and answers no revocation delays writes twice, under
// a new session each time, and then gets no lease for ten minutes. Other edges get theirs.
func TestBarredHolder(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e, honest := l.node("a"), l.edge("e"), l.edge("honest")
		defer e.close()
		defer honest.close()
		honest.live()
		e.set(func(e *testEdge) { e.mute = true })
		for range barAfter {
			e.open(a)
			time.Sleep(4 * sessionOffence) // any probation is over
			e.open(a)
			e.lease(a, "k")
			if _, took := a.mustWrite(put("k", "v")); took < e.term {
				t.Fatalf("the write took %v", took)
			}
		}
		barred := func(d time.Duration, want bool) {
			t.Helper()
			time.Sleep(d)
			e.open(a)
			x, err := e.fetch(a, "k")
			if err != nil || (x.Lease == 0) != want {
				t.Errorf("%+v, %v: want barred %v", x, err, want)
			}
		}
		barred(time.Minute, true)
		if _, took := a.mustWrite(put("k", "w")); took > 0 {
			t.Errorf("a write took %v", took)
		}
		honest.lease(a, "other")
		if n := a.authority.bars.count(time.Now()); n != 1 {
			t.Errorf("%d nodes are barred", n)
		}
		barred(barWithin-2*time.Minute, true)
		barred(2*time.Minute, false)
	})
}

// TestBars checks when a node is barred, and that the number of nodes that are remembered is bounded.
func TestBars(t *testing.T) {
	if testing.Short() {
		t.Skip("counts, in one goroutine")
	}
	var b bars
	now := time.Unix(1_000_000, 0)
	if b.expired("e", now) || b.barred("e", now) {
		t.Error("barred the first time")
	}
	if b.expired("e", now.Add(barWithin)) {
		t.Error("barred for what is long ago")
	}
	if !b.expired("e", now.Add(2*barWithin-1)) {
		t.Error("not barred the second time")
	}
	if !b.barred("e", now.Add(3*barWithin-2)) || b.barred("e", now.Add(3*barWithin-1)) || b.barred("other", now) {
		t.Error("barred for another time")
	}
	for i := range 2 * maxBars {
		b.expired(api.NodeID(rune(i)), now)
	}
	if len(b) > maxBars {
		t.Errorf("%d nodes are remembered", len(b))
	}
	b.forget(now.Add(5 * barWithin))
	if len(b) != 0 {
		t.Errorf("%d nodes are not forgotten", len(b))
	}
}

// TestEdgeLimits (Attack 11) checks that an edge's session is refused if its term or its pause would let it delay
// writes for longer than edges may, and a server's is not.
func TestEdgeLimits(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		for _, c := range []struct {
			role        api.Role
			term, pause time.Duration
			refused     bool
		}{
			{api.RoleEdge, 8 * time.Second, 2 * time.Second, false},
			{api.RoleEdge, 8*time.Second + 1, 0, true},
			{api.RoleEdge, time.Second, 2*time.Second + 1, true},
			{api.RoleEdge, time.Minute, 10 * time.Second, true},
			{api.RoleServer, time.Minute, 10 * time.Second, false},
		} {
			ctx := words.WithCaller(context.Background(), &words.Caller{Node: "e", Role: c.role})
			_, err := a.authority.OpenSession(ctx, words.OpenSession{Group: "g.1", Node: "e", Nonce: ident.Nonce{1}, Term: c.term, Pause: c.pause})
			if refused := api.CodeOf(err) == api.CodeInvalid; refused != c.refused || !refused && err != nil {
				t.Errorf("%s with %v and %v: %v", c.role, c.term, c.pause, err)
			}
		}
	})
}
