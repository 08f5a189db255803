package transfer

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
)

// TestFlowKeepsOrder starts tasks of one key, which are executed one after the other, and one of another key, which does not wait.
func TestFlowKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow(newWindow(4))
		var same []int
		gate := make(chan struct{})
		for i := range 3 {
			f.start(t.Context(), "same", 1, func() { <-gate; same = append(same, i) })
		}
		other := false
		f.start(t.Context(), "other", 1, func() { other = true })
		synctest.Wait()
		if len(same) != 0 || !other {
			t.Fatalf("%v, and the other key: %v", same, other)
		}
		close(gate)
		f.wait()
		if !slices.Equal(same, []int{0, 1, 2}) || len(f.last) != 0 {
			t.Errorf("%v, and %d keys are left", same, len(f.last))
		}
	})
}

// TestFlowEndsWithItsContext ends the context: a task that has begun continues; one that waits for a worker or for its key does not
// begin.
func TestFlowEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFlow(newWindow(2))
		gate, done, begun := make(chan struct{}), false, 0
		f.start(ctx, "a", 1, func() { <-gate; done = true })
		for range 2 {
			f.start(ctx, "a", 1, func() { begun++ })
		}
		f.start(ctx, "b", 1, func() { begun++ })
		synctest.Wait()
		cancel()
		close(gate)
		f.start(ctx, "c", 1, func() { begun++ })
		f.wait()
		if !done || begun != 0 {
			t.Errorf("the first one: %v, and %d more", done, begun)
		}
	})
}
