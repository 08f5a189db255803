package wan

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const way10 = 10 * time.Millisecond

// TestCut: one way only; what was under way or sent meanwhile is sent again after the cut; what had arrived stays.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFabric(1, exact(way10))
		a, b := connected(t, f)
		send(t, a, "arrived ")
		time.Sleep(way10)
		send(t, a, "under way ")
		time.Sleep(way10 / 2)
		f.Cut("a", "b")
		send(t, a, "in vain")
		expect(t, b, "arrived ")
		if err := b.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		expectError(t, b, os.ErrDeadlineExceeded)
		send(t, b, "still works")
		expect(t, a, "still works")
		if err := b.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		f.Heal("a", "b")
		if d := expect(t, b, "under way in vain"); !near(d, way10) {
			t.Errorf("after the cut it took %v", d)
		}
	})
}

// TestCutHidesTheEnd: over a cut a node does not see that the other side has closed or crashed.
func TestCutHidesTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(f *Fabric, b io.Closer)
		want error
	}{
		"close": {func(_ *Fabric, b io.Closer) { _ = b.Close() }, io.EOF},
		"crash": {func(f *Fabric, _ io.Closer) { f.Crash("b") }, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := NewFabric(1, exact(way10))
				a, b := connected(t, f)
				f.Cut("b", "a")
				c.end(f, b)
				if err := a.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				send(t, a, "into the void")
				expectError(t, a, os.ErrDeadlineExceeded)
				send(t, a, "into the void")
				if err := a.SetReadDeadline(time.Time{}); err != nil {
					t.Fatal(err)
				}
				f.HealAll()
				if d := expectError(t, a, c.want); !near(d, way10) {
					t.Errorf("after the cut it took %v", d)
				}
				if _, err := a.Write([]byte("x")); err == nil {
					t.Error("a write without a reader has worked")
				}
			})
		})
	}
}

// TestCutsAreApart: cuts of nodes, of regions and around both hold each by itself, also for nodes that come later.
func TestCutsAreApart(t *testing.T) {
	f := NewFabric(1, Off())
	for node, region := range map[string]string{"a1": "A", "a2": "A", "b1": "B", "c1": "C"} {
		f.Place(node, region)
	}
	expectCut := func(want bool, from, to string) {
		t.Helper()
		f.mu.Lock()
		w := f.way(from, to)
		f.mu.Unlock()
		if got := w.cut().off; got != want {
			t.Errorf("cut from %s to %s: %v, want %v", from, to, got, want)
		}
	}
	f.CutRegions("A", "B")
	f.Cut("a1", "b1")
	expectCut(true, "a1", "b1")
	expectCut(true, "a2", "b1")
	expectCut(false, "b1", "a1")
	f.HealRegions("A", "B")
	expectCut(true, "a1", "b1")
	expectCut(false, "a2", "b1")
	f.Heal("a1", "b1")
	expectCut(false, "a1", "b1")

	f.Isolate("a1")
	expectCut(true, "a1", "a2")
	expectCut(true, "c1", "a1")
	expectCut(false, "a1", "a1")
	expectCut(true, "a1", "later")
	f.Rejoin("a1")
	expectCut(false, "a1", "a2")

	f.IsolateRegion("A")
	expectCut(false, "a1", "a2")
	expectCut(true, "a1", "c1")
	expectCut(true, "b1", "a2")
	expectCut(false, "b1", "c1")
	expectCut(false, "b1", "later")
	f.Place("later", "A")
	expectCut(true, "b1", "later")
	f.RejoinRegion("A")
	expectCut(false, "b1", "later")
}

// TestCrash: the port is free, the others see a reset after what was under way, and the crashed node's dials fail.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFabric(1, exact(way10))
		a, b := connected(t, f)
		zombie := f.Dialer("b")
		send(t, b, "last words")
		f.Crash("b")
		expectError(t, b, syscall.ECONNRESET)
		expect(t, a, "last words")
		expectError(t, a, syscall.ECONNRESET)
		if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write to the dead: %v", err)
		}
		if _, err := f.Dial(t.Context(), "a", "b"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial of the dead: %v", err)
		}
		if _, err := f.Dial(t.Context(), "b", "a"); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("dial by the dead: %v", err)
		}
		if _, err := f.Listen("b", "B"); err != nil {
			t.Fatal(err)
		}
		if _, err := zombie(t.Context(), "a"); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("dial by what is left of the dead: %v", err)
		}
		if _, err := f.Dialer("b")(t.Context(), "a"); err != nil {
			t.Errorf("dial by the next process: %v", err)
		}
		a, b = another(t, f, "a", "b")
		send(t, a, "again")
		expect(t, b, "again")
	})
}

// TestCrashDuringDial: a process that dies while it dials gets no connection.
func TestCrashDuringDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFabric(1, exact(way10))
		if _, err := f.Listen("b", "B"); err != nil {
			t.Fatal(err)
		}
		f.Place("a", "A")
		time.AfterFunc(way10, func() { f.Crash("a") })
		if _, err := f.Dial(t.Context(), "a", "b"); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("dial by the dying: %v", err)
		}
	})
}
