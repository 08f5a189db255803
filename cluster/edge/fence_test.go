package edge

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// held makes the owner's answers wait: each read announces itself and goes on when it is let go. The answer is made
// when the read arrives, so that what comes late is old.
func (r *rig) held() (asked chan *api.ReadRequest, letGo chan struct{}) {
	asked, letGo = make(chan *api.ReadRequest, 100), make(chan struct{})
	r.change(func() {
		r.store.read = func(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
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

// TestFence: the revocation of a lease overtakes the grant that gives it. It is acknowledged, the owner writes, and the
// grant must not be installed when it comes, though it still answers the read that asked for it (B1).
func TestFence(t *testing.T) {
	for name, giveUp := range map[string]func(t *testing.T, r *rig, lid api.LeaseID){
		"revoked": func(t *testing.T, r *rig, lid api.LeaseID) { r.revoke(api.RevokedLease{Key: "a/k", Lease: lid}) },
		"revoked by a later lease": func(t *testing.T, r *rig, lid api.LeaseID) {
			r.revoke(api.RevokedLease{Key: "a/k", Lease: lid + 7})
		},
		"pending in a status": func(t *testing.T, r *rig, lid api.LeaseID) {
			r.streams["n1"].down <- api.LeaseEvent{Statuses: []api.SessionStatus{{Group: "a", Session: r.session("a"),
				Pending: []api.RevokedLease{{Key: "a/k", Lease: lid}}}}}
			synctest.Wait()
		},
		"then forgotten, under the floor": func(t *testing.T, r *rig, lid api.LeaseID) {
			r.revoke(api.RevokedLease{Key: "a/k", Lease: lid})
			var more []api.RevokedLease
			for i := range 1000 {
				more = append(more, api.RevokedLease{Key: api.Key(fmt.Sprint("a/other-", i)), Lease: lid - 1})
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
				giveUp(t, r, api.LeaseID(r.index))
				if len(r.acks) == 0 || r.acks[0].Nonce != testNonce || r.acks[0].Session != r.session("a") {
					t.Fatalf("acknowledged: %+v", r.acks)
				}
				r.put("a/k", "new") // the owner writes, since nobody holds a lease
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

// TestAckMeansActed: when an acknowledgement is sent the entry is gone and the fence is up (B9).
func TestAckMeansActed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		keys := []api.Key{"a/1", "a/2", "a/3"}
		var leases []api.RevokedLease
		for _, k := range keys {
			r.put(k, "v")
			r.lease(k)
			leases = append(leases, api.RevokedLease{Key: k, Lease: r.leaseOf(k)})
		}
		acked := 0
		r.streams["n1"].ack = func(a *api.RevokeAck) error {
			for _, l := range a.Leases {
				acked++
				if l.Key == "a/3" {
					continue
				}
				if _, ok := r.AuditKey(l.Key); ok || r.GetLeased([]api.Key{l.Key}, make([]api.Entry, 1)) != 0 {
					t.Errorf("%q is served when its revocation is acknowledged", l.Key)
				}
				hash := r.cache.hasher.hash(l.Key)
				if sh := r.cache.shard(hash); !sh.fences.holds(hash, r.lookupGroup("a").live(), l.Lease) {
					t.Errorf("no fence for %q", l.Key)
				}
			}
			return nil
		}
		r.revoke(leases[:2]...)
		if acked != 2 || r.servable("a/1") || r.servable("a/2") || !r.servable("a/3") {
			t.Errorf("%d acknowledged", acked)
		}
		// An older lease than the one held is ended already: what is held stays.
		r.revoke(api.RevokedLease{Key: "a/3", Lease: leases[2].Lease - 1})
		if acked != 3 || !r.servable("a/3") {
			t.Errorf("%d acknowledged; a newer lease went with an older one", acked)
		}
	})
}

// TestRevocationOfAnotherSession: it is acknowledged and takes nothing.
func TestRevocationOfAnotherSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.lease("a/k")
		r.streams["n1"].down <- api.LeaseEvent{Revoke: &api.Revocation{Group: "a", Session: api.SessionID{Incarnation: 9, Index: 9},
			Leases: []api.RevokedLease{{Key: "a/k", Lease: 1 << 40}}}}
		r.streams["n1"].down <- api.LeaseEvent{Revoke: &api.Revocation{Group: "nowhere", Session: r.session("a"),
			Leases: []api.RevokedLease{{Key: "a/k", Lease: 1 << 40}}}}
		synctest.Wait()
		if len(r.acks) != 2 || !r.servable("a/k") {
			t.Errorf("%d acknowledged, servable %v", len(r.acks), r.servable("a/k"))
		}
	})
}

// TestRevocationWaitsForNothing: neither a read on its way to the owner, nor a write, nor an acknowledgement that cannot
// be sent keep a revocation from being handled.
func TestRevocationWaitsForNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.lease("a/k")
		stuck := make(chan struct{})
		r.streams["n1"].ack = func(*api.RevokeAck) error { <-stuck; return nil }
		_, letGo := r.held()
		go func() { _, _ = r.Read(t.Context(), &api.ReadRequest{Keys: []api.Key{"a/x"}}) }()
		synctest.Wait()
		for i := range 3000 {
			r.revoke(api.RevokedLease{Key: "a/k", Lease: api.LeaseID(i)})
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

// TestOutdatedGrant: of two grants of one session the higher stays, in whichever order they come; and no grant replaces
// a newer version.
func TestOutdatedGrant(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.lookupGroup("a").live()
		grant := func(lid api.LeaseID, index uint64, v string) outcome {
			return r.cache.install(s, api.Entry{Key: "a/k", Value: []byte(v), Exists: true, Lease: lid, Version: api.Version{Epoch: 1, Index: index}}, r.clock.Now())
		}
		for i, c := range []struct {
			lid   api.LeaseID
			index uint64
			want  outcome
		}{{10, 5, installed}, {10, 5, outdated}, {9, 4, outdated}, {11, 4, outdated}, {12, 5, installed}} {
			if o := grant(c.lid, c.index, "v"); o != c.want {
				t.Errorf("%d: grant %d of version %d: %d", i, c.lid, c.index, o)
			}
		}
		if n := r.cache.entries.Load(); n != 1 {
			t.Errorf("%d entries are accounted for", n)
		}
	})
}

// TestFences compares the bounded fences with unbounded ones: whatever was given up stays refused.
func TestFences(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	f := newFences(8)
	ss := []*session{newSession(nil, api.SessionID{Index: 1}, api.ClockSample{}, term), newSession(nil, api.SessionID{Index: 2}, api.ClockSample{}, term)}
	type at struct {
		s    *session
		hash uint64
	}
	all := map[at]api.LeaseID{}
	for range 20_000 {
		a, lid := at{ss[rng.IntN(2)], rng.Uint64N(30)}, api.LeaseID(rng.Uint64N(1000))
		f.raise(a.hash, a.s, lid)
		all[a] = max(all[a], lid)
		b := at{ss[rng.IntN(2)], rng.Uint64N(30)}
		if l, ok := all[b]; ok && !f.holds(b.hash, b.s, l) {
			t.Fatalf("lease %d was given up and would be installed", l)
		}
		if len(f.byKey) > 8 {
			t.Fatalf("%d fences", len(f.byKey))
		}
		if rng.IntN(100) == 0 { // sessions come and go, or the floor is all there is
			i := rng.IntN(2)
			for a := range all {
				if a.s == ss[i] {
					delete(all, a)
				}
			}
			ss[i] = newSession(nil, api.SessionID{Index: rng.Uint64()}, api.ClockSample{}, term)
		}
	}
}

// TestNoStaleReads has readers and writers fight over a few keys, in real time and without any fake in between: the
// owner gives leases, revokes them before it writes, and its answers are late. A read that starts after a write was
// acknowledged never returns less.
func TestNoStaleReads(t *testing.T) {
	const keys, readers, writes = 4, 4, 400
	var (
		mu     sync.Mutex
		ver    [keys]uint64
		leases = map[int]api.LeaseID{}
		lid    api.LeaseID
		acked  [keys]atomic.Uint64
		name   [keys]api.Key
		byName = map[api.Key]int{}
	)
	for i := range keys {
		name[i] = api.Key(fmt.Sprint("a/", i))
		byName[name[i]] = i
	}
	late := func() {
		for range rand.IntN(20) {
			time.Sleep(0)
		}
	}
	store := &fakeStore{read: func(_ context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
		late()
		mu.Lock()
		res := &api.ReadResult{Group: "a", Snapshot: true}
		for _, k := range q.Keys {
			i := byName[k]
			e := api.Entry{Key: k, Exists: true, Version: api.Version{Epoch: 1, Index: ver[i]}}
			if !q.Session.IsZero() {
				lid++
				leases[i], e.Lease = lid, lid
			}
			res.Entries = append(res.Entries, e)
		}
		mu.Unlock()
		late()
		return res, nil
	}}
	e, _ := warmEdge(t, stillClock{}, 0)
	e.cfg.Store = store
	e.cache.maxEntries = keys - 1 // so that evictions take part
	for i := range e.cache.shards {
		e.cache.shards[i].tally = newTally(100, 1, 1)
	}
	g := newGroup(e, "a")
	s := newSession(g, api.SessionID{Incarnation: 1, Index: 1}, stillClock{}.Now(), time.Hour)
	g.current.Store(s)
	e.groups["a"] = g
	store.do = func(_ context.Context, q *api.Txn) (*api.TxnResult, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, o := range q.Then {
			i := byName[o.Key]
			if l, ok := leases[i]; ok {
				named := false
				for _, d := range q.Dropped {
					named = named || d.Key == o.Key && d.Lease == l
				}
				if !named {
					acks := make(chan *api.RevokeAck, 1)
					e.revoked("a", s.id, []api.RevokedLease{{Key: o.Key, Lease: l}}, acks)
					<-acks
				}
				delete(leases, i)
			}
			ver[i]++
		}
		return &api.TxnResult{Committed: true}, nil
	}
	var running sync.WaitGroup
	var done atomic.Bool
	var served, stale atomic.Uint64
	for range readers {
		running.Go(func() {
			for !done.Load() {
				n := rand.IntN(keys) + 1
				var floor [keys]uint64
				for i := range n {
					floor[i] = acked[i].Load()
				}
				res, err := e.Read(t.Context(), &api.ReadRequest{Keys: name[:n]})
				if err != nil {
					t.Error(err)
					return
				}
				for i := range n {
					if res.Entries[i].Version.Index < floor[i] {
						stale.Add(1)
					}
				}
				if res.ServedBy == api.ServedByLease {
					served.Add(1)
				}
			}
		})
	}
	var writing sync.WaitGroup
	for range 2 {
		writing.Go(func() {
			for range writes {
				i := rand.IntN(keys)
				mu.Lock()
				at := ver[i] + 1
				mu.Unlock()
				through := e.Do
				if rand.IntN(2) == 0 {
					through = store.do // another node's write
				}
				if _, err := through(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: name[i]}}}); err != nil {
					t.Error(err)
				}
				for old := acked[i].Load(); old < at && !acked[i].CompareAndSwap(old, at); old = acked[i].Load() {
				}
				time.Sleep(20 * time.Microsecond)
			}
		})
	}
	writing.Wait()
	done.Store(true)
	running.Wait()
	if stale.Load() != 0 {
		t.Errorf("%d stale reads", stale.Load())
	}
	if served.Load() == 0 {
		t.Error("no read was served by leases alone")
	}
}
