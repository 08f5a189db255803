package deadline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// One whose time is that of what it was made from ends with that, never before it: whoever sees it end can tell whose time was up.
func TestEndsNoSoonerThanWhatItIsOf(t *testing.T) {
	for name, until := range map[string]time.Duration{"none of its own": 0, "the same": time.Second, "a later one": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for range 200 {
					outside, cancel := context.WithTimeout(t.Context(), time.Second)
					own := time.Time{}
					if until != 0 {
						own = within(until)
					}
					root := With(outside, own)
					c := With(root, own)
					<-c.Done()
					if outside.Err() == nil || root.Err() == nil {
						t.Fatal("it ends before what it was made from")
					}
					if !errors.Is(c.Err(), context.DeadlineExceeded) {
						t.Fatalf("Err is %v", c.Err())
					}
					root.End()
					cancel()
				}
			})
		})
	}
}

// What is made from one that has ended has ended at once, as with package context.
func TestMadeFromWhatHasEnded(t *testing.T) {
	outside, cancel := context.WithCancel(t.Context())
	cancel()
	for range 200 {
		root := With(outside, within(time.Hour))
		if !ended(With(root, time.Time{})) || !ended(root) {
			t.Fatal("Done is open")
		}
		x, leave := context.WithCancel(With(outside, time.Time{}))
		if x.Err() != context.Canceled {
			t.Fatalf("Err of one of package context is %v", x.Err())
		}
		leave()
		root.End()
	}
}
