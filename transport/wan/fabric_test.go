package wan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestLatencyAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		a, b := connected(t, NewFabric(1, exact(40*time.Millisecond)))
		if d := time.Since(start); !near(d, 80*time.Millisecond) {
			t.Errorf("a dial took %v, want a round trip", d)
		}
		send(t, a, "one ")
		send(t, a, "two ")
		if d := expect(t, b, "one two "); !near(d, 40*time.Millisecond) {
			t.Errorf("a way took %v", d)
		}
		send(t, b, "back")
		if d := expect(t, a, "back"); !near(d, 40*time.Millisecond) {
			t.Errorf("the way back took %v", d)
		}
	})
}

// TestJitterReorders: one connection keeps its order; two of the same nodes overtake each other.
func TestJitterReorders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFabric(1, &Table{others: Link{Latency: 10 * time.Millisecond, Jitter: 50 * time.Millisecond, Loss: 0.05}})
		a1, b1 := connected(t, f)
		a2, b2 := another(t, f, "a", "b")
		overtaken := 0
		for range 100 {
			send(t, a1, "first")
			send(t, a2, "second")
			done := make(chan time.Time, 1)
			go func() {
				expect(t, b2, "second")
				done <- time.Now()
			}()
			expect(t, b1, "first")
			now := time.Now()
			if (<-done).Before(now) {
				overtaken++
			}
		}
		if overtaken < 20 || overtaken > 80 {
			t.Errorf("the second was faster %d times of 100", overtaken)
		}
		text := ""
		for i := range 1000 {
			s := fmt.Sprintf("%d,", i)
			text += s
			send(t, a1, s)
		}
		expect(t, b1, text)
	})
}

// TestLoss: a lost segment costs at least a retransmission and is never lost for good.
func TestLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFabric(1, exact(10*time.Millisecond))
		a, b := connected(t, f)
		f.Degrade("a", "b", 0.5, 0)
		slow := 0
		for range 100 {
			send(t, a, "x")
			switch d := expect(t, b, "x"); {
			case d >= retransmit:
				slow++
			case !near(d, 10*time.Millisecond):
				t.Errorf("a way took %v", d)
			}
		}
		if slow < 30 || slow > 70 {
			t.Errorf("%d of 100 segments were lost, want about half", slow)
		}
		f.HealAll()
		send(t, a, "x")
		if d := expect(t, b, "x"); !near(d, 10*time.Millisecond) {
			t.Errorf("after HealAll a way took %v", d)
		}
	})
}

// TestSeed: the delays are those of the seed.
func TestSeed(t *testing.T) {
	run := func(seed uint64) (all []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			a, b := connected(t, NewFabric(seed, &Table{others: Link{Jitter: time.Second, Loss: 0.2}}))
			for range 50 {
				send(t, a, "x")
				all = append(all, expect(t, b, "x"))
			}
		})
		return all
	}
	if x, y, z := run(1), run(1), run(2); !slices.Equal(x, y) || slices.Equal(x, z) {
		t.Error("equal seeds must give equal delays, others not")
	}
}

// TestSetLink: a link of two nodes goes before the table, and one way is not the other.
func TestSetLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFabric(1, exact(10*time.Millisecond))
		f.SetLink("a", "b", Link{Latency: time.Second})
		a, b := connected(t, f)
		send(t, a, "x")
		if d := expect(t, b, "x"); !near(d, time.Second) {
			t.Errorf("the way took %v", d)
		}
		send(t, b, "x")
		if d := expect(t, a, "x"); !near(d, 10*time.Millisecond) {
			t.Errorf("the way back took %v", d)
		}
	})
}

// TestDialBeforePlace: a dial to a node that is not there yet does not fix how far it is.
func TestDialBeforePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFabric(1, exact(40*time.Millisecond))
		if _, err := f.Dial(t.Context(), "a", "b"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial of an unknown node: %v", err)
		}
		f.Place("a", "A")
		if _, err := f.Listen("b", "B"); err != nil {
			t.Fatal(err)
		}
		a, b := another(t, f, "a", "b")
		send(t, a, "x")
		if d := expect(t, b, "x"); !near(d, 40*time.Millisecond) {
			t.Errorf("the way took %v", d)
		}
	})
}

// TestBackPressure: a writer whose reader does not read waits, and its deadline holds.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := connected(t, NewFabric(1, exact(time.Millisecond)))
		if err := a.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		n, err := a.Write(make([]byte, 3*window))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n > window {
			t.Fatalf("write: %d bytes, %v", n, err)
		}
		if d := time.Since(start); !near(d, time.Second) {
			t.Errorf("the write waited %v", d)
		}
		if err := a.SetWriteDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = a.Write(make([]byte, 3*window-n))
			_ = a.Close()
		}()
		all, err := io.ReadAll(b)
		if err != nil || len(all) != 3*window {
			t.Errorf("%d bytes arrived, %v; want %d", len(all), err, 3*window)
		}
	})
}

// TestSmallWritesAreBounded: many small writes fill the window before their number costs much.
func TestSmallWritesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := connected(t, NewFabric(1, exact(time.Millisecond)))
		if err := a.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; ; n++ {
			if _, err := a.Write([]byte{1}); err != nil {
				break
			}
		}
		if n > window/segmentCost {
			t.Errorf("%d segments are under way", n)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := connected(t, NewFabric(1, exact(10*time.Millisecond)))
		sent := bytes.Repeat([]byte("x"), 1000)
		send(t, a, string(sent))
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		send(t, b, "the other cannot know yet")
		expect(t, b, string(sent))
		expectError(t, b, io.EOF)
		if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after the end: %v", err)
		}
	})
}

func TestDialIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFabric(1, exact(time.Millisecond))
		l, err := f.Listen("b", "B")
		if err != nil {
			t.Fatal(err)
		}
		f.Place("a", "A")
		f.Cut("b", "a")
		start := time.Now()
		if _, err := f.Dial(context.Background(), "a", "b"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("dial over a cut: %v", err)
		}
		if d := time.Since(start); d != dialTimeout {
			t.Errorf("the dial took %v", d)
		}
		f.HealAll()
		for range backlog {
			if _, err := f.Dial(t.Context(), "a", "b"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Dial(t.Context(), "a", "b"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial of a full backlog: %v", err)
		}
		if _, err := f.Listen("b", "B"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second listen: %v", err)
		}
		_ = l.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, c := range f.conns {
			if c.local == "b" {
				t.Fatal("an unaccepted connection outlives its listener")
			}
		}
	})
}
