package httpd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestRequestContext: whether it is waited for or not, it ends at its time, with the request, or by end, and says why.
func TestRequestContext(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(c *requestContext, cancelRequest context.CancelFunc)
		want    error
	}{
		"nothing":       {func(*requestContext, context.CancelFunc) {}, nil},
		"its time":      {func(*requestContext, context.CancelFunc) { time.Sleep(time.Minute) }, context.DeadlineExceeded},
		"the request's": {func(_ *requestContext, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"end":           {func(c *requestContext, _ context.CancelFunc) { c.end(); c.end() }, context.Canceled},
	} {
		for _, waited := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				of, cancel := context.WithCancel(context.WithValue(context.Background(), drainingKey{}, name))
				defer cancel()
				x := newRequestContext(of, time.Now().Add(time.Minute))
				defer x.end()
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
				if c.want == nil && x.Value(drainingKey{}) != name {
					t.Errorf("%s: the request's values are gone", name)
				}
			})
		}
	}
}

// TestRequestContextIsNoLonger: the request's own deadline counts if it is sooner.
func TestRequestContextIsNoLonger(t *testing.T) {
	soon := time.Now().Add(time.Second)
	of, cancel := context.WithDeadline(t.Context(), soon)
	defer cancel()
	x := newRequestContext(of, soon.Add(time.Hour))
	defer x.end()
	if got, ok := x.Deadline(); !ok || !got.Equal(soon) {
		t.Errorf("the deadline is %v, want %v", got, soon)
	}
}
