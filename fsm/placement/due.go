package placement

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Health is what the leader of the meta group knows of the nodes and groups at one instant. What it has no entry for is not known,
// and nothing is concluded from that.
type Health struct {
	Nodes  map[api.NodeID]NodeHealth
	Groups map[api.GroupID]GroupHealth
	// Now is the time in Unix seconds; 0 if the leader's clock is not to be trusted: then no drain ends.
	Now int64
	// EdgesRemoved counts the edges that were removed because they were unheard, in the last hour.
	EdgesRemoved int
}

// NodeHealth is how a node is heard.
type NodeHealth struct {
	// Heard: the node has answered the leader of the meta group lately.
	Heard bool
	// Unheard is how long it has certainly not answered the leader of the meta group, and UnheardByAll how long no server has heard
	// it, as far as the leader knows.
	Unheard, UnheardByAll time.Duration
}

// GroupHealth is what a group's own leader says of its members.
type GroupHealth struct {
	Members []MemberHealth
}

// MemberHealth is one member of a group, as the group's leader hears it.
type MemberHealth struct {
	Node  api.NodeID
	Voter bool
	// Heard: it has answered the leader lately. Silent is how long it has certainly not.
	Heard  bool
	Silent time.Duration
}

// Proposal is a command that is due, and why.
type Proposal struct {
	Command Command
	Why     string
}

// EdgeDeadAfter is how long no server must have heard an ephemeral edge before it is removed.
const EdgeDeadAfter = time.Hour

// Due returns the one command that is due next, if any. It never leaves a group fewer voters, and never gives away a place of a node that
// answers the leader of the meta group or the leader of the node's group.
func Due(m *Map, h Health) (Proposal, bool) {
	d := &due{m: m, h: h, busy: map[api.RegionID]bool{}}
	for _, g := range m.Groups {
		if gh, known := h.Groups[g.ID]; known && !settled(g, gh) {
			d.busy[g.Region] = true
		}
	}
	for _, next := range []func() (Proposal, bool){d.endOfDrain, d.replacement, d.departure, d.addition, d.spreading, d.removal, d.lostEdge} {
		if p, ok := next(); ok {
			return p, true
		}
	}
	return Proposal{}, false
}

type due struct {
	m    *Map
	h    Health
	busy map[api.RegionID]bool // a group of the region still changes its members; "" is the meta group
}

// settled reports whether the group's members are those that the map names, all of them voters.
func settled(g Group, h GroupHealth) bool {
	return len(h.Members) == len(g.Voters) && !slices.ContainsFunc(h.Members, func(x MemberHealth) bool {
		return !x.Voter || !slices.Contains(g.Voters, x.Node)
	})
}

func (h GroupHealth) member(id api.NodeID) (MemberHealth, bool) {
	i := slices.IndexFunc(h.Members, func(x MemberHealth) bool { return x.Node == id })
	if i < 0 {
		return MemberHealth{}, false
	}
	return h.Members[i], true
}

// lives reports whether the voters that the group's leader hears are a majority, and would be one of so many more voters.
func (h GroupHealth) lives(more int) bool {
	voters, heard := more, more // a new voter has caught up, or gets no vote
	for _, x := range h.Members {
		if x.Voter {
			voters++
		}
		if x.Voter && x.Heard {
			heard++
		}
	}
	return heard > voters/2
}

// dead reports whether the voter gives its place up: neither the leader of the meta group nor that of its own group has heard it for
// dead-after.
func (d *due) dead(id api.NodeID, gh GroupHealth) bool {
	after := d.m.Duration(SettingDeadAfter)
	n, known := d.h.Nodes[id]
	if !known || n.Unheard < after {
		return false
	}
	x, member := gh.member(id)
	return !member || !x.Heard && x.Silent >= after
}

// endOfDrain ends a drain whose time is over.
func (d *due) endOfDrain() (Proposal, bool) {
	for _, n := range d.m.Nodes {
		if n.State == Draining && n.Until != 0 && n.Until <= d.h.Now {
			return Proposal{SetState{Node: n.ID}, fmt.Sprintf("the drain of %s was to end by now", n.ID)}, true
		}
	}
	return Proposal{}, false
}

// replacement gives the place of a dead voter to a live server. While a region's members change, only one that has no vote yet is
// replaced: it would hold up the rest for ever.
func (d *due) replacement() (Proposal, bool) {
	for _, g := range d.m.Groups {
		gh, known := d.h.Groups[g.ID]
		if !known || !gh.lives(0) {
			continue
		}
		for _, v := range g.Voters {
			x, _ := gh.member(v)
			if !d.dead(v, gh) || d.busy[g.Region] && x.Voter {
				continue
			}
			if to, ok := d.spare(g, v, gh); ok {
				return Proposal{swap(g, v, to), fmt.Sprintf("%s has been unheard for %v: %s takes its place in %s", v, d.unheard(v), to, g.ID)}, true
			}
		}
	}
	return Proposal{}, false
}

// departure gives a place of a node that is leaving to a live server.
func (d *due) departure() (Proposal, bool) {
	for _, g := range d.m.Groups {
		gh, known := d.h.Groups[g.ID]
		if !known || d.busy[g.Region] || !gh.lives(0) {
			continue
		}
		for _, v := range g.Voters {
			if n, _ := d.m.Node(v); n.State != Leaving {
				continue
			}
			if to, ok := d.spare(g, v, gh); ok {
				return Proposal{swap(g, v, to), fmt.Sprintf("%s is leaving: %s takes its place in %s", v, to, g.ID)}, true
			}
		}
	}
	return Proposal{}, false
}

// addition gives a group a voter that it lacks.
func (d *due) addition() (Proposal, bool) {
	for _, g := range d.m.Groups {
		gh, known := d.h.Groups[g.ID]
		if !known || d.busy[g.Region] || len(g.Voters) >= d.m.WantedVoters(g) || !gh.lives(1) {
			continue
		}
		if to, ok := d.spare(g, "", gh); ok {
			p := Place{Group: g.ID, Was: g.Voters, Voters: append(slices.Clone(g.Voters), to)}
			return Proposal{p, fmt.Sprintf("%s has %d of %d voters: %s becomes one", g.ID, len(g.Voters), d.m.WantedVoters(g), to)}, true
		}
	}
	return Proposal{}, false
}

// spreading puts voters of a group, all of which answer, on distinct hosts.
func (d *due) spreading() (Proposal, bool) {
	for _, g := range d.m.Groups {
		gh, known := d.h.Groups[g.ID]
		if !known || d.busy[g.Region] || slices.ContainsFunc(gh.Members, func(x MemberHealth) bool { return !x.Heard }) {
			continue
		}
		hosts := map[string]bool{}
		for _, v := range g.Voters {
			n, _ := d.m.Node(v)
			if n.Host == "" || !hosts[n.Host] {
				hosts[n.Host] = true
				continue
			}
			to, ok := d.spare(g, v, gh)
			if o, _ := d.m.Node(to); ok && (o.Host == "" || !d.hosts(g, v)[o.Host]) {
				return Proposal{swap(g, v, to), fmt.Sprintf("%s shares a host with another voter of %s: %s takes its place", v, g.ID, to)}, true
			}
		}
	}
	return Proposal{}, false
}

// removal removes a node that is leaving and has no place any more, in the map or in a group.
func (d *due) removal() (Proposal, bool) {
	for _, n := range d.m.Nodes {
		if n.State == Leaving && len(d.m.VotersAt(n.ID)) == 0 && !d.member(n) {
			return Proposal{Retire{Node: n.ID, At: d.m.Version}, fmt.Sprintf("%s has left its groups", n.ID)}, true
		}
	}
	return Proposal{}, false
}

// member reports whether the node is, or may be, a member of a group.
func (d *due) member(n Node) bool {
	for _, g := range d.m.Groups {
		if n.Role != api.RoleServer || g.ID != ident.MetaGroup && g.Region != n.Region {
			continue
		}
		gh, known := d.h.Groups[g.ID]
		if _, in := gh.member(n.ID); in || !known {
			return true
		}
	}
	return false
}

// lostEdge removes an ephemeral edge that no server has heard for an hour: in an hour one edge, or a tenth of all.
func (d *due) lostEdge() (Proposal, bool) {
	edges := 0
	for _, n := range d.m.Nodes {
		if n.Role == api.RoleEdge {
			edges++
		}
	}
	if d.h.EdgesRemoved >= max(1, (edges+d.h.EdgesRemoved)/10) {
		return Proposal{}, false
	}
	for _, n := range d.m.Nodes {
		if x, known := d.h.Nodes[n.ID]; known && n.Ephemeral && !x.Heard && min(x.Unheard, x.UnheardByAll) >= EdgeDeadAfter {
			return Proposal{Retire{Node: n.ID}, fmt.Sprintf("no server has heard the edge %s for %v", n.ID, x.UnheardByAll.Round(time.Second))}, true
		}
	}
	return Proposal{}, false
}

// WantedVoters is how many voters the group is to have.
func (m *Map) WantedVoters(g Group) int {
	if g.ID != ident.MetaGroup {
		return m.Voters
	}
	regions := len(m.serverRegions())
	if regions >= 5 && m.Voters >= 5 {
		return 5
	}
	return 3
}

// serverRegions are the regions that have a server.
func (m *Map) serverRegions() map[api.RegionID]bool {
	regions := map[api.RegionID]bool{}
	for _, n := range m.Nodes {
		if n.Role == api.RoleServer {
			regions[n.Region] = true
		}
	}
	return regions
}

// Spares returns the servers that may take a place in the group, in the place of the voter out or, if that is "", beside the voters:
// those whose host has none of the other voters first, then those with fewest places. Whether they answer is not known.
func (m *Map) Spares(g Group, out api.NodeID) []api.NodeID {
	rest := slices.DeleteFunc(slices.Clone(g.Voters), func(v api.NodeID) bool { return v == out })
	regions, hosts := map[api.RegionID]bool{}, map[string]bool{}
	for _, v := range rest {
		n, _ := m.Node(v)
		regions[n.Region], hosts[n.Host] = true, n.Host != ""
	}
	apart := g.ID == ident.MetaGroup && len(m.serverRegions()) >= 3 // its voters are in regions of their own
	was, _ := m.Node(out)
	var all []Node
	for _, n := range m.Nodes {
		switch {
		case n.Role != api.RoleServer || n.State != Active || slices.Contains(g.Voters, n.ID):
		case g.ID != ident.MetaGroup && n.Region != g.Region, apart && regions[n.Region]:
		default:
			all = append(all, n)
		}
	}
	rank := func(n Node) int { // the lowest first
		r := 2 * len(m.VotersAt(n.ID))
		if hosts[n.Host] {
			r += 1 << 20
		}
		if g.ID == ident.MetaGroup && n.Region != was.Region {
			r++
		}
		return r
	}
	slices.SortStableFunc(all, func(a, b Node) int { return cmp.Compare(rank(a), rank(b)) })
	ids := make([]api.NodeID, 0, len(all))
	for _, n := range all {
		ids = append(ids, n.ID)
	}
	return ids
}

// spare is the first server that may take the place of out and has answered lately.
func (d *due) spare(g Group, out api.NodeID, gh GroupHealth) (api.NodeID, bool) {
	for _, id := range d.m.Spares(g, out) {
		if _, in := gh.member(id); d.h.Nodes[id].Heard && !in {
			return id, true
		}
	}
	return "", false
}

// hosts are those of the group's voters but for out.
func (d *due) hosts(g Group, out api.NodeID) map[string]bool {
	hosts := map[string]bool{}
	for _, v := range g.Voters {
		if n, _ := d.m.Node(v); v != out && n.Host != "" {
			hosts[n.Host] = true
		}
	}
	return hosts
}

func (d *due) unheard(id api.NodeID) time.Duration { return d.h.Nodes[id].Unheard.Round(time.Second) }

// swap gives the place of one voter to another server.
func swap(g Group, out, in api.NodeID) Place {
	voters := slices.Clone(g.Voters)
	voters[slices.Index(voters, out)] = in
	return Place{Group: g.ID, Was: g.Voters, Voters: voters}
}

// Troubles says in words what an operator has to do something about: a voter that is unheard and has no spare server, and a group
// that lacks voters. least is how long a node must be unheard to be named.
func Troubles(m *Map, h Health, least time.Duration) []string {
	var all []string
	seen := map[api.NodeID]bool{}
	d := &due{m: m, h: h}
	for _, g := range m.Groups {
		gh := h.Groups[g.ID]
		for _, v := range g.Voters {
			if x := h.Nodes[v]; x.Heard || x.Unheard < least || seen[v] {
				continue
			}
			seen[v] = true
			text := fmt.Sprintf("%s unheard for %s", v, roundly(h.Nodes[v].Unheard))
			if to, ok := d.spare(g, v, gh); ok {
				text += fmt.Sprintf(", %s takes its place after %s", to, roundly(m.Duration(SettingDeadAfter)))
			} else if n, _ := m.Node(v); true {
				text += fmt.Sprintf(", no spare server in %s: add one", n.Region)
			}
			all = append(all, text)
		}
		if lacks := m.WantedVoters(g) - len(g.Voters); lacks > 0 && g.ID != ident.MetaGroup {
			if _, ok := d.spare(g, "", gh); !ok {
				all = append(all, fmt.Sprintf("%s has %d of %d voters and no spare server in %s: add %d", g.ID, len(g.Voters), m.WantedVoters(g), g.Region, lacks))
			}
		}
		if gh, known := h.Groups[g.ID]; known && !gh.lives(0) {
			all = append(all, fmt.Sprintf("%s has no majority of its voters: bring one back", g.ID))
		} else if !known && len(h.Nodes) > 0 {
			all = append(all, fmt.Sprintf("%s has no leader that answers", g.ID))
		}
	}
	return all
}

// roundly is a time as people say it: 12m, 1h5m, 40s.
func roundly(d time.Duration) string {
	unit := time.Second
	if d >= time.Minute {
		unit = time.Minute
	}
	text := d.Round(unit).String()
	if unit == time.Minute {
		text = text[:len(text)-len("0s")]
	}
	return text
}
