package group

import (
	"context"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// TestTries checks that what a request does again in the group comes from the tries that it has left, and that it is
// refused, for certain and without effect, when none is left.
func TestTries(t *testing.T) {
	write := func(ctx context.Context, a *Authority) error {
		_, err := a.Do(ctx, put("k", "mine"))
		return err
	}
	prepare := func(ctx context.Context, a *Authority) error {
		_, err := a.Prepare(ctx, &fsm.Prepare{Group: "g.1", Txn: refOf(1, 1), Then: put("k", "mine").Then}, nil, false)
		return err
	}
	read := func(ctx context.Context, a *Authority) error {
		return a.Read(ctx, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}}, new(words.ReadResult))
	}
	for name, c := range map[string]struct {
		obstacle func(*testLog) (end func())
		ask      func(ctx context.Context, a *Authority) error
	}{
		"a write that meets a lease":       {lateLease, write},
		"a write that meets a transaction": {lockedFor, write},
		"a prepare that meets a lease":     {lateLease, prepare},
		"a read that meets a transaction":  {lockedFor, read},
	} {
		for left := range 2 {
			t.Run(name, func(t *testing.T) {
				bubble(t, nil, func(t *testing.T, l *testLog) {
					a := l.node("a")
					a.mustWrite(put("k", "old"))
					defer c.obstacle(l)()
					err := c.ask(admission.WithTries(within10(t), uint64(left)+1), a.authority)
					if left > 0 {
						if err != nil {
							t.Error(err)
						}
						return
					}
					wantCode(t, err, words.Exhausted)
					if e := api.AsError(err); e.RetryAfter == 0 {
						t.Errorf("%v: it does not say when to come back", e)
					}
					if x := a.mustRead("k"); string(x.Value) == "mine" {
						t.Error("the refused request was carried out")
					}
				})
			})
		}
	}
}

// lateLease has a lease given on k after the next request has looked for leases, and before it is in the log.
func lateLease(l *testLog) (end func()) {
	a, e := l.node("a"), l.edge("e")
	a.set(func(h *hooks) {
		h.before = func(c fsm.Command) time.Duration {
			switch c.(type) {
			case fsm.Grant:
				return 10 * time.Millisecond
			case fsm.Write, fsm.Prepare:
				return 20 * time.Millisecond
			}
			return 0
		}
	})
	e.wg.Go(func() { e.lease(a, "k") })
	time.Sleep(time.Millisecond)
	return e.close
}

// lockedFor has a transaction hold k for a moment.
func lockedFor(l *testLog) (end func()) {
	a := l.node("a")
	if v := a.lock(9, 1, "k"); v.Refused != nil {
		l.t.Fatal(v.Refused)
	}
	t := time.AfterFunc(50*time.Millisecond, func() { a.resolve(9) })
	return func() { t.Stop() }
}
