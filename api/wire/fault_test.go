package wire

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestPanics checks that a call that panics fails alone, with and without workers, even if it is the encoding of its answer that
// panics. The connection and the worker go on.
func TestPanics(t *testing.T) {
	for _, workers := range []*Workers{nil, NewWorkers(1)} {
		var reported atomic.Int64
		var broken atomic.Bool
		s := fake{
			read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
				if broken.Load() {
					return nil, nil // encoding a nil result panics
				}
				panic("a fault")
			},
			do: func(_ context.Context, x *api.Txn) (*api.TxnResult, error) {
				if !broken.Load() {
					return &api.TxnResult{Committed: true}, nil
				}
				var parts []int
				return nil, errors.New("never: " + string(rune(parts[0])))
			},
		}
		c := join(t, s, ServerConfig{
			Workers: workers, Faults: fault.NewCatcher(observe.NoMetrics{}, func(string, ...any) { reported.Add(1) }),
		}, ClientConfig{})
		for i := range 3 {
			broken.Store(i == 1)
			if _, err := storetest.Read(t.Context(), c, aRead); !errors.Is(err, api.CodeInternal) {
				t.Errorf("a read: %v", err)
			}
			switch _, err := c.Do(t.Context(), aWrite); {
			case i != 1 && err != nil:
				t.Errorf("a write beside it: %v", err)
			case i == 1 && (!errors.Is(err, api.CodeInternal) || api.CodeOf(err).Applied() != "unknown"):
				t.Errorf("a write that panicked: %v", err)
			}
		}
		if reported.Load() != 4 {
			t.Errorf("%d panics were reported, of 4", reported.Load())
		}
		if workers != nil {
			t.Cleanup(workers.Close)
		}
	}
}
