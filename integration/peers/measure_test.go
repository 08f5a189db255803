package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestLoad: four clients whose operations take 10 ms, but for every fiftieth of a client, which takes 60 ms.
func TestLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make([]int, 4)
		l := load{clients: 4, warmUp: time.Second, window: 10 * time.Second, do: func(_ context.Context, worker int, _ *rand.Rand) error {
			done[worker]++
			if done[worker]%50 == 0 {
				time.Sleep(50 * time.Millisecond)
			}
			time.Sleep(10 * time.Millisecond)
			return nil
		}}
		s, err := l.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Rate < 360 || s.Rate > 367 {
			t.Errorf("%v operations a second; four clients do 4 * 50 in 0.55 s", s.Rate)
		}
		if s.P50 != 10 || s.P99 != 60 || s.Failed != 0 {
			t.Errorf("%+v: want 10 ms, 60 ms and no failure", s)
		}
	})
}

func TestLoadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		calls := 0
		do := func(context.Context, int, *rand.Rand) error {
			time.Sleep(5 * time.Millisecond)
			if calls++; calls%2 == 0 {
				return broken
			}
			return nil
		}
		s, err := (&load{clients: 1, window: time.Second, do: do}).run(t.Context())
		if err != nil || s.Failed < 60 || s.Failure != "broken" || s.Rate < 60 {
			t.Errorf("%+v, %v: a third of the time each for success, failure and the pause after it", s, err)
		}
		_, err = (&load{clients: 2, window: time.Second, do: func(context.Context, int, *rand.Rand) error { return broken }}).run(t.Context())
		if !errors.Is(err, broken) {
			t.Errorf("nothing succeeded, and the error is %v", err)
		}
	})
}

func TestLoadEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		do := func(ctx context.Context, _ int, _ *rand.Rand) error {
			wait(ctx, time.Millisecond)
			return ctx.Err()
		}
		if _, err := (&load{clients: 3, window: time.Hour, do: do}).run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("ended after %v", took)
		}
	})
}

func TestQuantile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, c := range []struct {
		v    []int
		q    float64
		want int
	}{{hundred, 0.50, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {[]int{7}, 0.99, 7}, {[]int{1, 2}, 0.5, 1}} {
		if got := quantile(c.v, c.q); got != c.want {
			t.Errorf("quantile %v of %d values is %d, not %d", c.q, len(c.v), got, c.want)
		}
	}
}
