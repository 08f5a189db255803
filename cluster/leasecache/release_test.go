package leasecache

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// evictMany leases keys in a cache that is too small for them, so that most are given up again.
func (r *rig) evictMany(from, to int) {
	for i := from; i < to; i++ {
		k := api.Key(fmt.Sprint("a/k", i))
		r.put(k, "v")
		r.lease(k)
	}
}

// confirmed counts the leases that the owner knows were given up.
func (r *rig) confirmed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[ident.DroppedLease]bool{}
	for _, d := range r.released {
		seen[d] = true
	}
	return len(seen)
}

// TestReleasesAreConfirmed checks that a release that was lost, or whose answer was, is sent again until the owner has
// confirmed it. It is not sent more often than the pause allows, nor after the session has ended, since the leases
// ended with it.
func TestReleasesAreConfirmed(t *testing.T) {
	const keys, room = 400, 50
	small := func(c *Config) { c.MaxEntries = room }
	for name, fails := range map[string]func(r *rig, g api.GroupID, ds []ident.DroppedLease) error{
		"the message is lost": func(*rig, api.GroupID, []ident.DroppedLease) error { return &api.Error{Code: api.CodeUnavailable} },
		"the answer is lost": func(r *rig, g api.GroupID, ds []ident.DroppedLease) error {
			_ = r.ownerRelease(context.Background(), g, ds)
			return &api.Error{Code: api.CodeAmbiguous}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				var sent atomic.Int64
				r.change(func() {
					r.lessor.release = func(_ context.Context, g api.GroupID, ds []ident.DroppedLease) error {
						sent.Add(1)
						return fails(r, g, ds)
					}
				})
				r.evictMany(0, keys)
				time.Sleep(time.Minute)
				synctest.Wait()
				if n := sent.Load(); n < 10 || n > 30 {
					t.Errorf("%d messages in a minute", n)
				}
				r.change(func() { r.lessor.release = r.ownerRelease })
				r.evictMany(keys, keys+10) // later releases wait behind them and are sent too
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := r.confirmed(); n != keys+10-room {
					t.Errorf("the owner knows of %d leases that were given up, of %d", n, keys+10-room)
				}
				if n := r.meter.releasesLost.Load(); n != 0 {
					t.Errorf("%d releases are lost", n)
				}
			}, small)
		})
	}
	t.Run("the session ends", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.change(func() {
				r.lessor.release = func(context.Context, api.GroupID, []ident.DroppedLease) error {
					return &api.Error{Code: api.CodeUnavailable}
				}
			})
			r.evictMany(0, keys)
			r.change(func() { clear(r.sid) })
			time.Sleep(2 * beat) // a keep-alive reports it in that time
			r.change(func() { r.lessor.release = r.ownerRelease })
			time.Sleep(10 * time.Second)
			synctest.Wait()
			for _, d := range r.released {
				if d.Session != r.session("a") {
					t.Fatalf("released %+v of an ended session", d)
				}
			}
		}, small)
	})
}

// TestReleasesAreBounded checks that while the owner accepts no releases, a bounded number waits and the others are
// counted as lost.
func TestReleasesAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.change(func() {
			r.lessor.release = func(context.Context, api.GroupID, []ident.DroppedLease) error {
				return &api.Error{Code: api.CodeUnavailable}
			}
		})
		s := r.lookupGroup("a").live()
		for i := range maxReleases + 1000 {
			s.release("a/k", ident.LeaseID(i+1))
		}
		if n := r.meter.releasesLost.Load(); n != 1000 {
			t.Errorf("%d releases are lost", n)
		}
		var most atomic.Int64
		r.change(func() {
			r.lessor.release = func(ctx context.Context, g api.GroupID, ds []ident.DroppedLease) error {
				most.Store(max(most.Load(), int64(len(ds))))
				return r.ownerRelease(ctx, g, ds)
			}
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := r.confirmed(); n != maxReleases || most.Load() > releaseBatch {
			t.Errorf("%d released in batches of up to %d", n, most.Load())
		}
	})
}

// TestStrayLeases checks that a session for which the owner counts many more leases than are held here is replaced,
// once, and that the cached keys are leased again under the new one. A few more leases are normal: grants and releases
// are on their way.
func TestStrayLeases(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		strays := map[ident.SessionID]int{r.session("a"): maxStray}
		r.change(func() {
			r.answer = func(f *fakeStream, k *words.KeepAlive) {
				var ss []words.SessionStatus
				r.mu.Lock()
				defer r.mu.Unlock()
				for _, s := range k.Sessions {
					held := int(r.lookupGroup(s.Group).live().held.Load())
					ss = append(ss, words.SessionStatus{Group: s.Group, Session: s.Session, Seq: k.Seq, Extended: true, Leases: held + strays[s.Session]})
				}
				f.down <- words.LeaseEvent{Statuses: ss}
			}
		})
		r.put("a/k", "v")
		r.lease("a/k")
		first := r.session("a")
		time.Sleep(10 * beat)
		synctest.Wait()
		if r.session("a") != first || !r.servable("a/k") {
			t.Fatal("a session was replaced for a few leases that are on their way")
		}
		r.change(func() { strays[first]++ })
		time.Sleep(10 * beat)
		synctest.Wait()
		if len(r.closed) != 1 || r.closed[0] != first || len(r.opened) != 2 || !r.servable("a/k") {
			t.Errorf("closed %v, opened %d sessions, servable %v", r.closed, len(r.opened), r.servable("a/k"))
		}
		if n := r.meter.sessions[sessionReplaced].Load(); n != 1 {
			t.Errorf("%d sessions were replaced", n)
		}
	})
}

// TestDedupEpochIsKnown checks that the epoch of a group is known from the opening of a session on. It rises with every
// answer of a leader, whether that renews the session, refuses to, or reports it dead. It is never forgotten or
// lowered.
func TestDedupEpochIsKnown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		answer := func(says words.SessionStatus) {
			r.change(func() {
				r.answer = func(f *fakeStream, k *words.KeepAlive) {
					for _, s := range k.Sessions {
						st := says
						st.Group, st.Session, st.Seq = s.Group, s.Session, k.Seq
						f.down <- words.LeaseEvent{Statuses: []words.SessionStatus{st}}
					}
				}
			})
			time.Sleep(2 * term)
			synctest.Wait()
		}
		r.change(func() {
			r.lessor.open = func(ctx context.Context, o words.OpenSession) (words.SessionGrant, error) {
				g, err := r.ownerOpen(ctx, o)
				g.DedupEpoch = 5
				return g, err
			}
		})
		for i, c := range []struct {
			says words.SessionStatus
			want uint64
		}{
			{words.SessionStatus{DedupEpoch: 7, Extended: true}, 7},
			{words.SessionStatus{DedupEpoch: 8}, 8},             // not renewed: suspect, or the clock runs wrong
			{words.SessionStatus{DedupEpoch: 6}, 8},             // overtaken
			{words.SessionStatus{DedupEpoch: 9, Dead: true}, 9}, // the sessions that are opened then bring 5
		} {
			answer(c.says)
			if got := r.epochs.Of("a"); got.Count != c.want || got.Group != "a" || got.Incarnation == 0 {
				t.Errorf("answer %d: the epoch is %+v, want %d", i, got, c.want)
			}
		}
		r.change(func() { r.answer = silent })
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := r.epochs.Of("a"); got.Count != 9 || !r.epochs.Of("unknown").IsZero() {
			t.Errorf("after an hour of silence the epoch is %v", got)
		}
	})
}

// TestLocatedOnce checks that the owners of a transaction's keys are looked up once, and travel with it.
func TestLocatedOnce(t *testing.T) {
	looked := map[api.Key]int{}
	bubble(t, func(t *testing.T, r *rig) {
		for _, c := range []struct {
			tested, written api.Key
			group           api.GroupID
			several         bool
		}{{"a/1", "a/2", "a", false}, {"a/3", "b/1", "", true}, {"nowhere", "a/4", "", false}} {
			if _, err := r.Do(t.Context(), &api.Txn{
				If: []api.Cond{{Kind: api.CondExists, Key: c.tested}}, Then: []api.Op{{Kind: api.OpPut, Key: c.written}},
			}); err != nil {
				t.Fatal(err)
			}
			if sent := r.txns[len(r.txns)-1]; sent.Group != c.group || sent.SeveralGroups != c.several {
				t.Errorf("%s and %s were sent to %q, several: %v", c.tested, c.written, sent.Group, sent.SeveralGroups)
			}
		}
		for k, n := range looked {
			if n != 1 {
				t.Errorf("%s was looked up %d times", k, n)
			}
		}
	}, func(c *Config) {
		locate := c.Locate
		c.Locate = func(k api.Key) (api.GroupID, bool) { looked[k]++; return locate(k) }
	})
}
