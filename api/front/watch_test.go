package front

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// busy is a Watcher of which every batch is there.
type busy struct{}

func (busy) Watch(ctx context.Context, _ *api.WatchRequest) (api.WatchStream, error) {
	return busyStream{ctx}, nil
}

type busyStream struct{ ctx context.Context }

func (s busyStream) Next() (*api.WatchBatch, error) {
	if s.ctx.Err() != nil {
		return nil, api.CodeUnavailable
	}
	return &api.WatchBatch{Events: []api.Event{{Key: "key", Value: []byte("0123456")}}}, nil
}

func (busyStream) Close() error { return nil }

// pacing is an Access that allows everything, and of which each charged byte takes some time.
type pacing struct {
	asking
	each  time.Duration
	until time.Time
}

func (p *pacing) Charge(_ *Principal, bytes int64) {
	p.until = time.Now().Add(time.Duration(bytes) * p.each)
}
func (p *pacing) Pace(*Principal) time.Duration { return time.Until(p.until) }

// TestWatchIsPaced: a watch of a principal that is over its rate waits before its next batch, for a bounded time, and ends at once if it is
// closed meanwhile.
func TestWatchIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacing{asking: func(*Principal, string) error { return nil }}
		b := New(Config{Watcher: busy{}, Access: p})
		ctx := WithPrincipal(t.Context(), &Principal{Name: "alice"})
		s, err := b.For(ctx).Watch(ctx, &api.WatchRequest{})
		if err != nil {
			t.Fatal(err)
		}
		took := func() time.Duration {
			began := time.Now()
			if _, err := s.Next(); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		p.each = 100 * time.Millisecond
		for i, want := range []time.Duration{0, time.Second, time.Second} { // of 10 bytes
			if d := took(); d != want {
				t.Errorf("batch %d took %v, want %v", i, d, want)
			}
		}
		p.each = time.Hour
		took()
		if d := took(); d != MaxPace {
			t.Errorf("the longest wait is %v", d)
		}
		time.AfterFunc(time.Second, func() { _ = s.Close() })
		began := time.Now()
		if _, err := s.Next(); err == nil || time.Since(began) != time.Second {
			t.Errorf("closed: %v after %v", err, time.Since(began))
		}
	})
}
