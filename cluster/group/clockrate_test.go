package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// slewed moves a node's BOOTTIME at the given rate for the duration d, in steps.
func slewed(c *testClock, rate float64, d time.Duration) {
	const step = 100 * time.Millisecond
	for range d / step {
		time.Sleep(step)
		c.jump(time.Duration((rate-1)*float64(step)), 0)
	}
}

// TestLeadersClockIsDisturbed checks that holders with good clocks are renewed while the leader's clock is slewed,
// stands still, sleeps or is slow. The leader then waits longer than it must, which is safe.
func TestLeadersClockIsDisturbed(t *testing.T) {
	for name, disturb := range map[string]func(c *testClock){
		"slewed slower": func(c *testClock) { slewed(c, 0.92, time.Minute) },
		"slewed faster": func(c *testClock) { slewed(c, 1.08, time.Minute) },
		"stands still": func(c *testClock) {
			c.setRate(0)
			time.Sleep(10 * time.Second)
			c.setRate(1)
			time.Sleep(time.Minute)
		},
		"slow": func(c *testClock) {
			c.setRate(0.92)
			time.Sleep(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, l *testLog) {
				a := l.node("a")
				edges := []*testEdge{l.edge("e"), l.edge("f"), l.edge("g")}
				for i, e := range edges {
					defer e.close()
					e.lease(a, api.Key(fmt.Sprint("k", i)))
					e.live()
				}
				time.Sleep(40 * time.Second) // the leader knows their clocks
				done := make(chan struct{})
				go func() {
					disturb(a.clock)
					close(done)
				}()
				for over := false; !over; time.Sleep(500 * time.Millisecond) {
					for i, e := range edges {
						if _, ok := e.serves(api.Key(fmt.Sprint("k", i))); !ok {
							t.Fatalf("%s has lost its lease", e.node)
						}
					}
					select {
					case <-done:
						over = true
					default:
					}
				}
			})
		})
	}
}

// TestLeadersClockIsFast checks that a leader whose clock is too fast detects it, gives no leases, continues to renew
// those that are out, and waits for a holder that is cut off for as long as that holder serves.
func TestLeadersClockIsFast(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		edges := []*testEdge{l.edge("e"), l.edge("f"), l.edge("g")}
		for _, e := range edges {
			defer e.close()
			e.lease(a, "k")
			e.live()
		}
		time.Sleep(10 * time.Second)
		a.clock.setRate(1.1)
		time.Sleep(50 * time.Second)
		for _, e := range edges {
			if _, ok := e.serves("k"); !ok {
				t.Errorf("%s has lost its lease", e.node)
			}
			if x, err := e.fetch(a, "other"); err != nil || x.Lease != 0 {
				t.Errorf("%+v, %v: a lease by a clock in doubt", x, err)
			}
		}
		e := edges[0]
		e.set(func(e *testEdge) { e.down = true })
		written := make(chan struct{})
		go func() {
			a.mustWrite(put("k", "new"))
			close(written)
		}()
		for {
			time.Sleep(time.Millisecond)
			_, serves := e.serves("k")
			select {
			case <-written:
				if serves {
					t.Error("the write was acknowledged while the holder served the old value")
				}
				return
			default:
			}
		}
	})
}

// TestNewLeadForgetsClocks checks that a leader does not compare what it observed in an earlier lead with what it
// observes now.
func TestNewLeadForgetsClocks(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("e")
		defer e.close()
		e.lease(a, "k")
		e.live()
		time.Sleep(40 * time.Second)
		l.elect("b")
		e.clock.setRate(0.5) // paused at times while another node led
		time.Sleep(10 * time.Second)
		e.clock.setRate(1)
		a = l.elect("a")
		for range 20 {
			time.Sleep(time.Second)
			a.authority.mu.Lock()
			off := a.authority.clockOffLocked(process{e.node, e.nonce})
			a.authority.mu.Unlock()
			if off {
				t.Fatal("it is judged by what was while another led")
			}
		}
	})
}
