package leasecache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestSuspend: a suspended cache has given its leases back and reads at the owners; afterwards it takes leases again.
func TestSuspend(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.lease("a/k")
		first := r.session("a")
		r.Suspend(true)
		r.Suspend(true)
		if r.servable("a/k") {
			t.Error("a lease is used after it was given back")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(r.closed) != 1 || r.closed[0] != first || len(r.opened) != 1 {
			t.Errorf("sessions closed: %v; opened: %v", r.closed, r.opened)
		}
		for range 5 {
			if v, by := r.get("a/k"); v != "v" || by != api.ServedByOwner {
				t.Errorf("read %q by %v", v, by)
			}
		}
		r.Suspend(false)
		time.Sleep(time.Second)
		r.lease("a/k")
	})
}

// TestSuspendedWhileOpening: a session whose opening is under way when the cache is suspended is closed too.
func TestSuspendedWhileOpening(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		open := r.lessor.open
		r.change(func() {
			r.lessor.open = func(ctx context.Context, o words.OpenSession) (words.SessionGrant, error) {
				time.Sleep(time.Second)
				return open(ctx, o)
			}
			r.sid["a"] = ident.SessionID{} // the session is dead
		})
		time.Sleep(2*beat + 500*time.Millisecond)
		r.Suspend(true)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if now := r.session("a"); len(r.closed) == 0 || r.closed[len(r.closed)-1] != now {
			t.Errorf("session %v was not closed: %v", now, r.closed)
		}
	})
}
