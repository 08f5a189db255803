package router

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestGate: where a leader refuses, fewer requests go to it, down to a number that always may; where it serves, more do
// again. The gate of one group is not that of another.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s gates
		inside := 0
		fill := func() int {
			for s.enter("g") == nil {
				inside++
			}
			return inside
		}
		if n := fill(); n != mostInside {
			t.Fatalf("%d went in at an open gate", n)
		}
		if err := s.enter("g"); api.CodeOf(err) != api.CodeUnavailable || api.AsError(err).RetryAfter == 0 {
			t.Errorf("one too many: %v", err)
		}
		if err := s.enter("other"); err != nil {
			t.Errorf("another group: %v", err)
		}
		empty := func() {
			for ; inside > 0; inside-- {
				s.leave("g", false)
			}
		}
		time.Sleep(time.Second)
		for range 100 {
			s.refused("g") // all of one moment
		}
		empty()
		if n := fill(); n != mostInside*3/4 {
			t.Errorf("%d went in after one refusal", n)
		}
		for range 100 {
			time.Sleep(lowerEvery)
			s.refused("g")
		}
		empty()
		if n := fill(); n != leastInside {
			t.Errorf("%d went in after many", n)
		}
		for range 10 * raiseAfter {
			s.leave("g", true)
			if err := s.enter("g"); err != nil {
				t.Fatal(err)
			}
		}
		if n := fill(); n != leastInside+10 {
			t.Errorf("%d went in when it served again", n)
		}
	})
}

// TestFull: an open gate refuses nobody beforehand. One that has been lowered counts those that may yet come to it, but not
// those that are inside another one.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s gates
		enter := func(g api.GroupID, n int) {
			for range n {
				if err := s.enter(g); err != nil {
					t.Fatal(err)
				}
			}
		}
		enter("g", 400)
		enter("other", 50)
		if err := s.full("g", 1<<20); err != nil {
			t.Errorf("an open gate: %v", err)
		}
		time.Sleep(time.Second)
		s.refused("g") // 300 may go in
		for range 150 {
			s.leave("g", false)
		}
		for begun, full := range map[int64]bool{0: false, 300: false, 349: false, 350: true, 1000: true} {
			if err := s.full("g", begun); (err != nil) != full {
				t.Errorf("250 are inside, 50 inside another gate, %d are under way: %v", begun, err)
			}
		}
		if err := s.full("other", 1000); err != nil {
			t.Errorf("another group: %v", err)
		}
		if err := s.full("new", 1000); err != nil {
			t.Errorf("a group that nobody has asked: %v", err)
		}
		for range 8 * mostInside { // until it is open again
			s.leave("g", true)
			enter("g", 1)
		}
		if err := s.full("g", 1<<20); err != nil || s.narrow.Load() != 0 {
			t.Errorf("a gate that is open again: %v", err)
		}
	})
}

// TestShut: a refusal stands for the keys of its group until something goes through a gate, fewer requests are under way, or
// the map is another one. It stays where another group is full, too.
func TestShut(t *testing.T) {
	b := newBackend(t)
	one, two, far := keysOf(t, b)
	r := b.router(t)
	inside := func() int64 { return r.gates.inside }
	for range mostInside {
		if err := r.gates.enter("a.1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Full(one, inside()); err != nil {
		t.Errorf("an open gate: %v", err)
	}
	r.gates.refused("a.1")
	for _, x := range []struct {
		key  api.Key
		full bool
	}{{one, true}, {one, true}, {two, false}, {far, false}, {one, true}} {
		if err := r.Full(x.key, inside()); (err != nil) != x.full {
			t.Errorf("%q, while a gate is full: %v", x.key, err)
		}
	}
	if x := r.gates.shut.Load(); x == nil || !r.gates.stands(b.placement(), one, inside()) {
		t.Fatalf("a refusal does not stand: %+v", x)
	}
	for range mostInside - leastInside {
		r.gates.leave("a.1", false)
	}
	if err := r.Full(one, inside()); err != nil {
		t.Errorf("most have come out: %v", err)
	}
	if err := r.Full(one, mostInside); err == nil {
		t.Error("as many are under way as before, and nobody is refused")
	}
	if err := r.Full(one, inside()); err != nil {
		t.Errorf("fewer are under way: %v", err)
	}
	if err := r.Full(one, mostInside); err == nil {
		t.Error("as many are under way again, and nobody is refused")
	}
	for range mostInside - leastInside { // those that were under way were another group's
		if err := r.gates.enter("a.2"); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Full(one, mostInside); err != nil {
		t.Errorf("none of those under way can come to the gate any more: %v", err)
	}
	r.gates.refused("a.2")
	for range 2 {
		for _, k := range []api.Key{one, two} {
			if err := r.Full(k, 2*mostInside); err == nil {
				t.Errorf("%q, while two gates are full: nobody is refused", k)
			}
		}
	}
	if !r.gates.stands(b.placement(), one, 2*mostInside) || r.gates.stands(b.placement(), two, 2*mostInside) {
		t.Error("of two refusals the first does not stand")
	}
	other := *b.placement()
	if r.gates.stands(&other, one, mostInside) {
		t.Error("a refusal stands by another map")
	}
}
