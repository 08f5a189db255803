package group

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// scopeTo gives the edge the scope, as the connection of its messages shows it.
func (e *testEdge) scopeTo(prefixes ...api.Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ctx = words.WithCaller(e.ctx, &words.Caller{Node: e.node, Role: api.RoleEdge, Scope: prefixes})
}

// TestNarrowedScope (Attack 37) shows that an edge whose scope is narrowed loses its leases on other keys: an honest one
// gives them up, and one that does not is renewed no more, so that it serves them no longer than its term. Leases within
// the scope stay.
func TestNarrowedScope(t *testing.T) {
	for _, honest := range []bool{true, false} {
		bubble(t, nil, func(t *testing.T, l *testLog) {
			a, e := l.node("a"), l.edge("e")
			defer e.close()
			a.mustWrite(put("shop/1", "v"))
			a.mustWrite(put("secret/1", "v"))
			time.Sleep(time.Second)
			e.lease(a, "shop/1", "secret/1")
			e.scopeTo("shop/", "secret/")
			if s, ok := e.keepAlive(a); !ok || !s.Extended || len(s.Pending) != 0 {
				t.Fatalf("before it is narrowed: %+v, %v", s, ok)
			}
			e.set(func(e *testEdge) { e.mute = !honest })
			e.scopeTo("shop/")
			for range 3 {
				e.keepAlive(a)
				time.Sleep(time.Second)
			}
			if !honest {
				if e.last.Extended {
					t.Errorf("a holder that keeps its lease is renewed: %+v", e.last)
				}
				time.Sleep(2 * e.term)
				if x, ok := e.serves("secret/1"); ok {
					t.Errorf("it still serves %+v", x)
				}
				return
			}
			if !e.last.Extended {
				t.Errorf("a holder that has given its lease up is not renewed: %+v", e.last)
			}
			if _, ok := e.serves("secret/1"); ok {
				t.Error("it still serves the key")
			}
			if _, ok := e.serves("shop/1"); !ok {
				t.Error("it does not serve a key of its scope")
			}
			e.scopeTo("shop/") // the leases are gone from the machine, too
			time.Sleep(10 * time.Second)
			if left := a.machine.LeasesOf(e.sid, func(k api.Key) bool { return k == "shop/1" }); len(left) != 0 {
				t.Errorf("the machine has %+v", left)
			}
		})
	}
}
