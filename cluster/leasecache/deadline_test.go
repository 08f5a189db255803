package leasecache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
)

// times runs a test of a cache whose groups keep time: 1,000 s when it begins, at a rate of true time. A keep-alive takes a
// millisecond to the leader.
func times(t *testing.T, rate float64, test func(*testing.T, *rig)) {
	bubble(t, test, func(c *Config) {
		r := (*rig)(c.Store.(*storeOf))
		began := time.Now()
		r.now = func() uint64 { return 1_000_000 + uint64(float64(time.Since(began))*rate/1e6) }
		r.deadlines = map[api.Key]uint64{}
		r.answer = func(f *fakeStream, k *words.KeepAlive) {
			time.Sleep(time.Millisecond)
			r.extendAll(f, k)
		}
	})
}

// expires makes the key end that long from now, by the group's time.
func (r *rig) expires(k api.Key, ttl time.Duration) {
	r.change(func() { r.deadlines[k] = r.now() + uint64(ttl/time.Millisecond) })
}

// stops returns how long from now on the key is served here, looking every millisecond.
func (r *rig) stops(k api.Key, most time.Duration) time.Duration {
	began := time.Now()
	for r.servable(k) && time.Since(began) < most {
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// TestHolderStopsAtTheDeadline: a holder serves a key until its deadline by the group's time, however the clocks of the two drift
// within their bounds. It is early by the way of a keep-alive at most, and late by the drift of both clocks over a term.
func TestHolderStopsAtTheDeadline(t *testing.T) {
	for _, c := range []struct{ leader, holder float64 }{
		{1, 1}, {1 + words.ClockRateError, 1 - words.ClockRateError}, {1 - words.ClockRateError, 1 + words.ClockRateError},
	} {
		times(t, c.leader, func(t *testing.T, r *rig) {
			r.clock.rates(c.holder, c.holder)
			r.put("a/k", "v")
			r.expires("a/k", 30*time.Second)
			r.lease("a/k")
			due := time.Duration(float64(30*time.Second) / c.leader) // in true time
			drift := time.Duration(2 * words.ClockRateError * float64(beat))
			if got := r.stops("a/k", time.Minute); got < due-drift-3*time.Millisecond || got > due+drift+2*time.Millisecond {
				t.Errorf("leader %v, holder %v: it stopped after %v, the deadline was after %v", c.leader, c.holder, got, due)
			}
		})
	}
}

// TestCutOffHolderStopsAtTheDeadline: no read of any consistency gets an overdue key from a holder that is cut off, and a suspend
// counts.
func TestCutOffHolderStopsAtTheDeadline(t *testing.T) {
	times(t, 1, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.expires("a/k", 3*time.Second)
		r.lease("a/k")
		r.unreachable()
		read := func(c api.Consistency) error {
			q := &api.ReadRequest{Keys: []api.Key{"a/k"}, Consistency: c}
			if c == api.Bounded {
				q.MaxStale = time.Hour
			}
			_, err := storetest.Read(t.Context(), r, q)
			return err
		}
		r.clock.jump(2*time.Second, 0) // the machine slept
		for _, c := range []api.Consistency{api.Linearizable, api.Bounded, api.Stale} {
			if err := read(c); err != nil {
				t.Errorf("%v before the deadline: %v", c, err)
			}
		}
		time.Sleep(time.Second)
		for _, c := range []api.Consistency{api.Linearizable, api.Bounded, api.Stale} {
			wantCode(t, read(c), api.CodeUnavailable)
		}
	})
}

func wantCode(t *testing.T, err error, code api.Code) {
	t.Helper()
	if api.CodeOf(err) != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

// TestTouchedKeyIsServedAgain: a holder that has passed the deadline asks the owner, takes over a later deadline of the same
// version, and serves the key again under the lease that it has. A deadline of another version or group changes nothing.
func TestTouchedKeyIsServedAgain(t *testing.T) {
	times(t, 1, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.expires("a/k", 2*time.Second)
		r.lease("a/k")
		lid := r.leaseOf("a/k")
		time.Sleep(time.Second)
		r.expires("a/k", 5*time.Second) // a touch: the lease stays
		if _, by := r.get("a/k"); by != api.ServedByLease {
			t.Errorf("served by %v before the deadline that it knows", by)
		}
		time.Sleep(1100 * time.Millisecond)
		before := r.readsSoFar()
		if v, by := r.get("a/k"); v != "v" || by != api.ServedByOwner {
			t.Errorf("an overdue key: %q by %v", v, by)
		}
		if n := r.readsSoFar(); n != before+1 || !r.reads[before].Session.IsZero() {
			t.Errorf("it asked the owner %d times, first for %+v", n-before, r.reads[before])
		}
		res := r.read(api.ReadRequest{Keys: []api.Key{"a/k"}})
		if res.ServedBy != api.ServedByLease || r.leaseOf("a/k") != lid {
			t.Errorf("after the touch: by %v, lease %d and not %d", res.ServedBy, r.leaseOf("a/k"), lid)
		}
		if ttl := res.Entries[0].TTL; ttl < 3800*time.Millisecond || ttl > 3900*time.Millisecond {
			t.Errorf("%v are left, not 3.9 s", ttl)
		}
		time.Sleep(4 * time.Second)
		r.change(func() {
			r.store.read = func(ctx context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
				res, err := r.ownerRead(ctx, q)
				res.Entries[0].Version.Index++ // written meanwhile; the revocation is on its way
				res.Deadlines[0] += 10_000
				return res, err
			}
		})
		r.get("a/k")
		if r.servable("a/k") {
			t.Error("a deadline of another version was taken over")
		}
		r.change(func() {
			r.store.read = func(ctx context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
				res, err := r.ownerRead(ctx, q)
				res.Group, res.Deadlines[0] = "b", res.Deadlines[0]+10_000
				return res, err
			}
		})
		r.get("a/k")
		if r.servable("a/k") {
			t.Error("a deadline in another group's time was taken over")
		}
	})
}

// TestOverdueIsNoLease: to a read of several keys, a snapshot and the conditions of a transaction across groups, an overdue entry
// is one that is not leased.
func TestOverdueIsNoLease(t *testing.T) {
	times(t, 1, func(t *testing.T, r *rig) {
		keys := []api.Key{"a/1", "a/2"}
		for _, k := range keys {
			r.put(k, "v")
		}
		r.expires("a/2", 3*time.Second)
		r.lease(keys...)
		held := func() (*api.ReadResult, []int, bool) {
			txn := words.Txn{Txn: api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: "a/2"}}}, SeveralGroups: true}
			r.validateLeases(&txn)
			return r.read(api.ReadRequest{Keys: keys, Snapshot: true}), txn.Leased, txn.LeasesHeld != nil && txn.LeasesHeld()
		}
		if res, leased, _ := held(); res.ServedBy != api.ServedByLease || len(leased) != 1 {
			t.Errorf("before the deadline: by %v, conditions %v", res.ServedBy, leased)
		}
		txn := words.Txn{Txn: api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: "a/2"}}}, SeveralGroups: true}
		r.validateLeases(&txn)
		time.Sleep(3 * time.Second)
		if txn.LeasesHeld() {
			t.Error("a lease on a key that is overdue by now validates a commit")
		}
		if res, leased, _ := held(); res.ServedBy != api.ServedByOwner || len(leased) != 0 {
			t.Errorf("after it: by %v, conditions %v", res.ServedBy, leased)
		}
	})
}

// TestTimeAfterAFailover: the time that a new leader reports may be behind what the holder has worked out, since time without a leader
// does not count. The holder goes by the newest answer, and an older one that comes late changes nothing.
func TestTimeAfterAFailover(t *testing.T) {
	times(t, 1, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.expires("a/k", 3*time.Second)
		r.lease("a/k")
		g, early := r.lookupGroup("a"), r.clock.Now()
		time.Sleep(3 * time.Second)
		if r.servable("a/k") {
			t.Fatal("an overdue key is served")
		}
		now := r.now()
		r.change(func() { r.now = func() uint64 { return now - 2000 } }) // the new leader has missed 2 s
		time.Sleep(beat)
		synctest.Wait()
		if !r.servable("a/k") {
			t.Error("the key is not served though it has a second to live, as its leader says")
		}
		g.tells(now+60_000, early)
		g.tells(0, r.clock.Now())
		if !r.servable("a/k") {
			t.Error("an answer to an earlier question, or one without a time, was believed")
		}
	})
}

// TestNoTimeNoDeadline: an entry with a deadline is not served before its group has reported its time.
func TestNoTimeNoDeadline(t *testing.T) {
	e, keys := warmEdge(t, stillClock{}, 1)
	en := e.entries.get(e.entries.hasher.hash(keys[0]), keys[0])
	en.deadline.Store(1 << 62)
	if en.servable(e.cfg.Clock.Now()) {
		t.Error("served")
	}
	en.session.group.tells(1, e.cfg.Clock.Now())
	if !en.servable(e.cfg.Clock.Now()) || en.ttl(e.cfg.Clock.Now()) <= 0 {
		t.Error("not served, long before its deadline")
	}
}
