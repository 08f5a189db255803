package group

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestBurstMakesFewMessages checks that revocations for writes of many keys of one holder, a tenth of a millisecond
// apart, go out in one message a millisecond. Each message is answered with as many leases as it names. The first one
// waits for nothing.
func TestBurstMakesFewMessages(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("edge")
		defer e.close()
		e.latency = 5 * time.Millisecond
		keys := make([]api.Key, 200)
		for i := range keys {
			keys[i] = api.Key(fmt.Sprint("k", i))
		}
		e.lease(a, keys...)
		_, took := a.mustWrite(put(keys[0], "alone"))
		within(t, "a write by itself", took, 10*time.Millisecond, 10*time.Millisecond+500*time.Microsecond)
		if n := a.revoker.messages(); n != 1 {
			t.Fatalf("one write made %d messages", n)
		}
		var wg sync.WaitGroup
		for _, k := range keys[1:] {
			time.Sleep(100 * time.Microsecond)
			wg.Go(func() { a.mustWrite(put(k, "burst")) })
		}
		wg.Wait()
		if n := a.revoker.messages() - 1; n < 15 || n > 21 {
			t.Errorf("199 writes within 20 ms made %d messages", n)
		}
	})
}

// TestManyOweNothingElseWaits checks that holders that owe other writes an answer do not delay a write, and that each
// of those holders is still suspected in time.
func TestManyOweNothingElseWaits(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, live := l.node("a"), l.edge("live")
		defer live.close()
		var wg sync.WaitGroup
		for i := range 50 {
			e := l.edge(api.NodeID(fmt.Sprint("mute-", i)))
			defer e.close()
			e.mute = true
			k := api.Key(fmt.Sprint("mute-", i))
			e.lease(a, k)
			wg.Go(func() { a.mustWrite(put(k, "v")) })
		}
		live.lease(a, "k")
		_, took := a.mustWrite(put("k", "v"))
		within(t, "a write of what an answering edge holds", took, 0, 2*time.Millisecond)
		wg.Wait()
		if n := len(a.machine.Sessions()); n != 1 {
			t.Errorf("%d sessions are left, not one", n)
		}
	})
}
