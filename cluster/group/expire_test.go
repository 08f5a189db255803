package group

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// TestDeadlineBehindTheLook: a put of a key that lives for 100 ms waits a second for its commit. Meanwhile the leader has looked at a
// key that is due later. The first key still ends.
func TestDeadlineBehindTheLook(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(putTTL("later", "v", 400*time.Millisecond))
		until := time.Now().Add(time.Second)
		a.set(func(h *hooks) {
			h.before = func(c fsm.Command) time.Duration { // the log stands, and keeps the order of what waits for it
				if _, ok := c.(fsm.Write); ok {
					return time.Until(until)
				}
				return time.Until(until.Add(time.Millisecond))
			}
		})
		a.mustWrite(putTTL("k", "v", 100*time.Millisecond))
		within(t, "the life of the key", a.lives("k", time.Minute), 0, lookAgain+3*expireEvery)
	})
}

// TestLeaseGrantedInATurn: a lease is granted on an overdue key between the end of the transaction that held the key and the Expire.
// The key ends once the lease is cleared.
func TestLeaseGrantedInATurn(t *testing.T) {
	bubble(t, func(c *Config) { c.Groups = reachNone{} }, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.live()
		a.mustWrite(putTTL("k", "v", time.Second))
		due := time.Now().Add(time.Second)
		p := &fsm.Prepare{Group: "g.1", Txn: refOf(1, ageAt(0)), If: []api.Cond{{Kind: api.CondExists, Key: "k"}},
			Then: []api.Op{{Kind: api.OpPut, Key: "other"}}}
		if _, err := a.authority.Prepare(t.Context(), p, nil, false); err != nil {
			t.Fatal(err)
		}
		a.set(func(h *hooks) {
			h.before = func(c fsm.Command) time.Duration {
				switch c.(type) {
				case fsm.Grant:
					return time.Until(due.Add(200 * time.Millisecond))
				case fsm.Expire:
					return time.Until(due.Add(300 * time.Millisecond))
				}
				return 0
			}
		})
		time.AfterFunc(1100*time.Millisecond, func() { a.resolve(1) })
		time.Sleep(900 * time.Millisecond)
		e.lease(a, "k") // granted when the key is overdue
		if len(a.machine.Holders([]api.Key{"k"})) != 1 {
			t.Fatal("the key is not leased")
		}
		within(t, "the life of the key", a.lives("k", time.Minute), 100*time.Millisecond, 100*time.Millisecond+lookAgain+3*expireEvery)
	})
}
