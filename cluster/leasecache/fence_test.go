package leasecache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// held makes the owner's answers wait: each read announces itself and continues when it is released. The answer is made
// when the read arrives, so that a late answer is old.
func (r *rig) held() (asked chan *words.ReadRequest, letGo chan struct{}) {
	asked, letGo = make(chan *words.ReadRequest, 100), make(chan struct{})
	r.change(func() {
		r.store.read = func(ctx context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
			res, err := r.ownerRead(ctx, q)
			asked <- q
			select {
			case <-letGo:
				time.Sleep(10 * time.Millisecond)
				return res, err
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	})
	return asked, letGo
}

func (r *rig) unhold() { r.change(func() { r.store.read = r.ownerRead }) }

// TestFence lets the revocation of a lease overtake the grant that gives it. The revocation is acknowledged, and the
// owner writes. The grant must not be installed when it comes, although it still answers the read that asked for it.
func TestFence(t *testing.T) {
	for name, giveUp := range map[string]func(t *testing.T, r *rig, lid ident.LeaseID){
		"revoked": func(t *testing.T, r *rig, lid ident.LeaseID) { r.revoke(words.RevokedLease{Key: "a/k", Lease: lid}) },
		"revoked by a later lease": func(t *testing.T, r *rig, lid ident.LeaseID) {
			r.revoke(words.RevokedLease{Key: "a/k", Lease: lid + 7})
		},
		"pending in a status": func(t *testing.T, r *rig, lid ident.LeaseID) {
			r.streams["n1"].down <- words.LeaseEvent{Statuses: []words.SessionStatus{{Group: "a", Session: r.session("a"),
				Pending: []words.RevokedLease{{Key: "a/k", Lease: lid}}}}}
			synctest.Wait()
		},
		"then forgotten, under the floor": func(t *testing.T, r *rig, lid ident.LeaseID) {
			r.revoke(words.RevokedLease{Key: "a/k", Lease: lid})
			var more []words.RevokedLease
			for i := range 1000 {
				more = append(more, words.RevokedLease{Key: api.Key(fmt.Sprint("a/other-", i)), Lease: lid - 1})
			}
			r.revoke(more...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.put("a/k", "old")
				r.get("a/k")
				r.get("a/k")
				asked, letGo := r.held()
				done := make(chan struct{})
				go func() {
					defer close(done)
					if v, by := r.get("a/k"); v != "old" || by != api.ServedByOwner {
						t.Errorf("the read that asked: %q by %v", v, by)
					}
				}()
				if q := <-asked; q.Session.IsZero() {
					t.Fatal("the third read has no wish")
				}
				synctest.Wait()
				giveUp(t, r, ident.LeaseID(r.index))
				if len(r.acks) == 0 || r.acks[0].Nonce != testNonce || r.acks[0].Session != r.session("a") {
					t.Fatalf("acknowledged: %+v", r.acks)
				}
				r.put("a/k", "new") // the owner writes, since there is no lease on the key
				close(letGo)
				<-done
				r.unhold()
				if r.servable("a/k") {
					t.Error("a grant that was revoked before it came is served")
				}
				if v, by := r.get("a/k"); v != "new" || by != api.ServedByOwner {
					t.Errorf("after the write: %q by %v", v, by)
				}
				if n := r.meter.grants[fenced].Load(); n == 0 {
					t.Errorf("no grant was refused by the fence")
				}
				// A lease granted later is above the fence.
				for range 12 {
					r.get("a/k")
				}
				if v, by := r.get("a/k"); v != "new" || by != api.ServedByLease {
					t.Errorf("later: %q by %v", v, by)
				}
			}, func(c *Config) { c.MaxFences = 64 })
		})
	}
}

// TestAckMeansActed checks that when an acknowledgement is sent, the entry is gone and the fence is raised.
func TestAckMeansActed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		keys := []api.Key{"a/1", "a/2", "a/3"}
		var leases []words.RevokedLease
		for _, k := range keys {
			r.put(k, "v")
			r.lease(k)
			leases = append(leases, words.RevokedLease{Key: k, Lease: r.leaseOf(k)})
		}
		acked := 0
		r.streams["n1"].ack = func(a *words.RevokeAck) error {
			for _, l := range a.Leases {
				acked++
				if l.Key == "a/3" {
					continue
				}
				if _, ok := r.AuditKey(l.Key); ok {
					t.Errorf("%q is served when its revocation is acknowledged", l.Key)
				}
				hash := r.entries.hasher.hash(l.Key)
				if sh := r.entries.shard(hash); !sh.fences.holds(hash, r.lookupGroup("a").live(), l.Lease) {
					t.Errorf("no fence for %q", l.Key)
				}
			}
			return nil
		}
		r.revoke(leases[:2]...)
		if acked != 2 || r.servable("a/1") || r.servable("a/2") || !r.servable("a/3") {
			t.Errorf("%d acknowledged", acked)
		}
		// A lease older than the one held has ended already: the held lease stays.
		r.revoke(words.RevokedLease{Key: "a/3", Lease: leases[2].Lease - 1})
		if acked != 3 || !r.servable("a/3") {
			t.Errorf("%d acknowledged; a newer lease went with an older one", acked)
		}
	})
}

// TestRevocationOfAnotherSession checks that the revocation is acknowledged and removes nothing.
func TestRevocationOfAnotherSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.lease("a/k")
		r.streams["n1"].down <- words.LeaseEvent{Revoke: &words.Revocation{Group: "a", Session: ident.SessionID{Incarnation: 9, Index: 9},
			Leases: []words.RevokedLease{{Key: "a/k", Lease: 1 << 40}}}}
		r.streams["n1"].down <- words.LeaseEvent{Revoke: &words.Revocation{Group: "nowhere", Session: r.session("a"),
			Leases: []words.RevokedLease{{Key: "a/k", Lease: 1 << 40}}}}
		synctest.Wait()
		if len(r.acks) != 2 || !r.servable("a/k") {
			t.Errorf("%d acknowledged, servable %v", len(r.acks), r.servable("a/k"))
		}
	})
}

// TestRevocationWaitsForNothing checks that a revocation is handled while a read is on its way to the owner, while a
// write is, and while an acknowledgement cannot be sent.
func TestRevocationWaitsForNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.lease("a/k")
		stuck := make(chan struct{})
		r.streams["n1"].ack = func(*words.RevokeAck) error { <-stuck; return nil }
		_, letGo := r.held()
		go func() { _, _ = storetest.Read(t.Context(), r, &api.ReadRequest{Keys: []api.Key{"a/x"}}) }()
		synctest.Wait()
		for i := range 3000 {
			r.revoke(words.RevokedLease{Key: "a/k", Lease: ident.LeaseID(i)})
		}
		if r.servable("a/k") {
			t.Error("not revoked")
		}
		if r.meter.acksLost.Load() == 0 {
			t.Error("the queue of acknowledgements has no bound")
		}
		close(stuck)
		close(letGo)
		time.Sleep(time.Second)
	})
}

// TestOutdatedGrant checks that of two grants of one session the higher stays, in whichever order they come, and that
// no grant replaces a newer version.
func TestOutdatedGrant(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.lookupGroup("a").live()
		grant := func(lid ident.LeaseID, index uint64, v string) outcome {
			return r.entries.install(s, api.Entry{Key: "a/k", Value: []byte(v), Exists: true, Version: api.Version{Epoch: 1, Index: index}}, lid, 0, r.clock.Now())
		}
		for i, c := range []struct {
			lid   ident.LeaseID
			index uint64
			want  outcome
		}{{10, 5, installed}, {10, 5, outdated}, {9, 4, outdated}, {11, 4, outdated}, {12, 5, installed}} {
			if o := grant(c.lid, c.index, "v"); o != c.want {
				t.Errorf("%d: grant %d of version %d: %d", i, c.lid, c.index, o)
			}
		}
		if _, n, _ := r.entries.room.size(); n != 1 {
			t.Errorf("%d entries are accounted for", n)
		}
	})
}

// TestDeclinedGrant checks a grant that is not installed. It is released, and the release also ends an earlier lease on
// the key at the owner. So the entry under the earlier lease must be removed first, for whatever reason the grant is
// declined:
//
//	grant 10 is installed; grant 12 replaces it at the owner and is declined; Release(12) applies; the owner writes the key
//	and revokes nothing
func TestDeclinedGrant(t *testing.T) {
	const old, lid = 1000, 1200
	for name, decline := range map[string]func(r *rig, s *session, got api.Entry){
		"too big": func(r *rig, s *session, got api.Entry) {
			got.Value = make([]byte, 20_000)
			r.entries.install(s, got, lid, 0, r.clock.Now())
		},
		"under the floor": func(r *rig, s *session, got api.Entry) {
			s.raiseFloor(lid + 50)
			r.entries.install(s, got, lid, 0, r.clock.Now())
		},
		"of an older version": func(r *rig, s *session, got api.Entry) {
			got.Version = api.Version{Epoch: 1, Index: 1}
			r.entries.install(s, got, lid, 0, r.clock.Now())
		},
		"without the value": func(r *rig, s *session, got api.Entry) {
			got.Value, got.Unchanged = nil, true
			r.settle(s, "a", &got, lid, 0, r.clock.Now())
		},
		"of several owners": func(r *rig, s *session, got api.Entry) { r.settle(s, "", &got, lid, 0, r.clock.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				s := r.lookupGroup("a").live()
				got := api.Entry{Key: "a/k", Value: []byte("v"), Exists: true, Version: api.Version{Epoch: 1, Index: 5}}
				if o := r.entries.install(s, got, old, 0, r.clock.Now()); o != installed {
					t.Fatal(o)
				}
				decline(r, s, got)
				if _, ok := r.AuditKey("a/k"); ok {
					t.Error("the entry under the earlier lease has stayed")
				}
				if o := r.entries.install(s, got, lid-1, 0, r.clock.Now()); o != fenced {
					t.Errorf("a grant at a lease that was given up: %d", o)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if len(r.released) == 0 || r.released[0] != s.dropped("a/k", lid) {
					t.Errorf("released %+v", r.released)
				}
				if _, n, _ := r.entries.room.size(); n != 0 || s.held.Load() != 0 {
					t.Errorf("%d entries are accounted for, %d for the session", n, s.held.Load())
				}
			}, func(c *Config) { c.MaxBytes = 100_000 })
		})
	}
	bubble(t, func(t *testing.T, r *rig) { // a lease that a newer one has replaced is not given up
		s := r.lookupGroup("a").live()
		for _, lid := range []ident.LeaseID{lid, old} {
			r.entries.install(s, api.Entry{Key: "a/k", Exists: true}, lid, 0, r.clock.Now())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !r.servable("a/k") || len(r.released) != 0 {
			t.Errorf("servable %v, released %+v", r.servable("a/k"), r.released)
		}
	})
}

// TestFences compares the bounded fences with unbounded ones: every lease that was given up stays refused.
func TestFences(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	f := newFences(8)
	ss := []*session{newSession(nil, ident.SessionID{Index: 1}, words.ClockSample{}, term), newSession(nil, ident.SessionID{Index: 2}, words.ClockSample{}, term)}
	type at struct {
		s    *session
		hash uint64
	}
	all := map[at]ident.LeaseID{}
	for range 20_000 {
		a, lid := at{ss[rng.IntN(2)], rng.Uint64N(30)}, ident.LeaseID(rng.Uint64N(1000))
		f.raise(a.hash, a.s, lid)
		all[a] = max(all[a], lid)
		b := at{ss[rng.IntN(2)], rng.Uint64N(30)}
		if l, ok := all[b]; ok && !f.holds(b.hash, b.s, l) {
			t.Fatalf("lease %d was given up and would be installed", l)
		}
		if len(f.byKey) > 8 {
			t.Fatalf("%d fences", len(f.byKey))
		}
		if rng.IntN(100) == 0 { // sessions come and go, or only the floor is left
			i := rng.IntN(2)
			for a := range all {
				if a.s == ss[i] {
					delete(all, a)
				}
			}
			ss[i] = newSession(nil, ident.SessionID{Index: rng.Uint64()}, words.ClockSample{}, term)
		}
	}
}
