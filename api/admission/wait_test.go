package admission

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// waits has a request wait for the room, and returns how long it waited and whether it was let in.
func waits(ctx context.Context, r *Room, stop <-chan struct{}, a Ask) (time.Duration, bool) {
	began := time.Now()
	enter := func() (*Ticket, *api.Error) { return r.Enter(a) }
	ticket, refusal := enter()
	if refusal != nil {
		ticket, refusal = r.Wait(ctx, stop, refusal, enter)
	}
	ticket.Leave()
	return time.Since(began), refusal == nil
}

// TestWait: a refused request is let in soon after there is room, and otherwise refused after MaxWait, half of its time, when its
// context ends or when the server stops.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room(func(c *Config) { c.SlowAfter = time.Hour })
		ask := Ask{Class: Request}
		inside := in(t, r, 8, ask)
		stop := make(chan struct{})
		expect := func(what string, ctx context.Context, took time.Duration, entered bool) {
			t.Helper()
			if d, ok := waits(ctx, r, stop, ask); d != took || ok != entered {
				t.Errorf("%s: let in %t after %v, want %t after %v", what, ok, d, entered, took)
			}
		}
		expect("no room", t.Context(), MaxWait, false)
		for left, took := range map[time.Duration]time.Duration{time.Second: time.Second / 2, 8 * time.Second: MaxWait, 20: 10} {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			expect("a deadline", ctx, took, false)
			cancel()
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		expect("the client has gone", ctx, 100*time.Millisecond, false)
		expect("the client had gone", ctx, 0, false)
		time.AfterFunc(600*time.Millisecond, inside[0].Leave)
		expect("there is room", t.Context(), 750*time.Millisecond, true)
		in(t, r, 1, ask)
		time.AfterFunc(100*time.Millisecond, func() { close(stop) })
		expect("the server closes", t.Context(), 100*time.Millisecond, false)
	})
}

// TestWaiters: those that wait take no place, and one too many is refused at once.
func TestWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room(func(c *Config) { c.SlowAfter = time.Hour })
		in(t, r, 8, Ask{Class: Request})
		var waiting sync.WaitGroup
		for range MaxWaiters {
			waiting.Go(func() { waits(t.Context(), r, nil, Ask{Class: Request}) })
		}
		synctest.Wait()
		if took, ok := waits(t.Context(), r, nil, Ask{Class: Request}); took != 0 || ok {
			t.Errorf("one too many: let in %t after %v", ok, took)
		}
		in(t, r, 4, Ask{Class: Leased})
		if n := r.UnderWay(); n != 12 {
			t.Errorf("%d are under way", n)
		}
		waiting.Wait()
		if took, _ := waits(t.Context(), r, nil, Ask{Class: Request}); took != MaxWait {
			t.Errorf("places of those that wait are not given back: %v", took)
		}
	})
}
