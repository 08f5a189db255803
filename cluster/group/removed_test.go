package group

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestRemovedHolder checks that the sessions of a removed node are not renewed from then on and are awaited, not ended
// early: it may answer from its leases until they expire. Attack 14.
func TestRemovedHolder(t *testing.T) {
	var removed atomic.Bool
	tune := func(c *Config) { c.Removed = func(n api.NodeID) bool { return removed.Load() && n == "gone" } }
	bubble(t, tune, func(t *testing.T, l *testLog) {
		a, e, other := l.node("a"), l.edge("gone"), l.edge("stays")
		defer e.close()
		defer other.close()
		e.lease(a, "k")
		other.lease(a, "o")
		time.Sleep(time.Second)
		if s, ok := e.keepAlive(a); !ok || !s.Extended {
			t.Fatalf("the keep-alive was answered %+v, %v", s, ok)
		}
		e.set(func(e *testEdge) { e.mute = true })
		removed.Store(true)
		time.Sleep(time.Second)
		if s, ok := e.keepAlive(a); !ok || s.Extended || s.Dead {
			t.Errorf("after the removal a keep-alive is answered %+v, %v", s, ok)
		}
		if s, ok := other.keepAlive(a); !ok || !s.Extended {
			t.Errorf("another node is answered %+v, %v", s, ok)
		}
		open := words.OpenSession{Group: "g.1", Node: "gone", Nonce: ident.Nonce{9}, Term: time.Second}
		_, err := a.authority.OpenSession(context.Background(), open)
		wantCode(t, err, api.CodeDenied)
		if _, served := e.serves("k"); !served {
			t.Error("the removed node cannot use its lease any more: this test shows nothing")
		}
		_, took := a.mustWrite(put("k", "new"))
		within(t, "the write", took, grantorWait-time.Second, grantorWait-time.Second+2*tick)
		if _, served := e.serves("k"); served {
			t.Error("the removed node serves what was written over")
		}
	})
}
