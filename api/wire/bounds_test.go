package wire

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestBounds checks that a call ends at the given bound, whatever its context allows, and that the other side gets that bound.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		granted, leave := make(chan time.Duration, 1), make(chan struct{})
		c := join(t, fake{do: func(ctx context.Context, _ *api.Txn) (*api.TxnResult, error) {
			until, _ := ctx.Deadline()
			granted <- time.Until(until)
			<-leave
			return &api.TxnResult{}, nil
		}}, ServerConfig{}, ClientConfig{})
		defer close(leave)
		for _, x := range []struct{ own, bound, want time.Duration }{
			{time.Minute, time.Second, time.Second}, {time.Second, time.Minute, time.Second},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), x.own)
			defer cancel()
			began := time.Now()
			_, err := c.DoBy(ctx, began.Add(x.bound), aWrite)
			if took := time.Since(began); took != x.want || !errors.Is(err, api.CodeAmbiguous) || !errors.Is(err, ErrLate) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("of %v and %v: %v after %v", x.own, x.bound, err, took)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("it takes more than a line: %v", err)
			}
			if left := <-granted; left != x.want {
				t.Errorf("of %v and %v the other side gets %v", x.own, x.bound, left)
			}
		}
	})
}

// TestBoundsThatArePast checks that a call whose bound has passed is not sent, so that certainly nothing was done.
func TestBoundsThatArePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var came atomic.Bool
		c := join(t, fake{do: func(context.Context, *api.Txn) (*api.TxnResult, error) {
			came.Store(true)
			return &api.TxnResult{}, nil
		}}, ServerConfig{}, ClientConfig{})
		_, err := c.DoBy(t.Context(), time.Now(), aWrite)
		synctest.Wait()
		if !errors.Is(err, api.CodeUnavailable) || !errors.Is(err, ErrLate) || !errors.Is(err, context.DeadlineExceeded) || came.Load() {
			t.Errorf("%v; it was sent: %v", err, came.Load())
		}
	})
}

// TestBoundsOfTheCaller checks that the context ends the call if its deadline is no later than the bound. The caller then finds
// its context ended.
func TestBoundsOfTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := join(t, fake{do: func(ctx context.Context, _ *api.Txn) (*api.TxnResult, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, ServerConfig{}, ClientConfig{Share: func(time.Duration) time.Duration { return time.Minute }})
		for range 200 {
			until := time.Now().Add(time.Second)
			ctx, cancel := context.WithDeadline(t.Context(), until)
			if _, err := c.DoBy(ctx, until, aWrite); !errors.Is(err, ErrLate) || ctx.Err() == nil {
				t.Fatalf("%v, while the caller's context says %v", err, ctx.Err())
			}
			cancel()
		}
	})
}
