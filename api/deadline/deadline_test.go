package deadline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// within is a deadline from now.
func within(d time.Duration) time.Time { return time.Now().Add(d) }

func ended(c context.Context) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

func TestEnds(t *testing.T) {
	type ctxKey struct{}
	for name, test := range map[string]struct {
		end  func(cancel context.CancelFunc, root, up, c *Context)
		want error
		all  bool // the one that it was made from ends too
	}{
		"by End":                 {func(_ context.CancelFunc, _, _, c *Context) { c.End() }, context.Canceled, false},
		"with its own time":      {func(context.CancelFunc, *Context, *Context, *Context) { time.Sleep(time.Second) }, context.DeadlineExceeded, false},
		"with what it is of":     {func(_ context.CancelFunc, _, up, _ *Context) { up.End() }, context.Canceled, true},
		"with the root":          {func(_ context.CancelFunc, root, _, _ *Context) { root.End() }, context.Canceled, true},
		"with what the root has": {func(cancel context.CancelFunc, _, _, _ *Context) { cancel() }, context.Canceled, true},
	} {
		for _, waits := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/waits=%v", name, waits), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					outside, cancel := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, "kept"))
					defer cancel()
					root := With(outside, time.Time{})
					up := With(root, within(time.Hour))
					c := With(up, within(time.Second))
					defer root.End()
					if waits {
						if ended(c) || c.Err() != nil {
							t.Fatal("it has ended before its time")
						}
					}
					test.end(cancel, root, up, c)
					synctest.Wait()
					if err := c.Err(); !errors.Is(err, test.want) {
						t.Errorf("Err is %v, want %v", err, test.want)
					}
					if !ended(c) {
						t.Error("Done is open")
					}
					if got := up.Err() != nil; got != test.all {
						t.Errorf("what it was made from has ended: %v, want %v", got, test.all)
					}
					if c.Value(ctxKey{}) != "kept" {
						t.Error("a value is lost")
					}
					c.End()
					if !errors.Is(c.Err(), test.want) {
						t.Error("the first end does not count")
					}
				})
			})
		}
	}
}

func TestTheEarliestDeadlineCounts(t *testing.T) {
	outside, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Minute))
	defer cancel()
	want, _ := outside.Deadline()
	for _, until := range []time.Time{{}, within(time.Hour)} {
		root := With(outside, until)
		defer root.End()
		for _, c := range []*Context{root, With(root, time.Time{}), With(root, within(time.Hour))} {
			if got, ok := c.Deadline(); !ok || !got.Equal(want) {
				t.Errorf("Deadline is %v, %v, want %v", got, ok, want)
			}
		}
	}
	if d, ok := With(context.Background(), time.Time{}).Deadline(); ok {
		t.Errorf("one without a deadline has %v", d)
	}
}

// Contexts of package context that are made from ours end with it, and no goroutine waits for that.
func TestAfterFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := With(context.Background(), within(time.Second))
		defer c.End()
		x, cancel := context.WithCancel(c)
		defer cancel()
		var called atomic.Int32
		stop := context.AfterFunc(c, func() { called.Add(1) })
		context.AfterFunc(c, func() { called.Add(10) })
		if !stop() || stop() {
			t.Error("stop tells something else than what it did")
		}
		<-x.Done()
		synctest.Wait()
		if x.Err() != context.DeadlineExceeded || called.Load() != 10 {
			t.Errorf("Err is %v, called %d", x.Err(), called.Load())
		}
		context.AfterFunc(c, func() { called.Add(100) })
		synctest.Wait()
		if called.Load() != 110 {
			t.Error("what comes too late is not called")
		}
	})
}

// Each of many contexts of a tree ends at its own time, late by what the timer rests at most.
func TestManyDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := With(t.Context(), time.Time{})
		defer root.End()
		var all sync.WaitGroup
		for range 2000 {
			d := time.Duration(rand.Int64N(int64(time.Second)))
			c := With(root, within(d))
			began := time.Now()
			all.Go(func() {
				<-c.Done()
				if took := time.Since(began); took < d || took > d+coarse {
					t.Errorf("one of %v ends after %v", d, took)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if root.first != nil || root.Err() != nil {
			t.Error("something is left")
		}
	})
}

// What nobody waits for leaves nothing behind, and what has ended neither.
func TestNothingIsLeft(t *testing.T) {
	root := With(t.Context(), time.Time{})
	c := With(root, within(time.Hour))
	if c.tied || root.tied {
		t.Error("it is tied before somebody waits")
	}
	c.Done()
	if root.first != c || root.tree.timer == nil {
		t.Error("it is not tied")
	}
	c.End()
	if root.first != nil {
		t.Error("one that has ended is kept")
	}
	root.End()
	if root.tree.timer.Stop() {
		t.Error("the timer goes on")
	}
}

func TestConcurrentUse(t *testing.T) {
	outside, cancel := context.WithCancel(t.Context())
	root := With(outside, time.Time{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 500 {
				up := With(root, within(time.Duration(j)*time.Microsecond))
				c := With(up, within(time.Duration(i)*time.Microsecond))
				defer context.AfterFunc(c, func() {})()
				if err := c.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) && outside.Err() == nil {
					t.Errorf("unexpected end: %v", err)
				}
				if j%2 == 0 {
					<-c.Done()
				}
				up.End()
				<-c.Done()
			}
		})
	}
	all.Wait()
	last := With(root, time.Time{})
	cancel()
	<-last.Done()
	root.End()
}

func BenchmarkCall(b *testing.B) {
	b.Run("context", func(b *testing.B) {
		root := b.Context()
		for b.Loop() {
			call, end := context.WithTimeout(root, time.Minute)
			attempt, leave := context.WithTimeout(call, time.Minute)
			attempt.Done()
			leave()
			end()
		}
	})
	b.Run("deadline", func(b *testing.B) {
		root := With(context.Background(), time.Time{})
		defer root.End()
		for b.Loop() {
			call := With(root, within(time.Minute))
			attempt := With(call, within(time.Minute))
			attempt.Done()
			attempt.End()
			call.End()
		}
	})
}
