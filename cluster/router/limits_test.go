package router

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

// TestLimits checks that fewer requests go to a leader that refuses, down to a number that is always allowed, and that
// more go again if it serves. The limit of one group does not affect another.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s limits
		var inside []*admission.Ticket
		fill := func() int {
			for place, err := s.enter("g"); err == nil; place, err = s.enter("g") {
				inside = append(inside, place)
			}
			return len(inside)
		}
		empty := func() {
			for _, place := range inside {
				s.leave("g", place, false)
			}
			inside = nil
		}
		if n := fill(); n != MaxInside {
			t.Fatalf("%d are let in if nothing was refused", n)
		}
		if _, err := s.enter("g"); api.CodeOf(err) != api.CodeUnavailable || api.AsError(err).RetryAfter == 0 {
			t.Errorf("one too many: %v", err)
		}
		if _, err := s.enter("other"); err != nil {
			t.Errorf("another group: %v", err)
		}
		asked := time.Now()
		time.Sleep(time.Second)
		for range 100 {
			s.refused("g", asked) // all of one moment
		}
		empty()
		if n := fill(); n != MaxInside*3/4 || s.narrow.Load() != 1 {
			t.Errorf("%d are let in after one refusal; %d groups are limited", n, s.narrow.Load())
		}
		for range 100 {
			time.Sleep(time.Second)
			s.refused("g", time.Now())
		}
		empty()
		if n := fill(); n != MinInside {
			t.Errorf("%d are let in after many", n)
		}
		for range (MaxInside - MinInside) * raiseAfter {
			place := inside[0]
			s.leave("g", place, true)
			if place, err := s.enter("g"); err != nil {
				t.Fatal(err)
			} else {
				inside[0] = place
			}
		}
		if n := fill(); n != MaxInside || s.narrow.Load() != 0 {
			t.Errorf("%d are let in when it has served again; %d groups are limited", n, s.narrow.Load())
		}
	})
}

// TestFull checks that a call is refused before it begins if its owner has refused others and has as many as it can
// take.
func TestFull(t *testing.T) {
	b := newBackend(t)
	one, two, far := keysOf(t, b)
	r := b.router(t)
	full := func(when string, begun int, want map[api.Key]bool) {
		for k, yes := range want {
			if err := r.Full(k, begun); (err != nil) != yes {
				t.Errorf("%q, %s: %v", k, when, err)
			}
		}
	}
	var inside []*admission.Ticket
	for range MaxInside {
		place, err := r.limits.enter("a.1")
		if err != nil {
			t.Fatal(err)
		}
		inside = append(inside, place)
	}
	full("if nothing was refused", 1<<20, map[api.Key]bool{one: false, two: false, far: false})
	r.limits.refused("a.1", time.Now())
	full("if one group is full", 0, map[api.Key]bool{one: true, two: false, far: false, "": false})
	full("if it is known to be full", 1, map[api.Key]bool{one: true, two: false, far: false, "": false})
	for _, place := range inside[MaxInside/2:] {
		r.limits.leave("a.1", place, false)
	}
	full("if none is full", 0, map[api.Key]bool{one: false, two: false, far: false})
	full("if others are on their way", r.limits.all+MaxInside, map[api.Key]bool{one: true, two: false, far: false})
}

// TestFoundFull checks that a group that was found full stays full for a bounded number of requests, and not beyond the end of one of its
// own.
func TestFoundFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend(t)
		one, _, _ := keysOf(t, b)
		r := b.router(t)
		enter := func() (place *admission.Ticket) {
			place, err := r.limits.enter("a.1")
			if err != nil {
				t.Fatal(err)
			}
			return place
		}
		first := enter()
		r.limits.refused("a.1", time.Now())
		for r.limits.of["a.1"].Inside() < r.limits.of["a.1"].Limit() {
			enter()
		}
		refused := func() bool { return r.Full(one, 0) != nil }
		for range 2 {
			if !refused() {
				t.Error("a full group is not full")
			}
		}
		time.Sleep(admission.SlowAfter) // what is under way counts as slow now, and gives way
		n := 0
		for refused() {
			n++
		}
		if n != fullFor-1 {
			t.Errorf("%d more are refused though there is room again", n)
		}
		for r.limits.of["a.1"].Inside() < r.limits.of["a.1"].Limit() {
			first = enter()
		}
		if !refused() {
			t.Error("a group that is full again is not full")
		}
		if r.limits.leave("a.1", first, false); refused() {
			t.Error("a group is full though a request of it has ended")
		}
	})
}
