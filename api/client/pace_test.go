package client

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

var refusedForLoad = &failure{err: &api.Error{Code: api.CodeUnavailable, RetryAfter: 100 * time.Millisecond}, verdict: again}

func putOf(k api.Key) *call { return &call{key: k, writes: true} }

// TestPace checks that no call waits if nothing was refused. After a refusal, as many calls are sent as the limit allows, the
// others wait in order of arrival, and calls of another kind do not wait.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		q := putOf("a/1")
		var inside []*turn
		for range 100 {
			inside = append(inside, p.enter(q))
		}
		p.leave(inside[0], q, refusedForLoad) // of 100: 75 may be sent
		inside = inside[1:]
		for range 50 {
			p.leave(inside[0], q, refusedForLoad) // refused at the same moment
			inside = inside[1:]
		}
		var sent []*turn
		for x := p.enter(q); x != nil; x = p.enter(q) {
			sent = append(sent, x)
		}
		if len(sent) != 75 {
			t.Fatalf("%d are sent", len(sent))
		}
		for _, other := range []*call{putOf("b/1"), {key: "a/1", read: &api.ReadRequest{}}} {
			if p.enter(other) == nil {
				t.Errorf("%q waits, too", lineOf(other))
			}
		}
		if p.enter(&call{key: "a/1", read: &api.ReadRequest{Consistency: api.Quorum}}) != nil {
			t.Error("a read that only the owner answers does not wait")
		}

		var mu sync.Mutex
		var came []int
		var late []*turn // of those that waited
		var line sync.WaitGroup
		gone, leave := context.WithCancel(t.Context())
		for i := range 5 {
			ctx := t.Context()
			if i == 2 {
				ctx = gone
			}
			line.Go(func() {
				if x := p.wait(ctx, q); x != nil {
					mu.Lock()
					late, came = append(late, x), append(came, i)
					mu.Unlock()
				}
			})
			synctest.Wait()
		}
		leave()
		synctest.Wait()
		l := p.of[lineOf(q)]
		for _, x := range sent[:4] {
			p.leave(x, q, nil) // one that was served
			synctest.Wait()
		}
		line.Wait()
		if len(came) != 4 || came[0] != 0 || came[1] != 1 || came[2] != 3 || came[3] != 4 {
			t.Errorf("the line came to its turn as %v", came)
		}
		for _, x := range append(sent[4:], late...) {
			p.leave(x, q, &failure{err: &api.Error{Code: api.CodeAmbiguous}, verdict: again})
		}
		if l.limiter.Inside() != 0 || l.limiter.Limit() != 75 {
			t.Errorf("%d inside, limit %d", l.limiter.Inside(), l.limiter.Limit())
		}
		time.Sleep(calmAfter)
		p.leave(p.enter(q), q, nil)
		if p.lines.Load() != 0 {
			t.Error("there still is a line although no call waits and nothing is refused")
		}
	})
}

// TestPaceFloor checks that some calls are always sent, and that the limit rises soon after the refusals end.
func TestPaceFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		q := putOf("a/1")
		p.leave(p.enter(q), q, refusedForLoad)
		for range 100 {
			turn := p.enter(q)
			time.Sleep(time.Millisecond)
			p.leave(turn, q, refusedForLoad)
			time.Sleep(time.Millisecond)
		}
		l := p.of[lineOf(q)]
		if l.limiter.Limit() != leastInside {
			t.Fatalf("%d are sent", l.limiter.Limit())
		}
		other := p.enter(q) // keeps the line open
		for range leastInside {
			p.leave(p.enter(q), q, nil)
		}
		if l.limiter.Limit() != leastInside+1 {
			t.Errorf("%d are sent after %d that were served", l.limiter.Limit(), leastInside)
		}
		time.Sleep(calmAfter)
		for range mostInside {
			p.leave(p.enter(q), q, nil)
		}
		if p.lines.Load() != 0 {
			t.Errorf("up to %d are sent after a calm time", l.limiter.Limit())
		}
		p.leave(other, q, nil)
	})
}

// TestPaceKinds checks that the number of lines is bounded, and that the kinds beyond it share a line.
func TestPaceKinds(t *testing.T) {
	var p pacer
	for i := range 10 * mostLines {
		q := putOf(api.Key(string(rune('A'+i)) + "/k"))
		turn := p.enter(q)
		if turn == nil {
			t.Fatal("no turn")
		}
		p.leave(turn, q, refusedForLoad)
	}
	if n := len(p.of); n != mostLines+1 {
		t.Errorf("%d lines", n)
	}
}

// TestHoldsBack has many callers use a node that has room for few. All calls are served, and few requests are refused.
func TestHoldsBack(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, h http.Handler) {
		const callers, room = 400, 60
		var inside, vain atomic.Int64
		narrow := of(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer inside.Add(-1)
			if inside.Add(1) > room {
				vain.Add(1)
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = w.Write([]byte(`{"code":"unavailable","retry_after":0.1}`))
				return
			}
			time.Sleep(10 * time.Millisecond)
			h.ServeHTTP(w, r)
		}))
		for _, host := range []string{"near", "mid", "far"} {
			p.set(host, narrow)
		}
		var all sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for range callers {
			all.Go(func() {
				for range 20 {
					if _, err := c.Put(ctx, "k", nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		t.Logf("%d in vain", vain.Load())
		if n := vain.Load(); n > 20*callers/10 {
			t.Errorf("%d requests were sent in vain for %d that were served", n, 20*callers)
		}
	})
}

// TestNeverSent checks that a call whose time ends while it waits was not sent, and that its error says when to try again.
func TestNeverSent(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, _ http.Handler) {
		for _, host := range []string{"near", "mid", "far"} {
			p.set(host, silent)
		}
		q := putOf("k")
		for _, e := range c.endpoints.all {
			e.pace.leave(e.pace.enter(q), q, refusedForLoad)
			for range leastInside {
				if e.pace.enter(q) == nil {
					t.Fatal("no turn")
				}
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Put(ctx, "k", nil)
		if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable || e.RetryAfter == 0 || p.took() != "" {
			t.Errorf("%v", err)
		}
	})
}
