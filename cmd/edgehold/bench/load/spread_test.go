package load

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
)

func TestSpread(t *testing.T) {
	keys := Keys{Prefix: "b/", Count: 100}
	var mu sync.Mutex
	seen := map[api.Key]int{}
	err := Spread(t.Context(), 7, keys.All(), func(_ context.Context, worker int, k api.Key) error {
		mu.Lock()
		defer mu.Unlock()
		seen[k]++
		if worker < 0 || worker >= 7 {
			t.Errorf("worker %d", worker)
		}
		return nil
	})
	if err != nil || len(seen) != 100 {
		t.Errorf("%d keys, %v", len(seen), err)
	}
	broken := errors.New("broken")
	err = Spread(t.Context(), 7, keys.All(), func(_ context.Context, _ int, k api.Key) error {
		if k == "b/50" {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	err = Spread(t.Context(), 7, func(yield func(api.Key, error) bool) { yield("", broken) }, func(context.Context, int, api.Key) error {
		t.Error("there was no key")
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = Spread(ctx, 7, keys.All(), func(context.Context, int, api.Key) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
