package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// condition says which nodes hear a server in the model.
type condition uint8

const (
	alive   condition = iota
	dead              // no node, for longer than dead-after
	unheard           // the members of its groups, but not the leader of the meta group
	cutOff            // the leader of the meta group, but not the leaders of its groups
	endOfConditions
)

// world is a region of five servers with two groups and the meta group: the map's machine, what Raft has as members, and how the
// servers are. It takes the steps that the steward and the groups' leaders take.
type world struct {
	t       *testing.T
	machine *placement.Machine
	members map[api.GroupID][]replica.Member
	how     map[api.NodeID]condition
	trace   []string
}

func newWorld(t *testing.T, initial *placement.Map, how map[api.NodeID]condition) *world {
	w := &world{t: t, machine: placement.New(), members: map[api.GroupID][]replica.Member{}, how: how}
	w.apply(placement.Init{Map: initial})
	w.apply(placement.SetLevel{Level: placement.LevelIdentity})
	for _, g := range w.machine.Map().Groups {
		for _, v := range g.Voters {
			w.members[g.ID] = append(w.members[g.ID], voter(string(v)))
		}
	}
	return w
}

func (w *world) apply(c placement.Command) error {
	results, err := w.machine.Apply(1, [][]byte{placement.Encode(c)})
	if err != nil {
		w.t.Fatal(err)
	}
	if results[0].Err != nil {
		return results[0].Err
	}
	return nil
}

// living counts the voters of a group that are alive, and reports whether they are a majority.
func (w *world) lives(g api.GroupID) bool {
	voters, living := 0, 0
	for _, m := range w.members[g] {
		if m.Voter {
			voters++
		}
		if m.Voter && w.how[api.NodeID(m.Node)] != dead {
			living++
		}
	}
	return living > voters/2
}

// leader is the voter that leads the group, "" for none. It hears a majority, itself included.
func (w *world) leader(g api.GroupID) string {
	voters, heard, leader := 0, 0, ""
	for _, m := range w.members[g] {
		if !m.Voter {
			continue
		}
		voters++
		if c := w.how[api.NodeID(m.Node)]; c == alive || c == unheard {
			heard++
			if leader == "" || c == alive && w.how[api.NodeID(leader)] != alive {
				leader = m.Node
			}
		}
	}
	if heard <= voters/2 {
		return ""
	}
	return leader
}

// health is what the steward knows.
func (w *world) health() placement.Health {
	h := placement.Health{Nodes: map[api.NodeID]placement.NodeHealth{}, Groups: map[api.GroupID]placement.GroupHealth{}}
	for id, c := range w.how {
		h.Nodes[id] = placement.NodeHealth{Heard: true}
		if c == dead || c == unheard {
			h.Nodes[id] = placement.NodeHealth{Unheard: time.Hour, UnheardByAll: time.Hour}
		}
	}
	for g, members := range w.members {
		leader := w.leader(g)
		if leader == "" || w.how[api.NodeID(leader)] != alive {
			continue
		}
		var gh placement.GroupHealth
		for _, m := range members {
			x := placement.MemberHealth{Node: api.NodeID(m.Node), Voter: m.Voter}
			if c := w.how[x.Node]; c == dead || c == cutOff {
				x.Silent = time.Hour
			} else {
				x.Heard = true
			}
			gh.Members = append(gh.Members, x)
		}
		h.Groups[g] = gh
	}
	return h
}

// worldRoster is a group of the world at its leader.
type worldRoster struct {
	w      *world
	group  api.GroupID
	leader string
}

func (r *worldRoster) IsLeader() bool                      { return r.leader != "" }
func (r *worldRoster) Members() ([]replica.Member, uint64) { return r.w.members[r.group], 7 }
func (r *worldRoster) Leader() (string, uint64)            { return r.leader, 1 }
func (r *worldRoster) hears(node string) bool {
	c := r.w.how[api.NodeID(node)]
	return c == alive || c == unheard
}
func (r *worldRoster) CaughtUp(node string) bool      { return r.hears(node) }
func (r *worldRoster) Lag(node string) (uint64, bool) { return 0, r.hears(node) }
func (r *worldRoster) Silent(node string) (time.Duration, bool) {
	if r.hears(node) {
		return 0, true
	}
	return time.Hour, false
}

func (r *worldRoster) set(node string, change func(m *replica.Member)) error {
	list := slices.Clone(r.w.members[r.group])
	i := slices.IndexFunc(list, func(m replica.Member) bool { return m.Node == node })
	if i < 0 {
		list, i = append(list, replica.Member{Node: node, Address: node}), len(list)
	}
	change(&list[i])
	r.w.members[r.group] = list
	return nil
}

func (r *worldRoster) AddMember(_ context.Context, m replica.Member, _ uint64) error {
	return r.set(m.Node, func(*replica.Member) {})
}

func (r *worldRoster) PromoteMember(_ context.Context, node string, _ uint64) error {
	return r.set(node, func(m *replica.Member) { m.Voter = true })
}

func (r *worldRoster) UpdateAddress(_ context.Context, node, address string, _ uint64) error {
	return r.set(node, func(m *replica.Member) { m.Address = address })
}

func (r *worldRoster) RemoveMember(_ context.Context, node string, _ uint64) error {
	r.w.members[r.group] = slices.DeleteFunc(slices.Clone(r.w.members[r.group]), func(m replica.Member) bool { return m.Node == node })
	return nil
}

func (r *worldRoster) Transfer(_ context.Context, to string) error { r.leader = to; return nil }

// step lets the steward do one thing and each group's leader one. Nothing may take a living majority away, nor a place without
// giving it to another.
func (w *world) step(steward bool) (changed bool) {
	was := w.machine.Map()
	lived := map[api.GroupID]bool{}
	for g := range w.members {
		lived[g] = w.lives(g)
	}
	check := func(what string) {
		w.trace = append(w.trace, what)
		for _, g := range w.machine.Map().Groups {
			old, _ := was.Group(g.ID)
			if len(g.Voters) < len(old.Voters) || lived[g.ID] && !w.lives(g.ID) {
				w.t.Fatalf("%v: group %s had %v, and lived: %v; it has %v, and lives: %v; after %q", w.how, g.ID, old.Voters, lived[g.ID], g.Voters, w.lives(g.ID), w.trace)
			}
		}
	}
	if p, ok := placement.Due(was, w.health()); ok && steward && w.leader(ident.MetaGroup) != "" {
		if err := w.apply(p.Command); err != nil {
			w.t.Fatalf("%v: %v", p, err)
		}
		check(p.Why)
		changed = true
	}
	now := w.machine.Map()
	for _, g := range now.Groups {
		before := fmt.Sprint(w.members[g.ID])
		leader := w.leader(g.ID)
		for range 2 { // again if it hands over
			r := &worldRoster{w, g.ID, leader}
			if err := reconcile(context.Background(), r, g, now); err != nil {
				w.trace = append(w.trace, err.Error())
			}
			leader = r.leader
		}
		if after := fmt.Sprint(w.members[g.ID]); after != before {
			check(fmt.Sprint(g.ID, " has ", after))
			changed = true
		}
	}
	return changed
}

// run takes steps until nothing changes.
func (w *world) run() {
	for i := 0; w.step(true); i++ {
		if i > 100 {
			w.t.Fatalf("%v: it does not come to rest: %q", w.how, w.trace)
		}
	}
}

// fiveServers is a map whose groups have different voters: meta 1 2 3, r.1 1 2 3, r.2 3 4 5.
func fiveServers(t *testing.T) *placement.Map {
	t.Helper()
	p := Planned{ClusterID: "test"}
	for _, id := range []api.NodeID{"s1", "s2", "s3", "s4", "s5"} {
		p.Nodes = append(p.Nodes, PlannedNode{ID: id, Region: "r", Role: api.RoleServer, Address: string(id)})
	}
	m, err := Plan(p, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	m.Groups[2].Voters = []api.NodeID{"s3", "s4", "s5"}
	m.Groups[2].Founder = "s3"
	return m
}

// conditions is the n-th way in which five servers can be.
func conditions(n, of int) map[api.NodeID]condition {
	how := map[api.NodeID]condition{}
	for i := range 5 {
		how[api.NodeID(fmt.Sprint("s", i+1))] = condition(n % of)
		n /= of
	}
	return how
}

// TestNoMajorityIsLost: in all ways in which five servers with two groups can be heard, and after each further change of that at each
// step, the steward and the leaders of groups take no living majority away and give no group fewer voters. Every dead voter is
// replaced, once, if a majority lives and a spare server does.
func TestNoMajorityIsLost(t *testing.T) {
	first := fiveServers(t)
	all := 1
	for range 5 {
		all *= int(endOfConditions)
	}
	for n := range all {
		w := newWorld(t, first, conditions(n, int(endOfConditions)))
		w.run()
	}
	healed := 0
	for n := range 32 {
		w := newWorld(t, first, conditions(n, 2))
		w.run()
		for _, g := range w.machine.Map().Groups {
			if w.leader(g.ID) == "" || w.leader(ident.MetaGroup) == "" {
				continue
			}
			for _, m := range w.members[g.ID] {
				if w.how[api.NodeID(m.Node)] == dead && len(living(w.how)) >= 3 {
					t.Errorf("%v: %s keeps the dead %s: %q", w.how, g.ID, m.Node, w.trace)
				}
			}
			healed++
		}
	}
	if healed < 30 {
		t.Errorf("%d groups were healed", healed)
	}
	for n := range 32 * 32 * 6 {
		w := newWorld(t, first, conditions(n%32, 2))
		for range n / 1024 {
			w.step(true)
		}
		w.how = conditions(n/32%32, 2)
		w.run()
	}
}

func living(how map[api.NodeID]condition) (ids []api.NodeID) {
	for id, c := range how {
		if c == alive {
			ids = append(ids, id)
		}
	}
	return ids
}
