package leasecache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

func TestThirdReadAsksForALease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v1")
		for i := range 3 {
			if v, by := r.get("a/k"); v != "v1" || by != api.ServedByOwner {
				t.Fatalf("read %d: %q by %v", i+1, v, by)
			}
			if wish := !r.reads[i].Session.IsZero(); wish != (i == 2) {
				t.Errorf("read %d wishes: %v", i+1, wish)
			}
		}
		if q := r.reads[2]; q.Group != "a" || q.Session != r.session("a") {
			t.Errorf("the wish is for %q %v", q.Group, q.Session)
		}
		res, err := storetest.Read(t.Context(), r, &api.ReadRequest{Keys: []api.Key{"a/k"}})
		if err != nil || len(r.reads) != 3 {
			t.Fatalf("fourth read: %v, %d reads at the owner", err, len(r.reads))
		}
		if e := res.Entries[0]; res.ServedBy != api.ServedByLease || !res.Snapshot || res.Group != "a" || res.Age != 0 ||
			e.Key != "a/k" || string(e.Value) != "v1" || !e.Exists || e.Version != r.values["a/k"].Version {
			t.Errorf("fourth read: %+v", res)
		}
	})
}

// TestTermCountsFromSending checks that an opening and a keep-alive count from when they were sent, however late the
// answer is. Answers that come out of order or twice never shorten or lengthen a term.
func TestTermCountsFromSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.answer = silent
		r.lessor.open = func(ctx context.Context, o words.OpenSession) (words.SessionGrant, error) {
			time.Sleep(1500 * time.Millisecond)
			return r.ownerOpen(ctx, o)
		}
		began := time.Now()
		at := func(d time.Duration) {
			time.Sleep(time.Until(began.Add(d)))
			synctest.Wait()
		}
		r.Start()
		at(1600 * time.Millisecond)
		r.put("a/k", "v")
		r.lease("a/k")
		at(term - 1)
		if !r.servable("a/k") {
			t.Error("not servable just before the term of the opening ends")
		}
		at(term)
		if r.servable("a/k") {
			t.Error("servable a term after the opening was sent")
		}
		// Keep-alives were sent at 2 s, 3 s and 4 s. Their answers come now: the newest first, then an older one, then
		// again.
		k2, k3 := r.alive[0], r.alive[1]
		answer := func(k *words.KeepAlive) {
			r.extendAll(r.streams["n1"], k)
			synctest.Wait()
		}
		sentAt3 := r.clock.Now().HolderElapsed(k3.Clock)
		if sentAt3 != time.Second {
			t.Fatalf("the second keep-alive is %v old", sentAt3)
		}
		answer(k3)
		if !r.servable("a/k") {
			t.Error("not servable after a keep-alive was answered")
		}
		answer(k2)
		at(3*time.Second + term - 1)
		answer(k2)
		answer(k3)
		if !r.servable("a/k") {
			t.Error("an older answer shortened the term")
		}
		at(3*time.Second + term)
		answer(k3)
		if r.servable("a/k") {
			t.Error("servable a term after the newest answered keep-alive was sent")
		}
		r.Close()
	})
}

// TestLapseAndRevive checks that entries of a session whose term ran out are kept and not served. They are served again
// once a keep-alive of the same session is answered.
func TestLapseAndRevive(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.lease("a/k")
		lid := r.leaseOf("a/k")
		r.change(func() { r.answer = silent })
		time.Sleep(term + beat)
		synctest.Wait()
		if r.servable("a/k") {
			t.Error("servable without a keep-alive for more than a term")
		}
		if _, by := r.get("a/k"); by != api.ServedByOwner {
			t.Errorf("served by %v", by)
		}
		if q := r.reads[len(r.reads)-1]; !q.Session.IsZero() {
			t.Error("a lease that still stands is asked for again")
		}
		if n := r.meter.sessions[sessionLapsed].Load(); n != 1 {
			t.Errorf("%d lapses", n)
		}
		r.change(func() { r.answer = r.extendAll })
		time.Sleep(beat)
		synctest.Wait()
		if !r.servable("a/k") || r.leaseOf("a/k") != lid {
			t.Error("not servable again after a keep-alive")
		}
		if len(r.opened) != 1 {
			t.Errorf("%d sessions were opened", len(r.opened))
		}
	})
}

// TestNoRenewal checks that an answer that neither extends a session nor reports it dead changes nothing: the session
// lapses.
func TestNoRenewal(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.lease("a/k")
		r.change(func() {
			r.answer = func(f *fakeStream, k *words.KeepAlive) {
				f.down <- words.LeaseEvent{Statuses: []words.SessionStatus{{Group: "a", Session: k.Sessions[0].Session, Seq: k.Seq}}}
			}
		})
		time.Sleep(term + time.Millisecond)
		synctest.Wait()
		if r.servable("a/k") || r.session("a").IsZero() || len(r.opened) != 1 {
			t.Error("a session that is not renewed must lapse, no more and no less")
		}
	})
}

// TestDeadSession checks that what a dead session leased is not served again by its successor, but revalidated by
// version. Values that have not changed are not sent again.
func TestDeadSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/same", "v1")
		r.put("a/changed", "v1")
		r.lease("a/same", "a/changed")
		old := r.session("a")
		r.change(func() { r.answer = silent })
		time.Sleep(2 * term) // cut off; the leader kills the session, then writes
		r.put("a/changed", "v2")
		gate := make(chan struct{})
		r.change(func() {
			r.sid["a"] = ident.SessionID{Incarnation: 1, Index: 999} // the old one is unknown now
			r.answer = r.extendAll
			r.store.read = func(ctx context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
				<-gate
				return r.ownerRead(ctx, q)
			}
		})
		before := r.readsSoFar()
		time.Sleep(beat)
		synctest.Wait()
		if r.servable("a/same") || r.servable("a/changed") {
			t.Error("an entry of a dead session is servable")
		}
		if len(r.opened) != 2 || r.session("a") == old {
			t.Fatalf("%d sessions were opened", len(r.opened))
		}
		close(gate)
		synctest.Wait()
		reads := r.reads[before:]
		if len(reads) != 1 || len(reads[0].Keys) != 2 || len(reads[0].Known) != 2 || reads[0].Session != r.session("a") {
			t.Fatalf("revalidated by %d reads: %+v", len(reads), reads)
		}
		for k, want := range map[api.Key]string{"a/same": "v1", "a/changed": "v2"} {
			if v, by := r.get(k); v != want || by != api.ServedByLease {
				t.Errorf("%q: %q by %v", k, v, by)
			}
		}
		if h, _ := r.AuditKey("a/same"); h.Session != r.session("a") {
			t.Errorf("held under session %v", h.Session)
		}
	})
}

// TestGrantOfADeadSession checks that a grant that comes when its session is over, or has been replaced, is not
// installed.
func TestGrantOfADeadSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v1")
		r.get("a/k")
		r.get("a/k")
		reply := make(chan struct{})
		r.change(func() {
			r.store.read = func(ctx context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
				res, err := r.ownerRead(ctx, q)
				<-reply
				return res, err
			}
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			if v, by := r.get("a/k"); v != "v1" || by != api.ServedByOwner {
				t.Errorf("%q by %v", v, by)
			}
		}()
		synctest.Wait()
		r.streams["n1"].down <- words.LeaseEvent{Statuses: []words.SessionStatus{{Group: "a", Session: r.session("a"), Dead: true}}}
		synctest.Wait()
		close(reply)
		<-done
		if _, ok := r.AuditKey("a/k"); ok {
			t.Error("a grant of a dead session is cached")
		}
		if len(r.opened) != 2 {
			t.Errorf("%d sessions were opened", len(r.opened))
		}
	})
}

// TestSessionDeadAnswer checks that a read that requests a lease for a session that the owner no longer knows is still
// answered.
func TestSessionDeadAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.change(func() {
			r.store.read = func(ctx context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
				if !q.Session.IsZero() && q.Session == r.opened1() {
					return nil, &api.Error{Code: api.CodeSessionDead}
				}
				return r.ownerRead(ctx, q)
			}
		})
		for range 4 {
			if v, _ := r.get("a/k"); v != "v" {
				t.Fatalf("%q", v)
			}
			synctest.Wait()
		}
		for _, q := range r.reads {
			if len(q.Known) != 0 {
				t.Errorf("asked with %v known", q.Known)
			}
		}
		if _, by := r.get("a/k"); by != api.ServedByLease || len(r.opened) != 2 {
			t.Errorf("served by %v, %d sessions opened", by, len(r.opened))
		}
	})
}

func (r *rig) opened1() ident.SessionID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.opened) > 1 {
		return ident.SessionID{}
	}
	return r.sid["a"]
}

func TestClocks(t *testing.T) {
	type step struct {
		name     string
		do       func(*rig)
		servable bool
	}
	wait := func(d time.Duration) func(*rig) {
		return func(*rig) { time.Sleep(d); synctest.Wait() }
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"suspended: only BOOTTIME sees it", []step{
			{"just under a term", func(r *rig) { r.clock.jump(term-beat, 0) }, true},
			{"a term", func(r *rig) { r.clock.jump(beat, 0) }, false},
		}},
		{"BOOTTIME slewed slow: RAW is not", []step{
			{"slow", func(r *rig) { r.clock.rates(0.9, 1) }, true},
			{"just under a term", wait(term - time.Millisecond), true},
			{"a term", wait(time.Millisecond), false},
		}},
		{"BOOTTIME runs fast", []step{
			{"fast", func(r *rig) { r.clock.rates(1.1, 1) }, true},
			{"a term by the faster", wait(term*10/11 + time.Millisecond), false},
		}},
		{"both stop: nothing here can see it, which is what the pause allowance is for", []step{
			{"stopped", func(r *rig) { r.clock.rates(0, 0) }, true},
			{"long", wait(term * 3), true},
			{"going again", func(r *rig) { r.clock.rates(1, 1); wait(term)(r) }, false},
		}},
		{"RAW jumps", []step{
			{"by a term", func(r *rig) { r.clock.jump(0, term) }, false},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.change(func() { r.answer = silent })
				r.put("a/k", "v")
				r.lease("a/k")
				for _, s := range c.steps {
					s.do(r)
					if got := r.servable("a/k"); got != s.servable {
						t.Errorf("%s: servable is %v", s.name, got)
					}
					_, by := r.get("a/k")
					if got := by == api.ServedByLease; got != s.servable {
						t.Errorf("%s: served by %v", s.name, by)
					}
				}
			}, func(c *Config) { c.KeepAlive = 2 * time.Second })
		})
	}
}

// TestClockIsReadAfterTheLookup checks that an entry is not served if it is revoked, or its term ends, between lookup
// and answer.
func TestClockIsReadAfterTheLookup(t *testing.T) {
	for name, during := range map[string]func(*rig){
		"revoked": func(r *rig) {
			s := r.lookupGroup("a").live()
			r.entries.revoke(s, "a/k", r.leaseOf("a/k"), words.ClockSample{})
		},
		"expired": func(r *rig) { r.clock.jump(term, term) },
		"evicted": func(r *rig) { r.entries.evict(r.entries.get(r.entries.hasher.hash("a/k"), "a/k"), words.ClockSample{}) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.put("a/k", "v")
				r.lease("a/k")
				at := func(f func()) {
					r.clock.hook(func() {
						r.clock.hook(nil)
						during(r)
						f()
					})
				}
				at(func() { r.put("a/k", "v2") })
				if v, by := r.get("a/k"); v != "v2" || by != api.ServedByOwner {
					t.Errorf("%q by %v", v, by)
				}
				r.clock.jump(-term, -term)
			})
			bubble(t, func(t *testing.T, r *rig) {
				if _, _, ok := r.ReadLeased("a/k"); ok {
					t.Error("a key without a lease is read")
				}
				r.put("a/k", "v")
				r.lease("a/k")
				if e, owner, ok := r.ReadLeased("a/k"); !ok || owner != "a" || string(e.Value) != "v" || e.Key != "a/k" || !e.Exists || e.Version != r.values["a/k"].Version {
					t.Errorf("%+v of %q, %v", e, owner, ok)
				}
				r.clock.hook(func() {
					r.clock.hook(nil)
					during(r)
				})
				if e, _, ok := r.ReadLeased("a/k"); ok {
					t.Errorf("%+v is read at once", e)
				}
				r.clock.jump(-term, -term)
				r.lease("a/k")
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				if _, _, ok := r.ReadLeased("a/k"); ok {
					t.Error("a cache that is closed answers")
				}
			})
		})
	}
}
