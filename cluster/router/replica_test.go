package router

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestReplicaIsNoLeader checks that a replica's answer does not count as an answer of the group's leader. A group that
// has lost its majority stays lost, however often it is read from.
func TestReplicaIsNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		_, _, far := keysOf(t, b)
		r := b.router(t)
		b.leaders["b.1"], b.replicas = "", time.Second
		for range 3 {
			if r.Well("b.1") {
				t.Error("the group has no leader, and is held for well")
			}
			if res, err := words.Read(t.Context(), r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{far}, Consistency: api.Stale}}); err != nil || res.ServedBy != api.ServedByStale {
				t.Fatalf("a stale read: %+v, %v", res, err)
			}
			if res, err := r.List(t.Context(), &words.ListRequest{ListRequest: api.ListRequest{Range: api.PrefixRange(far), Consistency: api.Stale}}); err != nil || !res.Stale {
				t.Fatalf("a stale list: %+v, %v", res, err)
			}
			time.Sleep(r.cfg.LostAfter/2 + time.Millisecond)
		}
		if !r.Lost("b.1") {
			t.Error("the group has no leader, and is not held for lost")
		}
		b.leaders["b.1"] = "b1"
		if _, err := r.Do(t.Context(), put(far, "v")); err != nil || !r.Well("b.1") {
			t.Errorf("after its leader has answered, with %v, the group is well: %v", err, r.Well("b.1"))
		}
	})
}

// TestAgeOnTheWay checks that an answer of a replica grows older on its way here and while it waits for the answers of
// other groups. Its age includes that time, and it is refused if it is then older than the caller accepts.
func TestAgeOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const replica, way, wait = time.Second, 200 * time.Millisecond, 3 * time.Second
		b := newBackend(t)
		one, _, far := keysOf(t, b)
		b.leaders["b.1"], b.replicas = "", replica
		b.after = func(_ context.Context, _ api.NodeID, _ string, g api.GroupID, err error) error {
			time.Sleep(map[api.GroupID]time.Duration{"b.1": way}[g])
			return err
		}
		b.before = func(_ context.Context, _ api.NodeID, _ string, g api.GroupID) error {
			time.Sleep(map[api.GroupID]time.Duration{"a.1": wait}[g])
			return nil
		}
		r := b.router(t)
		read := func(level api.Consistency, maxStale time.Duration, keys ...api.Key) (time.Duration, error) {
			res, err := words.Read(t.Context(), r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: keys, Consistency: level, MaxStale: maxStale}})
			if err != nil {
				return 0, err
			}
			return res.Age, nil
		}
		list := func(level api.Consistency, maxStale time.Duration, start, end api.Key) (time.Duration, error) {
			res, err := r.List(t.Context(), &words.ListRequest{ListRequest: api.ListRequest{Range: api.Range{Start: start, End: end}, Consistency: level, MaxStale: maxStale}})
			if err != nil {
				return 0, err
			}
			return res.Age, nil
		}
		want := func(what string, least time.Duration, age time.Duration, err error) {
			t.Helper()
			if err != nil || age < least || age > least+way {
				t.Errorf("%s: age %v, %v; want %v", what, age, err, least)
			}
		}
		refused := func(what string, age time.Duration, err error) {
			t.Helper()
			if api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("%s: age %v, %v; want %s", what, age, err, api.CodeUnavailable)
			}
		}
		age, err := read(api.Stale, 0, far)
		want("a read", replica+way, age, err)
		age, err = read(api.Stale, 0, far, one)
		want("a read of two groups", replica+wait, age, err)
		age, err = list(api.Stale, 0, far, far+"\x00")
		want("a list", replica+way, age, err)
		age, err = list(api.Stale, 0, far, "")
		want("a list of several groups", replica+wait, age, err)
		age, err = read(api.Bounded, replica+way, far)
		want("a read within its bound", replica+way, age, err)
		age, err = read(api.Bounded, replica, far)
		refused("a read at its bound", age, err)
		age, err = read(api.Bounded, 2*time.Second, far, one)
		refused("a bounded read of two groups", age, err)
		age, err = list(api.Bounded, replica, far, far+"\x00")
		refused("a list at its bound", age, err)
	})
}
