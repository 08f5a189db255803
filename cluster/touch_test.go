package cluster

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

// TestTouches: a node that changes its own entry again and again is slowed down; others, repetitions, and other commands are not.
func TestTouches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, x := planned(t, "s1", "s2"), &touches{}
		touch := func(id api.NodeID, i int) placement.Command {
			return placement.Touch{Node: id, Address: fmt.Sprint("a:", i)}
		}
		for i := range touchBurst {
			if err := x.allow(m, touch("s1", i)); err != nil {
				t.Errorf("change %d: %v", i, err)
			}
		}
		err := x.allow(m, touch("s1", 9))
		if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable || e.RetryAfter != touchEvery {
			t.Fatalf("one more: %v", err)
		}
		s1, _ := m.Node("s1")
		for name, c := range map[string]placement.Command{
			"another node": touch("s2", 1), "a new node": placement.Join{Node: placement.Node{ID: "new", Address: "n:1"}},
			"what is so already": placement.Join{Node: s1}, "another command": placement.SetState{Node: "s1", State: placement.Draining},
			"likewise": placement.Touch{Node: "s1", Address: s1.Address, URL: s1.URL},
		} {
			if err := x.allow(m, c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		moved := s1
		moved.Address = "b:1"
		if err := x.allow(m, placement.Join{Node: moved}); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("by joining again: %v", err)
		}
		allowed := 0
		for range 600 {
			time.Sleep(time.Second)
			if x.allow(m, touch("s1", allowed)) == nil {
				allowed++
			}
		}
		if allowed < 59 || allowed > 60 {
			t.Errorf("%d changes in 600 s", allowed)
		}
		if len(x.of) > 2 {
			t.Errorf("%d nodes are remembered", len(x.of))
		}
	})
}
