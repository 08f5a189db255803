package door

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestContext: whether it is waited for or not, it ends at its time, with the request, or by end, and says why.
func TestContext(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(c *Context, cancelRequest context.CancelFunc)
		want    error
	}{
		"nothing":       {func(*Context, context.CancelFunc) {}, nil},
		"its time":      {func(*Context, context.CancelFunc) { time.Sleep(time.Minute) }, context.DeadlineExceeded},
		"the request's": {func(_ *Context, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"end":           {func(c *Context, _ context.CancelFunc) { c.End(); c.End() }, context.Canceled},
	} {
		for _, waited := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				of, cancel := context.WithCancel(context.WithValue(context.Background(), closingKey{}, name))
				defer cancel()
				x := NewContext(of, time.Now().Add(time.Minute))
				defer x.End()
				made, cancelMade := context.WithCancel(context.Background())
				if waited {
					cancelMade()
					made, cancelMade = context.WithCancel(x)
				}
				defer cancelMade()
				c.happens(x, cancel)
				synctest.Wait()
				if err := x.Err(); !errors.Is(err, c.want) {
					t.Errorf("%s, waited for %v: it ended with %v, want %v", name, waited, err, c.want)
				}
				if waited && !errors.Is(made.Err(), c.want) {
					t.Errorf("%s: one made from it ended with %v, want %v", name, made.Err(), c.want)
				}
				select {
				case <-x.Done():
					if c.want == nil {
						t.Errorf("%s: it is done", name)
					}
				default:
					if c.want != nil {
						t.Errorf("%s, waited for %v: it is not done", name, waited)
					}
				}
				if c.want != nil && !errors.Is(x.Err(), c.want) {
					t.Errorf("%s: after Done it ended with %v, want %v", name, x.Err(), c.want)
				}
				if c.want == nil && x.Value(closingKey{}) != name {
					t.Errorf("%s: the request's values are gone", name)
				}
			})
		}
	}
}

// TestContextIsNoLonger: the request's own deadline counts if it is sooner.
func TestContextIsNoLonger(t *testing.T) {
	soon := time.Now().Add(time.Second)
	of, cancel := context.WithDeadline(t.Context(), soon)
	defer cancel()
	x := NewContext(of, soon.Add(time.Hour))
	defer x.End()
	if got, ok := x.Deadline(); !ok || !got.Equal(soon) {
		t.Errorf("the deadline is %v, want %v", got, soon)
	}
}
