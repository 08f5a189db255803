package wan

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// cutPair is a connection from region a to region b, on which the cuts lie.
func cutPair(t *testing.T, c *Cuts, table *Table) (dialled, accepted net.Conn) {
	t.Helper()
	near, far := connected(t, NewFabric(1, Off()))
	return c.Delay(table, near, "a", "b"), far
}

// TestCuts: a cut holds up both directions of the connections between two regions, and no other, whichever region is named first. What
// was sent meanwhile arrives, in order, after the cut is healed.
func TestCuts(t *testing.T) {
	for name, table := range map[string]*Table{"without delay": Off(), "with delay": exact(time.Millisecond)} {
		for _, heal := range []func(*Cuts){func(c *Cuts) { c.Heal("a", "b") }, (*Cuts).HealAll} {
			synctest.Test(t, func(t *testing.T) {
				var c Cuts
				near, far := cutPair(t, &c, table)
				send(t, near, "before")
				expect(t, far, "before")
				if !c.Cut("b", "a") || c.Cut("a", "b") || !c.Cut("a", "c") {
					t.Errorf("%s: a cut is not reported as new, or one as new that is not", name)
				}
				time.Sleep(time.Millisecond) // what arrives at the instant of the cut still does
				send(t, near, "there")
				send(t, far, "back")
				for _, side := range []net.Conn{near, far} {
					_ = side.SetReadDeadline(time.Now().Add(time.Hour))
					if n, err := side.Read(make([]byte, 1)); n != 0 {
						t.Errorf("%s: %d bytes arrived through a cut, %v", name, n, err)
					}
					_ = side.SetReadDeadline(time.Time{})
				}
				if got := c.All(); !slices.Equal(got, [][2]string{{"a", "b"}, {"a", "c"}}) {
					t.Errorf("%s: the cuts are %v", name, got)
				}
				heal(&c)
				expect(t, far, "there")
				expect(t, near, "back")
				if c.Heal("a", "b") {
					t.Errorf("%s: a cut is healed twice", name)
				}
				_ = near.Close()
			})
		}
	}
}

// TestCutsWithin: the inside of a region is never cut.
func TestCutsWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Cuts
		c.Cut("a", "b")
		near, far := connected(t, NewFabric(1, Off()))
		inside := c.Delay(exact(time.Millisecond), near, "a", "a")
		send(t, inside, "inside")
		expect(t, far, "inside")
		_ = inside.Close()
	})
}

// TestCutsDial: to dial through a cut waits until the cut is healed, or until the context ends.
func TestCutsDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Cuts
		dialled := 0
		dial := func(context.Context) (net.Conn, error) { dialled++; return nil, nil }
		c.Cut("a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Dial(ctx, "a", "b", dial); !errors.Is(err, context.DeadlineExceeded) || dialled != 0 {
			t.Errorf("%v, dialled %d times", err, dialled)
		}
		go func() {
			time.Sleep(time.Minute)
			c.Cut("b", "c") // not what it waits for
			time.Sleep(time.Minute)
			c.Heal("b", "a")
		}()
		began := time.Now()
		if _, err := c.Dial(t.Context(), "a", "b", dial); err != nil || dialled != 1 || time.Since(began) != 2*time.Minute {
			t.Errorf("%v, dialled %d times after %v", err, dialled, time.Since(began))
		}
		if _, err := c.Dial(t.Context(), "a", "d", dial); err != nil || dialled != 2 {
			t.Errorf("%v, dialled %d times", err, dialled)
		}
	})
}

// TestCutsClose: a connection that is closed while a cut lies on it ends after a while, with its goroutines.
func TestCutsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Cuts
		near, far := cutPair(t, &c, exact(time.Millisecond))
		c.Cut("a", "b")
		send(t, near, "lost")
		_ = near.Close()
		began := time.Now()
		if n, err := far.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%d bytes arrived, %v", n, err)
		}
		if d := time.Since(began); d > linger+time.Second {
			t.Errorf("it took %v", d)
		}
	})
}
