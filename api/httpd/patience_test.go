package httpd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// inPatience gives a patience of a second over a context of its own.
func inPatience(t *testing.T, run func(t *testing.T, p *patience, cancelOwn context.CancelFunc)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		own, cancel := context.WithCancel(context.WithValue(t.Context(), patienceKey{}, "own"))
		defer cancel()
		p := &patience{Context: own, until: time.Now().Add(time.Second)}
		defer p.end()
		run(t, p, cancel)
	})
}

type patienceKey struct{}

// TestPatienceEnds: in each of the ways, seen by one who waits, by one who only looks, and by a context made of it.
func TestPatienceEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(p *patience, cancelOwn context.CancelFunc)
		want error
	}{
		"by its time":             {func(*patience, context.CancelFunc) { time.Sleep(time.Second) }, context.DeadlineExceeded},
		"by the request's own":    {func(_ *patience, cancelOwn context.CancelFunc) { cancelOwn() }, context.Canceled},
		"because it was answered": {func(p *patience, _ context.CancelFunc) { p.end() }, context.Canceled},
	} {
		for _, waited := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				inPatience(t, func(t *testing.T, p *patience, cancelOwn context.CancelFunc) {
					child := context.Context(p)
					if waited {
						var cancel context.CancelFunc
						child, cancel = context.WithCancel(p)
						defer cancel()
					}
					if p.Err() != nil || child.Err() != nil {
						t.Fatalf("over at once: %v", p.Err())
					}
					c.end(p, cancelOwn)
					synctest.Wait()
					if err := p.Err(); !errors.Is(err, c.want) {
						t.Errorf("error %v, want %v", err, c.want)
					}
					select {
					case <-p.Done():
					default:
						t.Error("Done is open")
					}
					if err := child.Err(); !errors.Is(err, c.want) {
						t.Errorf("a context made of it: %v, want %v", err, c.want)
					}
				})
			})
		}
	}
}

// TestPatienceMakesNoTimer for one who only looks, nor a goroutine for contexts made of it.
func TestPatienceMakesNoTimer(t *testing.T) {
	inPatience(t, func(t *testing.T, p *patience, _ context.CancelFunc) {
		if d, ok := p.Deadline(); !ok || !d.Equal(p.until) {
			t.Errorf("deadline %v, %v", d, ok)
		}
		if p.Err() != nil || p.Value(patienceKey{}) != "own" {
			t.Errorf("error %v, value %v", p.Err(), p.Value(patienceKey{}))
		}
		if p.timed != nil {
			t.Error("a timer for nobody")
		}
		called := false
		stop := context.AfterFunc(p, func() { called = true })
		defer stop()
		if p.timed == nil || p.Value(patienceKey{}) != "own" {
			t.Error("somebody waits, and there is no timer, or the values are gone")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !called {
			t.Error("who waited was not told")
		}
	})
}

// TestPatienceSoonerDeadline: the request's own may be the sooner one.
func TestPatienceSoonerDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p := &patience{Context: own, until: time.Now().Add(time.Minute)}
		defer p.end()
		if d, ok := p.Deadline(); !ok || time.Until(d) != time.Second {
			t.Errorf("deadline in %v", time.Until(d))
		}
	})
}
