package integration

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/integration/history"
)

// changes are what became visible on a planet, as its machines apply it, and when groups went on.
type changes struct {
	mu     sync.Mutex
	groups map[api.GroupID]*groupChanges
	wrong  error // replicas differ
}

type groupChanges struct {
	all    []history.Change
	first  map[uint64]int // the first change of a command, in all
	top    uint64         // the newest command that a machine has applied
	at     time.Duration  // when the first machine did
	term   uint64
	stalls []stall
}

// stall is when a group's time may have stood still.
type stall struct{ from, to time.Duration }

func now() time.Duration { return time.Since(epoch) }

// note takes what a machine has applied. All replicas must agree.
func (c *changes) note(a cluster.Applied) {
	if len(a.Results) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[a.Group]
	if g == nil {
		g = &groupChanges{first: map[uint64]int{}, at: now(), term: a.Term}
		c.groups[a.Group] = g
	}
	for i := range a.Results {
		r := &a.Results[i]
		if len(r.Events) == 0 {
			continue
		}
		at, known := g.first[r.Index]
		if !known {
			g.first[r.Index] = len(g.all)
			for _, e := range r.Events {
				g.all = append(g.all, history.Change{Group: a.Group, Index: e.Index, At: now(), Deadline: e.Deadline, Event: api.Event{
					Kind: e.Kind, Key: e.Key, Version: e.Version, Value: slices.Clone(e.Value),
				}})
			}
			continue
		}
		for n, e := range r.Events {
			if at+n >= len(g.all) || g.all[at+n].Key != e.Key || g.all[at+n].Version != e.Version || g.all[at+n].Kind != e.Kind {
				c.wrong = fmt.Errorf("the history of %s at %s differs at command %d: %+v", a.Group, a.Node, r.Index, e)
			}
		}
	}
	if top := a.Results[len(a.Results)-1].Index; top > g.top {
		g.goOn(top, a.Term)
	}
}

// goOn notes that a group has gone on now. Its leaders move its time on each second, if something waits for it. A new one has lost at
// most a second.
func (g *groupChanges) goOn(top, term uint64) {
	at := now()
	if at-g.at > time.Second {
		g.stalls = append(g.stalls, stall{g.at, at})
	}
	if term != g.term {
		g.stalls = append(g.stalls, stall{at, at + time.Second})
	}
	g.top, g.at, g.term = top, at, term
}

// all returns all changes, group by group, those of a group in their order.
func (c *changes) all() (all []history.Change, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range slices.Sorted(maps.Keys(c.groups)) {
		all = append(all, c.groups[g].all...)
	}
	return all, c.wrong
}

// stalled returns for how long the time of the group stood still, at most, from one instant to another.
func (c *changes) stalled(g api.GroupID, from, to time.Duration) (sum time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.groups[g].stalls {
		if s.from < to && s.to > from {
			sum += s.to - s.from
		}
	}
	return sum
}

// newest returns the newest change of each key of the range.
func (c *changes) newest(r api.Range) map[api.Key]*history.Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest := map[api.Key]*history.Change{}
	for _, g := range c.groups {
		for i := range g.all {
			if e := &g.all[i]; r.Contains(e.Key) && (newest[e.Key] == nil || e.Version.Compare(newest[e.Key].Version) > 0) {
				newest[e.Key] = e
			}
		}
	}
	return newest
}

// keepsHistory waits until all groups keep a history and count time: a planet begins at an older level, and changes from then are in
// no history.
func (p *planet) keepsHistory() {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		all := true
		for _, h := range p.hosts {
			for _, g := range p.groups() {
				if n := h.running(); n != nil && n.Machine(g) != nil {
					all = all && n.Machine(g).Meta().Level >= fsm.NewestLevel
				}
			}
		}
		switch {
		case all:
			return
		case !time.Now().Before(end):
			p.t.Fatal("after a minute not all groups are at the newest level")
		}
	}
}
