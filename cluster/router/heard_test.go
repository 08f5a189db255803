package router

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// TestHeard checks that a group is well for a moment after its leader has answered any request, and lost when the
// leader has not answered for longer. A group that has never answered is neither at first.
func TestHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, far := keysOf(t, b)
		r := b.router(t)
		want := func(what string, g api.GroupID, well, lost bool) {
			t.Helper()
			if r.Well(g) != well || r.Lost(g) != lost {
				t.Errorf("%s: %s is well %v, lost %v; want %v, %v", what, g, r.Well(g), r.Lost(g), well, lost)
			}
		}
		want("at first", "a.1", false, false)
		want("at first", "b.1", false, false)
		if _, err := r.Do(t.Context(), put(one, "v")); err != nil {
			t.Fatal(err)
		}
		r.Heard("b.1")
		for _, g := range []api.GroupID{"a.1", "b.1"} {
			want("answered", g, true, false)
		}
		time.Sleep(r.cfg.WellWithin + time.Millisecond)
		want("silent for a moment", "a.1", false, false)
		time.Sleep(r.cfg.LostAfter - r.cfg.WellWithin)
		want("silent", "a.1", false, true)
		want("never asked", "a.2", false, false)

		b.mu.Lock()
		b.leaders["b.1"] = ""
		b.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Do(ctx, put(far, "v")); err == nil {
			t.Fatal("a write without a leader")
		}
		want("asked in vain", "b.1", false, true)
		r.Heard("b.1")
		want("heard again", "b.1", true, false)
		time.Sleep(r.cfg.LostAfter + time.Millisecond)
		want("never answered", "a.2", false, true)
	})
}

// TestDeciderLost checks that a key that a lost group's decision keeps locked is not requested repeatedly.
func TestDeciderLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, _ := keysOf(t, b)
		b.before = func(_ context.Context, node api.NodeID, _ string, g api.GroupID) error {
			return &api.Error{Code: fsm.DeciderLost, Key: one, RetryAfter: time.Second, Hint: "b.1 does not answer"}
		}
		r := b.router(t)
		for what, ask := range map[string]func() error{
			"a write":        func() error { _, err := r.Do(t.Context(), put(one, "v")); return err },
			"one with an id": func() error { x := put(one, "v"); x.ID = onceID; _, err := r.Do(t.Context(), x); return err },
			"a list": func() error {
				_, err := r.List(t.Context(), &words.ListRequest{ListRequest: api.ListRequest{Range: api.PrefixRange(one)}})
				return err
			},
			"a read": func() error {
				_, err := words.Read(t.Context(), r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{one}}})
				return err
			},
		} {
			began := time.Now()
			e := api.AsError(ask())
			if e == nil || e.Code != api.CodeUnavailable || e.Key != one || e.RetryAfter != time.Second || e.Hint != "b.1 does not answer" || time.Since(began) > 0 {
				t.Errorf("%s: %v, after %v", what, e, time.Since(began))
			}
		}
	})
}
