package txn

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// mustWrite checks that a write of the key is carried out within the time.
func (w *world) mustWrite(k api.Key, within time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	began := time.Now()
	if _, err := w.gateway("us").Do(ctx, &words.Txn{Txn: api.Txn{Then: []api.Op{putOp(k, "free")}}}); err != nil {
		w.t.Errorf("%q is not free after %v: %v", k, time.Since(began), err)
	}
}

// TestLostParticipant checks that a transaction that begins after the loss of one of its groups is noticed fails at
// once, and locks nothing in the other groups. The loss may be only in doubt, so that the far group does not decide, or
// it may be known.
func TestLostParticipant(t *testing.T) {
	for _, c := range []struct {
		name   string
		tx     *words.Txn
		region string // of the gateway
	}{
		{"near and far", &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}}, "us"},
		{"with an id", &words.Txn{Txn: api.Txn{ID: requestOf(1), Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}}, "us"},
		{"decided near", leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}}, "eu/far"), "us"},
		{"with a choice", &words.Txn{
			Txn: api.Txn{If: []api.Cond{{Kind: api.CondAbsent, Key: "us/none"}, {Kind: api.CondAbsent, Key: "eu/none"}},
				Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}, Else: []api.Op{putOp("us/none", "1")}},
		}, "us"},
		{"that only reads", &words.Txn{
			Txn: api.Txn{If: []api.Cond{{Kind: api.CondAbsent, Key: "us/none"}}, Then: []api.Op{{Kind: api.OpGet, Key: "us/a"}, {Kind: api.OpGet, Key: "eu/a"}}},
		}, "us"},
		{"from a region without groups", &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}}, "ap"},
		{"from the lost region", &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}}, "eu"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				g := w.gateway(c.region)
				var prepared atomic.Bool
				g.line.point = func(p point) error {
					if p.kind == "prepare" {
						prepared.Store(true)
					}
					return nil
				}
				w.groups["eu.1"].kill()

				w.doubt("eu.1")
				if _, err := g.Do(within(t, 2*time.Second), c.tx); !errors.Is(err, api.CodeUnavailable) {
					t.Errorf("with the loss in doubt: %v", err)
				}
				w.mustWrite("us/a", 4*time.Second)

				w.notice("eu.1")
				prepared.Store(false)
				began := time.Now()
				_, err := g.Do(within(t, 2*time.Second), c.tx)
				if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable || e.RetryAfter == 0 || !strings.Contains(e.Hint, "eu.1") {
					t.Errorf("with the loss known: %v", err)
				}
				if took := time.Since(began); prepared.Load() || took > q {
					t.Errorf("with the loss known: a group was asked to prepare (%v), after %v it was over", prepared.Load(), took)
				}
				w.mustWrite("us/a", q)

				w.groups["eu.1"].elect()
				w.trust("eu.1")
				if res, err := g.Do(within(t, 5*time.Second), c.tx); err != nil || !res.Committed {
					t.Errorf("when it is back: %+v, %v", res, err)
				}
				w.settled(20 * time.Second)
			})
		})
	}
}

// TestLostGroupIsProbed checks that a group taken for lost that only transactions of this gateway use is used again
// once it answers. A refusal by itself asks the group nothing, so each refusal has the group probed.
func TestLostGroupIsProbed(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		w.notice("eu.1")
		g.line.point = func(p point) error {
			if p.kind == "outcome" && p.group == "eu.1" && p.after {
				w.trust("eu.1") // as the router does with any answer
			}
			return nil
		}
		tx := &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}}
		if _, err := g.Do(within(t, 2*time.Second), tx); api.AsError(err).RetryAfter != pauseLost {
			t.Fatalf("while the group is held for lost: %v", err)
		}
		time.Sleep(pauseLost)
		if res, err := g.Do(within(t, 2*time.Second), tx); err != nil || !res.Committed {
			t.Errorf("after it was asked to come again: %+v, %v", res, err)
		}
		w.settled(20 * time.Second)
	})
}

// TestLostDecider loses the decision group of a transaction that is under way. The locks of the transaction stay.
// Requests for the keys, new or already waiting, fail at once with an error that names the decision group. The locks go
// when the group is back.
func TestLostDecider(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		g.line.point = func(p point) error {
			if p.kind == "commit last" && !p.after {
				w.groups["eu.1"].kill() // it has decided nothing
				return errors.New("the gateway stops")
			}
			return nil
		}
		_, _ = g.Do(within(t, time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}})
		if n := w.groups["us.1"].machine.Meta().Prepared; n != 1 {
			t.Fatalf("%d transactions are prepared", n)
		}
		at := w.groups["us.1"].leader()
		asks := map[string]func(ctx context.Context) error{
			"a write": func(ctx context.Context) error {
				_, err := at.Do(ctx, &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "2")}}})
				return err
			},
			"a read": func(ctx context.Context) error {
				_, err := words.Read(ctx, at, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"us/b", "us/a"}}})
				return err
			},
			"a list": func(ctx context.Context) error {
				_, err := at.List(ctx, &words.ListRequest{ListRequest: api.ListRequest{Range: api.PrefixRange("us/")}})
				return err
			},
		}
		expect := func(what string, err error, took, within time.Duration) {
			t.Helper()
			if e := api.AsError(err); e == nil || e.Key != "us/a" || e.RetryAfter == 0 || !strings.Contains(e.Hint, "eu.1") || took > within {
				t.Errorf("%s: %v, after %v", what, err, took)
			}
		}
		waiting := make(chan error)
		for _, ask := range asks {
			go func() { waiting <- ask(within(t, time.Minute)) }()
		}
		time.Sleep(2 * time.Second)
		w.notice("eu.1")
		began := time.Now()
		for range asks {
			expect("one that waits", <-waiting, time.Since(began), 2*time.Second)
		}
		for what, ask := range asks {
			began := time.Now()
			expect(what, ask(within(t, time.Minute)), time.Since(began), q)
		}
		w.mustWrite("us/b", q)
		stale := &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"us/a"}, Consistency: api.Stale}}
		res, err := words.Read(within(t, time.Second), at, stale)
		if err != nil || res.Entries[0].Exists || res.ServedBy != api.ServedByStale || res.Age < 24*time.Hour {
			t.Errorf("a stale read returns the state from before, of which no age is known: %+v, %v", res, err)
		}
		page, err := at.List(within(t, time.Second), &words.ListRequest{ListRequest: api.ListRequest{Range: api.PrefixRange("us/"), Consistency: api.Stale}})
		if err != nil || len(page.Entries) != 1 || page.Entries[0].Key != "us/b" || !page.Stale || page.Age < 24*time.Hour {
			t.Errorf("a stale list: %+v, %v", page, err)
		}
		bounded := &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"us/a"}, Consistency: api.Bounded, MaxStale: time.Hour}}
		if res, err := words.Read(within(t, time.Second), at, bounded); err == nil {
			t.Errorf("a bounded read of what may be of any age: %+v", res)
		}

		w.groups["eu.1"].elect()
		w.trust("eu.1")
		w.mustWrite("us/a", 10*time.Second)
		w.settled(20 * time.Second)
		if v := w.value("eu/a"); v != "" {
			t.Errorf("eu/a is %q", v)
		}
	})
}
