package placement

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// identified is the map at LevelIdentity.
func identified(t *testing.T, m *Map) *Map {
	t.Helper()
	c := *m
	if err := c.raise(LevelIdentity); err != nil {
		t.Fatal(err)
	}
	return &c
}

// well is the health of a cluster in which every node answers and every group has the members that it should.
func well(m *Map) Health {
	h := Health{Nodes: map[api.NodeID]NodeHealth{}, Groups: map[api.GroupID]GroupHealth{}}
	for _, n := range m.Nodes {
		h.Nodes[n.ID] = NodeHealth{Heard: true}
	}
	for _, g := range m.Groups {
		h.Groups[g.ID] = membersOf(g.Voters)
	}
	return h
}

func membersOf(voters []api.NodeID) (gh GroupHealth) {
	for _, v := range voters {
		gh.Members = append(gh.Members, MemberHealth{Node: v, Voter: true, Heard: true})
	}
	return gh
}

// silence makes a node unheard by all.
func (h Health) silence(id api.NodeID, since time.Duration) {
	h.Nodes[id] = NodeHealth{Unheard: since, UnheardByAll: since}
	for _, gh := range h.Groups {
		for i, x := range gh.Members {
			if x.Node == id {
				gh.Members[i] = MemberHealth{Node: id, Voter: x.Voter, Silent: since}
			}
		}
	}
}

// set changes a node of the map.
func (m *Map) set(t *testing.T, id api.NodeID, change func(*Node)) {
	t.Helper()
	i := m.index(id)
	if i < 0 {
		t.Fatalf("no node %s", id)
	}
	m.Nodes = slices.Clone(m.Nodes)
	change(&m.Nodes[i])
}

// TestDue is what is due in a region of five servers, of which three vote, and in the meta group.
func TestDue(t *testing.T) {
	const dead = 10 * time.Minute
	long, short := dead, dead-time.Second
	for _, c := range []struct {
		name  string
		state func(t *testing.T, m *Map, h *Health)
		want  string
	}{
		{"all is well", func(*testing.T, *Map, *Health) {}, ""},
		{"nothing is known", func(_ *testing.T, _ *Map, h *Health) { *h = Health{} }, ""},
		{"a voter is dead", func(_ *testing.T, _ *Map, h *Health) { h.silence("a3", long) }, "place meta [a1 a2 a4]"},
		{"a voter of the region alone", func(_ *testing.T, m *Map, h *Health) {
			h.silence("a3", long)
			m.Groups[0].Voters = []api.NodeID{"a1", "a2", "a5"}
			h.Groups[ident.MetaGroup] = membersOf(m.Groups[0].Voters)
		}, "place a.1 [a1 a2 a4]"},
		{"a voter that also votes in the meta group", func(_ *testing.T, _ *Map, h *Health) { h.silence("a2", long) }, "place meta [a1 a4 a3]"},
		{"not for long enough", func(_ *testing.T, _ *Map, h *Health) { h.silence("a3", short) }, ""},
		{"its group's leader hears it", func(_ *testing.T, _ *Map, h *Health) {
			h.silence("a3", long)
			h.Groups["a.1"] = membersOf([]api.NodeID{"a1", "a2", "a3"})
			h.Groups[ident.MetaGroup] = membersOf([]api.NodeID{"a1", "a2", "a3"})
		}, ""},
		{"the meta leader hears it", func(_ *testing.T, _ *Map, h *Health) {
			h.silence("a3", long)
			h.Nodes["a3"] = NodeHealth{Heard: true}
		}, ""},
		{"its group's leader is not known", func(_ *testing.T, _ *Map, h *Health) {
			h.silence("a3", long)
			delete(h.Groups, "a.1")
			delete(h.Groups, ident.MetaGroup)
		}, ""},
		{"the first spare server is dead too", func(_ *testing.T, _ *Map, h *Health) {
			h.silence("a3", long)
			h.silence("a4", long)
		}, "place meta [a1 a2 a5]"},
		{"no spare server answers", func(_ *testing.T, _ *Map, h *Health) {
			h.silence("a3", long)
			h.silence("a4", short)
			h.silence("a5", time.Second)
		}, ""},
		{"a spare server is draining, the other on the host of a voter", func(t *testing.T, m *Map, h *Health) {
			h.silence("a3", long)
			m.set(t, "a4", func(n *Node) { n.State = Draining })
			m.set(t, "a1", func(n *Node) { n.Host = "rack-1" })
			m.set(t, "a5", func(n *Node) { n.Host = "rack-1" })
		}, "place meta [a1 a2 a5]"},
		{"a spare server on another host is better", func(t *testing.T, m *Map, h *Health) {
			h.silence("a3", long)
			m.set(t, "a1", func(n *Node) { n.Host = "rack-1" })
			m.set(t, "a4", func(n *Node) { n.Host = "rack-1" })
		}, "place meta [a1 a2 a5]"},
		{"no majority answers", func(_ *testing.T, _ *Map, h *Health) {
			h.silence("a2", long)
			h.silence("a3", long)
		}, ""},
		{"another change is under way", func(_ *testing.T, _ *Map, h *Health) {
			h.silence("a3", long)
			h.Groups["a.1"] = GroupHealth{append(h.Groups["a.1"].Members, MemberHealth{Node: "a4", Heard: true})}
			h.Groups[ident.MetaGroup] = GroupHealth{append(h.Groups[ident.MetaGroup].Members, MemberHealth{Node: "a4", Heard: true})}
		}, ""},
		{"the new voter died before it had a vote", func(t *testing.T, m *Map, h *Health) {
			m.Groups[1].Voters = []api.NodeID{"a1", "a2", "a4"}
			h.silence("a4", long)
		}, "place a.1 [a1 a2 a5]"},
		{"a slow learner", func(t *testing.T, m *Map, h *Health) {
			m.Groups[1].Voters = []api.NodeID{"a1", "a2", "a4"}
			h.silence("a3", 2*long)
			h.Groups["a.1"] = GroupHealth{append(h.Groups["a.1"].Members, MemberHealth{Node: "a4", Heard: true})}
			delete(h.Groups, ident.MetaGroup)
		}, ""},
		{"a voter leaves", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "a3", func(n *Node) { n.State = Leaving })
		}, "place meta [a1 a2 a4]"},
		{"a node that leaves has no place", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "a5", func(n *Node) { n.State = Leaving })
		}, "retire a5"},
		{"it is still a member of a group", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "a5", func(n *Node) { n.State = Leaving })
			h.Groups["a.1"] = GroupHealth{append(h.Groups["a.1"].Members, MemberHealth{Node: "a5", Heard: true})}
		}, ""},
		{"it may still be one", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "a5", func(n *Node) { n.State = Leaving })
			delete(h.Groups, "a.1")
		}, ""},
		{"an edge leaves", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "e1", func(n *Node) { n.State = Leaving })
		}, "retire e1"},
		{"a drain is over", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "a2", func(n *Node) { n.State, n.Until = Draining, 1000 })
			h.Now = 1000
		}, "a2 is active"},
		{"a drain is not over", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "a2", func(n *Node) { n.State, n.Until = Draining, 1000 })
			h.Now = 999
		}, ""},
		{"a drain ends, and the clock is not to be trusted", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "a2", func(n *Node) { n.State, n.Until = Draining, 1000 })
		}, ""},
		{"a group lacks a voter", func(t *testing.T, m *Map, h *Health) {
			m.Groups[1].Voters = []api.NodeID{"a1", "a2"}
			h.Groups["a.1"] = membersOf(m.Groups[1].Voters)
		}, "place a.1 [a1 a2 a4]"},
		{"more voters are wanted", func(t *testing.T, m *Map, h *Health) { m.Voters = 5 }, "place a.1 [a1 a2 a3 a4]"},
		{"more voters are wanted, but one is silent", func(t *testing.T, m *Map, h *Health) {
			m.Voters = 5
			h.silence("a3", time.Second)
			h.silence("a2", time.Second)
		}, ""},
		{"two voters share a host", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "a1", func(n *Node) { n.Host = "rack-1" })
			m.set(t, "a2", func(n *Node) { n.Host = "rack-1" })
		}, "place meta [a1 a4 a3]"},
		{"an edge that is not ephemeral is silent", func(t *testing.T, m *Map, h *Health) {
			h.silence("e1", 2*EdgeDeadAfter)
		}, ""},
		{"an ephemeral edge is silent", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "e1", func(n *Node) { n.Ephemeral = true })
			h.silence("e1", EdgeDeadAfter)
		}, "retire e1"},
		{"some server hears it", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "e1", func(n *Node) { n.Ephemeral = true })
			h.Nodes["e1"] = NodeHealth{Unheard: EdgeDeadAfter, UnheardByAll: time.Second}
		}, ""},
		{"one was removed already", func(t *testing.T, m *Map, h *Health) {
			m.set(t, "e1", func(n *Node) { n.Ephemeral = true })
			h.silence("e1", EdgeDeadAfter)
			h.EdgesRemoved = 1
		}, ""},
	} {
		m := identified(t, mapOf(t, "a1", "a2", "a3", "a4", "a5", "e1"))
		h := well(m)
		c.state(t, m, &h)
		if got := worded(Due(m, h)); got != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

// mapOf is a map of nodes whose region is their first letter; those that begin with an e are edges of region a.
func mapOf(t *testing.T, ids ...string) *Map {
	t.Helper()
	var nodes []Node
	for _, id := range ids {
		if id[0] == 'e' {
			nodes = append(nodes, edge(id, "a"))
		} else {
			nodes = append(nodes, server(id, id[:1]))
		}
	}
	m, err := Static("c", nodes, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func worded(p Proposal, ok bool) string {
	switch c := p.Command.(type) {
	case Place:
		return fmt.Sprintf("place %s %v", c.Group, c.Voters)
	case Retire:
		return fmt.Sprintf("retire %s", c.Node)
	case SetState:
		return fmt.Sprintf("%s is %s", c.Node, map[State]string{Active: "active"}[c.State])
	}
	return ""
}

// TestDueOfTheMetaGroup: with three regions and more the meta group has a voter in each of three: a dead one is replaced in its own
// region, or in one that has none, or not at all.
func TestDueOfTheMetaGroup(t *testing.T) {
	const dead = 10 * time.Minute
	for _, c := range []struct {
		nodes, dead []string
		want        string
	}{
		{[]string{"a1", "b1", "c1", "a2", "b2", "c2"}, []string{"b1"}, "place meta [a1 b2 c1]"},
		{[]string{"a1", "b1", "c1", "a2", "c2", "d1"}, []string{"b1"}, "place meta [a1 d1 c1]"},
		{[]string{"a1", "b1", "c1", "a2", "b2", "c2", "d1"}, []string{"b1"}, "place meta [a1 b2 c1]"},
		{[]string{"a1", "b1", "c1", "a2", "c2"}, []string{"b1"}, ""},
		{[]string{"a1", "b1", "c1", "a2", "b2", "c2"}, []string{"b1", "c1"}, ""},
		{[]string{"a1", "b1", "a2", "b2"}, []string{"b1"}, "place meta [a1 b2 a2]"},
	} {
		m := identified(t, mapOf(t, c.nodes...))
		h := well(m)
		for g := range h.Groups {
			if g != ident.MetaGroup {
				delete(h.Groups, g)
			}
		}
		for _, id := range c.dead {
			h.silence(api.NodeID(id), dead)
		}
		if got := worded(Due(m, h)); got != c.want {
			t.Errorf("%v without %v: %q, not %q", c.nodes, c.dead, got, c.want)
		}
	}
}

// TestEdgesAreRemovedSlowly: of a hundred ephemeral edges that are unheard, ten go in an hour.
func TestEdgesAreRemovedSlowly(t *testing.T) {
	ids := []string{"a1", "a2", "a3"}
	for i := range 100 {
		ids = append(ids, fmt.Sprint("e", i))
	}
	m := identified(t, mapOf(t, ids...))
	h := well(m)
	for i := range m.Nodes {
		if m.Nodes[i].Role == api.RoleEdge {
			m.Nodes[i].Ephemeral = true
			h.silence(m.Nodes[i].ID, 2*EdgeDeadAfter)
		}
	}
	s := &state{Map: m}
	for {
		p, ok := Due(s.Map, h)
		if !ok {
			break
		}
		if err := s.apply(p.Command); err != nil {
			t.Fatal(err)
		}
		h.EdgesRemoved++
	}
	if h.EdgesRemoved != 10 {
		t.Errorf("%d edges were removed", h.EdgesRemoved)
	}
}

// TestTroubles are the words in which an operator reads what is to be done.
func TestTroubles(t *testing.T) {
	m := identified(t, mapOf(t, "a1", "a2", "a3"))
	h := well(m)
	if got := Troubles(m, h, time.Minute); len(got) != 0 {
		t.Errorf("all is well, and it says %q", got)
	}
	h.silence("a2", 12*time.Minute)
	want := []string{"a2 unheard for 12m, no spare server in a: add one"}
	if got := Troubles(m, h, time.Minute); !slices.Equal(got, want) {
		t.Errorf("it says %q, not %q", got, want)
	}
	m = identified(t, mapOf(t, "a1", "a2", "a3", "a4"))
	h = well(m)
	h.silence("a2", 65*time.Second)
	want = []string{"a2 unheard for 1m, a4 takes its place after 10m"}
	if got := Troubles(m, h, time.Minute); !slices.Equal(got, want) {
		t.Errorf("it says %q, not %q", got, want)
	}
	m = identified(t, mapOf(t, "a1"))
	want = []string{"a.1 has 1 of 3 voters and no spare server in a: add 2"}
	if got := Troubles(m, well(m), time.Minute); !slices.Equal(got, want) {
		t.Errorf("it says %q, not %q", got, want)
	}
}
