package leasecache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

func (r *rig) read(q api.ReadRequest) *api.ReadResult {
	r.t.Helper()
	res, err := storetest.Read(r.t.Context(), r, &q)
	if err != nil {
		r.t.Fatalf("read %q: %v", q.Keys, err)
	}
	return res
}

// unreachable makes the owner fail and leaves keep-alives unanswered.
func (r *rig) unreachable() {
	r.change(func() {
		r.answer = silent
		r.store.read = func(context.Context, *words.ReadRequest) (*words.ReadResult, error) {
			return nil, &api.Error{Code: api.CodeUnavailable, Hint: "cut off"}
		}
	})
}

func values(res *api.ReadResult) string {
	var vs []string
	for _, e := range res.Entries {
		vs = append(vs, string(e.Key)+"="+string(e.Value))
	}
	return strings.Join(vs, " ")
}

// TestManyKeys checks that keys leased at one instant are a snapshot, and that one read asks for all missing keys. Both
// together are a snapshot only if the leases held until the answer came.
func TestManyKeys(t *testing.T) {
	all := []api.Key{"a/1", "a/2", "a/3", "a/4"}
	const want = "a/1=v1 a/2=v2 a/3=v3 a/4=v4"
	bubble(t, func(t *testing.T, r *rig) {
		for i, k := range all {
			r.put(k, fmt.Sprint("v", i+1))
		}
		r.lease("a/1", "a/3")
		before := r.readsSoFar()
		res := r.read(api.ReadRequest{Keys: all})
		if values(res) != want || res.ServedBy != api.ServedByOwner || !res.Snapshot || res.Group != "a" {
			t.Errorf("half leased: %s, %+v", values(res), res)
		}
		if len(r.reads) != before+1 || len(r.reads[before].Keys) != 2 || len(r.reads[before].Known) != 0 {
			t.Errorf("asked for %+v", r.reads[before:])
		}
		held := words.RevokedLease{Key: "a/3", Lease: r.leaseOf("a/3")}
		r.change(func() {
			r.store.read = func(ctx context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
				r.revoke(held)
				return r.ownerRead(ctx, q)
			}
		})
		if res := r.read(api.ReadRequest{Keys: all}); values(res) != want || res.Snapshot {
			t.Errorf("a lease was revoked meanwhile: %s, snapshot %v", values(res), res.Snapshot)
		}
		r.unhold()
		for range 7 {
			r.read(api.ReadRequest{Keys: all})
		}
		res = r.read(api.ReadRequest{Keys: all})
		if values(res) != want || res.ServedBy != api.ServedByLease || !res.Snapshot || res.Group != "a" {
			t.Errorf("all leased: %s, %+v", values(res), res)
		}
		// One sample for all.
		samples := 0
		r.clock.hook(func() { samples++ })
		r.read(api.ReadRequest{Keys: all})
		if samples != 1 {
			t.Errorf("%d clock samples", samples)
		}
	})
}

// TestSeveralGroups checks that each group gets its own request for leases, and that their answers together are not a
// snapshot.
func TestSeveralGroups(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		all := []api.Key{"a/1", "b/1", "a/2", "b/2", "nowhere"}
		for _, k := range all {
			r.put(k, "v")
		}
		r.read(api.ReadRequest{Keys: all})
		r.read(api.ReadRequest{Keys: all})
		if len(r.reads) != 2 {
			t.Fatalf("%d reads without wishes", len(r.reads))
		}
		res := r.read(api.ReadRequest{Keys: all})
		if len(r.reads) != 5 || res.Snapshot || res.Group != "" || values(res) != "a/1=v b/1=v a/2=v b/2=v nowhere=v" {
			t.Errorf("%d reads, %s, %+v", len(r.reads), values(res), res)
		}
		res = r.read(api.ReadRequest{Keys: all[:4]})
		if res.ServedBy != api.ServedByLease || !res.Snapshot || res.Group != "" {
			t.Errorf("leased from two groups: %+v", res)
		}
		// A failure of one group fails the read.
		r.revoke(words.RevokedLease{Key: "a/1", Lease: 1 << 40})
		r.unreachable()
		if _, err := storetest.Read(t.Context(), r, &api.ReadRequest{Keys: all[:4]}); !errors.Is(err, api.CodeUnavailable) {
			t.Errorf("%v", err)
		}
	}, func(c *Config) {
		c.Peers = func() []PeerGroups { return []PeerGroups{{"n1", []api.GroupID{"a", "b"}}} }
	})
}

func TestConsistencies(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v1")
		r.lease("a/k")
		for _, c := range []api.Consistency{api.Bounded, api.Stale} {
			if res := r.read(api.ReadRequest{Keys: []api.Key{"a/k"}, Consistency: c}); res.ServedBy != api.ServedByLease || res.Age != 0 {
				t.Errorf("%v under a lease: %+v", c, res)
			}
		}
		before := r.readsSoFar()
		if res := r.read(api.ReadRequest{Keys: []api.Key{"a/k"}, Consistency: api.Quorum}); res.ServedBy != api.ServedByOwner || len(r.reads) != before+1 || r.reads[before].Consistency != api.Quorum {
			t.Errorf("quorum: %+v", res)
		}
		time.Sleep(2*beat + beat/2)
		last := r.clock.Now()
		r.unreachable()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		// The newest answered keep-alive was sent at most a beat before the group was lost.
		sent := r.alive[0].Clock
		for _, k := range r.alive {
			if last.HolderElapsed(k.Clock) >= 0 {
				sent = k.Clock
			}
		}
		age := r.clock.Now().HolderElapsed(sent) - term
		res := r.read(api.ReadRequest{Keys: []api.Key{"a/k"}, Consistency: api.Stale})
		if res.ServedBy != api.ServedByStale || res.Age != age || string(res.Entries[0].Value) != "v1" || res.Snapshot || res.Group != "a" {
			t.Errorf("stale: age %v, want %v; %+v", res.Age, age, res)
		}
		res = r.read(api.ReadRequest{Keys: []api.Key{"a/k"}, Consistency: api.Bounded, MaxStale: age})
		if res.ServedBy != api.ServedByStale || res.Age != age {
			t.Errorf("bounded by its age: %+v", res)
		}
		for name, q := range map[string]api.ReadRequest{
			"linearizable":      {Keys: []api.Key{"a/k"}},
			"quorum":            {Keys: []api.Key{"a/k"}, Consistency: api.Quorum},
			"bounded, too old":  {Keys: []api.Key{"a/k"}, Consistency: api.Bounded, MaxStale: age - 1},
			"stale, not cached": {Keys: []api.Key{"a/k", "a/other"}, Consistency: api.Stale},
		} {
			if res, err := storetest.Read(t.Context(), r, &q); !errors.Is(err, api.CodeUnavailable) {
				t.Errorf("%s: %+v, %v", name, res, err)
			}
		}
	})
}

// TestStaleAfterDeath checks that entries of a dead session still answer stale reads while the owner cannot be reached,
// but not while it can.
func TestStaleAfterDeath(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v1")
		r.lease("a/k")
		r.change(func() { r.answer = silent })
		time.Sleep(3 * term)
		r.put("a/k", "v2")
		stale := api.ReadRequest{Keys: []api.Key{"a/k"}, Consistency: api.Stale}
		if res := r.read(stale); res.ServedBy != api.ServedByStale || string(res.Entries[0].Value) != "v1" {
			t.Errorf("lapsed: %+v", res)
		}
		r.change(func() { r.sid["a"] = ident.SessionID{}; r.answer = r.extendAll })
		time.Sleep(beat)
		synctest.Wait()
		if len(r.opened) != 2 {
			t.Fatalf("%d sessions", len(r.opened))
		}
		r.change(func() {
			r.store.read = func(context.Context, *words.ReadRequest) (*words.ReadResult, error) { return nil, api.CodeUnavailable }
		})
		if res := r.read(stale); res.ServedBy != api.ServedByStale || string(res.Entries[0].Value) != "v1" || res.Age <= term || res.Group != "a" {
			t.Errorf("dead, owner fails: %+v", res)
		}
		r.unhold()
		if res := r.read(stale); res.ServedBy != api.ServedByOwner || string(res.Entries[0].Value) != "v2" {
			t.Errorf("dead, owner answers: %+v", res)
		}
		// That read requested the lease at once: the key had been worth one.
		if !r.servable("a/k") {
			t.Error("not leased again")
		}
	}, func(c *Config) { c.MaxRevalidate = -1 })
}

// TestDeathWithinTheTerm checks that leases of a session that dies early are known to have held only until its last
// keep-alive.
func TestDeathWithinTheTerm(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v1")
		r.lease("a/k")
		s := r.lookupGroup("a").live()
		r.change(func() { r.answer = silent })
		time.Sleep(term / 2)
		s.end(r.clock.Now())
		if age := s.age(r.clock.Now()); age < term/2 || s.usable(r.clock.Now()) {
			t.Errorf("age %v", age)
		}
	})
}

// TestKnown checks that values of known versions are left out, whichever store answers, and are never lost on the way
// into the cache.
func TestKnown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ver := r.put("a/k", "v")
		q := api.ReadRequest{Keys: []api.Key{"a/k"}, Known: []api.Version{ver}}
		for i := range 5 {
			res := r.read(q)
			if e := res.Entries[0]; !e.Unchanged || e.Value != nil || e.Version != ver || !e.Exists {
				t.Errorf("read %d: %+v", i+1, e)
			}
		}
		if v, by := r.get("a/k"); v != "v" || by != api.ServedByLease {
			t.Errorf("%q by %v", v, by)
		}
		// The owner is sent a lapsed entry's version, and the value comes from here.
		r.change(func() { r.answer = silent })
		time.Sleep(2 * term)
		synctest.Wait()
		if v, by := r.get("a/k"); v != "v" || by != api.ServedByOwner {
			t.Errorf("lapsed: %q by %v", v, by)
		}
		if last := r.reads[len(r.reads)-1]; len(last.Known) != 1 || last.Known[0] != ver {
			t.Errorf("asked for %+v", last)
		}
	})
}

// TestPassThrough checks a read that only the owner may answer, a bad request, and the lists.
func TestPassThrough(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.lease("a/k")
		before := r.readsSoFar()
		r.read(api.ReadRequest{Keys: []api.Key{"a/k"}, Consistency: api.Quorum})
		if r.readsSoFar() != before+1 || !r.reads[before].Session.IsZero() {
			t.Error("a read that the owner is to answer was served here, or asks for a lease")
		}
		if _, err := storetest.Read(t.Context(), r, &api.ReadRequest{}); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("no key: %v", err)
		}
		r.change(func() {
			r.store.list = func(context.Context, *words.ListRequest) (*words.ListResult, error) {
				return &words.ListResult{ListResult: api.ListResult{More: true}}, nil
			}
			r.store.read = func(context.Context, *words.ReadRequest) (*words.ReadResult, error) { return &words.ReadResult{}, nil }
		})
		if res, err := r.List(t.Context(), &api.ListRequest{}); err != nil || !res.More {
			t.Errorf("list: %+v, %v", res, err)
		}
		if _, err := storetest.Read(t.Context(), r, &api.ReadRequest{Keys: []api.Key{"a/x"}}); !errors.Is(err, api.CodeInternal) {
			t.Errorf("an answer without entries: %v", err)
		}
	})
}

// TestReadThatIsGivenUp checks that the caller's own deadline results in CodeUnavailable, not in an internal error.
func TestReadThatIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.held()
		for range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := storetest.Read(ctx, r, &api.ReadRequest{Keys: []api.Key{"a/k"}}); !errors.Is(err, api.CodeUnavailable) {
				t.Errorf("%v", err)
			}
			cancel()
		}
	})
}

// TestShare checks many readers that miss one key. Those that arrived before the flight was sent share its answer.
// Those that arrived while it was on its way never do: they use the lease that it brings, or share the next flight.
func TestShare(t *testing.T) {
	for _, granted := range []bool{true, false} {
		t.Run(fmt.Sprint("granted ", granted), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.put("a/k", "old")
				r.get("a/k")
				r.get("a/k")
				asked, letGo := r.held()
				got, first := make(chan string, 100), make(chan string, 1)
				read := func(got chan string) {
					v, by := r.get("a/k")
					got <- v + " by " + by.String()
				}
				go read(first)
				<-asked
				// The first flight has its answer, which is on its way. The lease in it is revoked and the key written,
				// or, if no lease was granted, just written.
				if !granted {
					r.change(func() { r.grant = func(api.Key) bool { return false } })
				}
				r.revoke(words.RevokedLease{Key: "a/k", Lease: 1 << 40})
				r.put("a/k", "new")
				r.change(func() { r.index = 1 << 41 }) // later leases are above the fence
				for range 20 {
					go read(got)
				}
				synctest.Wait()
				sent := r.readsSoFar()
				close(letGo)
				if v := <-first; v != "old by owner" {
					t.Errorf("the first: %s", v)
				}
				for range 20 {
					if v := <-got; v != "new by owner" && v != "new by lease" {
						t.Errorf("a reader after the write: %s", v)
					}
				}
				if n := r.readsSoFar() - sent; n > 3 {
					t.Errorf("20 readers asked the owner %d times", n)
				}
			})
		})
	}
}

// TestFlightIsShared checks that no single reader ends, hastens or keeps a flight that several wait for. A reader that
// gives up leaves it to the others, and the last one ends it.
func TestFlightIsShared(t *testing.T) {
	type flown struct {
		ctx   context.Context
		letGo chan struct{}
	}
	run := func(name string, test func(t *testing.T, r *rig, start func(patience time.Duration) chan error, flown chan flown)) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.put("a/k", "v")
				r.get("a/k")
				r.get("a/k") // the next read requests a lease
				flights := make(chan flown, 10)
				r.change(func() {
					r.store.read = func(ctx context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
						f := flown{ctx, make(chan struct{})}
						flights <- f
						select {
						case <-f.letGo:
							return r.ownerRead(ctx, q)
						case <-ctx.Done():
							return nil, ctx.Err()
						}
					}
				})
				start := func(patience time.Duration) chan error {
					done := make(chan error, 1)
					go func() {
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						defer cancel()
						_, err := storetest.Read(ctx, r, &api.ReadRequest{Keys: []api.Key{"a/k"}})
						done <- err
					}()
					synctest.Wait()
					return done
				}
				test(t, r, start, flights)
			})
		})
	}
	run("the first gives up", func(t *testing.T, r *rig, start func(time.Duration) chan error, flights chan flown) {
		hasty, patient := start(time.Second), start(time.Minute)
		f := <-flights
		if until, ok := f.ctx.Deadline(); ok && time.Until(until) < time.Minute {
			t.Errorf("the flight has %v, less than one of its readers", time.Until(until))
		}
		if err := <-hasty; !errors.Is(err, api.CodeUnavailable) {
			t.Errorf("the hasty reader: %v", err)
		}
		synctest.Wait()
		if f.ctx.Err() != nil {
			t.Fatal("the flight ended with its first reader")
		}
		close(f.letGo)
		if err := <-patient; err != nil || len(flights) != 0 || !r.servable("a/k") {
			t.Errorf("the patient reader: %v after %d more flights", err, len(flights))
		}
	})
	run("all give up", func(t *testing.T, r *rig, start func(time.Duration) chan error, flights chan flown) {
		one, two := start(time.Second), start(2*time.Second)
		f := <-flights
		<-one
		<-two
		synctest.Wait()
		if f.ctx.Err() == nil {
			t.Error("the flight goes on although no caller waits")
		}
		three := start(time.Minute)
		close((<-flights).letGo)
		if err := <-three; err != nil {
			t.Errorf("a reader after them: %v", err)
		}
	})
	run("the edge closes", func(t *testing.T, r *rig, start func(time.Duration) chan error, flights chan flown) {
		one := start(time.Minute)
		<-flights
		began := time.Now()
		r.Close()
		if err := <-one; !errors.Is(err, api.CodeUnavailable) || time.Since(began) > 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
	run("the store panics", func(t *testing.T, r *rig, start func(time.Duration) chan error, flights chan flown) {
		r.change(func() {
			r.store.read = func(context.Context, *words.ReadRequest) (*words.ReadResult, error) { panic("a fault") }
		})
		if err := <-start(time.Minute); !errors.Is(err, api.CodeInternal) {
			t.Errorf("%v", err)
		}
		r.unhold()
		if _, by := r.get("a/k"); by != api.ServedByOwner {
			t.Errorf("the next read is served by %v", by)
		}
	})
}

// TestDo checks that the node gives up its own leases on the keys that it writes before it sends the write, names them
// in it, and caches nothing of the result. Grants that were on their way are fenced.
func TestDo(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v1")
		r.put("a/other", "v")
		r.lease("a/k", "a/other")
		lid := r.leaseOf("a/k")
		s := r.lookupGroup("a").live()
		r.change(func() {
			r.store.do = func(ctx context.Context, q *words.Txn) (*api.TxnResult, error) {
				if _, ok := r.AuditKey("a/k"); ok {
					t.Error("the key is still cached when its write is sent")
				}
				return r.ownerDo(ctx, q)
			}
		})
		txn := &api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: "a/other"}}, Then: []api.Op{{Kind: api.OpPut, Key: "a/k", Value: []byte("v2")}, {Kind: api.OpGet, Key: "a/other"}}}
		if _, err := r.Do(t.Context(), txn); err != nil {
			t.Fatal(err)
		}
		want := ident.DroppedLease{Group: "a", Session: s.id, Key: "a/k", Lease: lid}
		if d := r.txns[0].Dropped; len(d) != 1 || d[0] != want {
			t.Errorf("dropped %+v", d)
		}
		if _, ok := r.AuditKey("a/k"); ok || !r.servable("a/other") {
			t.Error("cached: what was written, or not what was only read")
		}
		if v, by := r.get("a/k"); v != "v2" || by != api.ServedByOwner {
			t.Errorf("%q by %v", v, by)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(r.released) != 0 {
			t.Errorf("released %+v, which the write cleared", r.released)
		}
		late := api.Entry{Key: "a/k", Value: []byte("v1"), Exists: true, Version: api.Version{Epoch: 1, Index: 1}}
		if o := r.entries.install(s, late, lid, 0, r.clock.Now()); o != fenced {
			t.Errorf("a grant of the dropped lease: %d", o)
		}
	})
}

// TestDoThatDidNotWrite checks that leases dropped for a write that did not happen are released.
func TestDoThatDidNotWrite(t *testing.T) {
	for name, do := range map[string]func() (*api.TxnResult, error){
		"refused":      func() (*api.TxnResult, error) { return nil, &api.Error{Code: api.CodeUnavailable} },
		"unknown":      func() (*api.TxnResult, error) { return nil, &api.Error{Code: api.CodeAmbiguous} },
		"other branch": func() (*api.TxnResult, error) { return &api.TxnResult{}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.put("a/k", "v1")
				r.lease("a/k")
				d := ident.DroppedLease{Group: "a", Session: r.session("a"), Key: "a/k", Lease: r.leaseOf("a/k")}
				wantRes, wantErr := do()
				r.change(func() {
					r.store.do = func(context.Context, *words.Txn) (*api.TxnResult, error) { return wantRes, wantErr }
				})
				res, err := r.Do(t.Context(), &api.Txn{If: []api.Cond{{Kind: api.CondAbsent, Key: "a/k"}}, Then: []api.Op{{Kind: api.OpDelete, Key: "a/k"}}})
				if res != wantRes || !errors.Is(err, wantErr) {
					t.Errorf("%+v, %v", res, err)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if len(r.released) != 1 || r.released[0] != d {
					t.Errorf("released %+v", r.released)
				}
			})
		})
	}
}
