package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// prospect is the newest map with what the servers know of each other, as the ground on which an order of an operator is judged.
type prospect struct {
	*placement.Map
	answers map[api.NodeID]*health
	groups  map[api.GroupID]ledGroup
}

// prospect fetches the newest map and asks all servers. CodeDenied at an edge, CodeConflict if the cluster's level is too low for
// orders.
func (n *Node) prospect(ctx context.Context, op string) (*prospect, error) {
	if err := n.administers(op); err != nil {
		return nil, err
	}
	m, err := n.changes.Get(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.membership.view.Update(m); err != nil { // the servers of the newest map are asked at its addresses
		return nil, err
	}
	if m.Level < placement.LevelIdentity {
		return nil, api.Errorf(api.CodeConflict, "the cluster is at level %d and this needs level %d: upgrade the nodes that hold it up", m.Level, placement.LevelIdentity)
	}
	p := &prospect{Map: m, answers: healths(ctx, n.pool, m)}
	p.groups = groupsOf(p.answers)
	return p, nil
}

// node is a node of the map; CodeNotFound if there is none.
func (p *prospect) node(id api.NodeID) (placement.Node, error) {
	o, ok := p.Node(id)
	if !ok {
		return o, api.Errorf(api.CodeNotFound, "the cluster has no node %q", id)
	}
	return o, nil
}

// answers reports whether the server has answered.
func (p *prospect) answering(id api.NodeID) bool { return p.answers[id] != nil }

// move is a group's change of voters.
type move struct {
	group placement.Group
	after []api.NodeID
	spare api.NodeID // that takes the place; "" if none does
}

func (m move) place() placement.Place {
	return placement.Place{Group: m.group.ID, Was: m.group.Voters, Voters: m.after}
}

// vacate plans how the node gives up its places, to the server by or, if that is "", to any spare server that answers. All groups are
// judged before anything is done.
func (p *prospect) vacate(id, by api.NodeID, force bool) (moves []move, err error) {
	for _, g := range p.Groups {
		i := slices.Index(g.Voters, id)
		if i < 0 {
			continue
		}
		x := move{group: g, after: slices.Clone(g.Voters)}
		switch {
		case by != "" && slices.Contains(p.Spares(g, id), by):
			x.spare = by
		case by == "" || g.ID == ident.MetaGroup: // whose voters are in regions of their own
			x.spare = p.spare(g, id)
		}
		if x.spare != "" {
			x.after[i] = x.spare
		} else {
			x.after = slices.Delete(x.after, i, i+1)
		}
		if err := p.judge(g, x.after, force); err != nil {
			return nil, err
		}
		moves = append(moves, x)
	}
	return moves, nil
}

// spare is a server that answers and may take the node's place in the group; "" if there is none.
func (p *prospect) spare(g placement.Group, out api.NodeID) api.NodeID {
	return p.spareOf(p.Map, g, out)
}

// judge refuses a change of a group's voters after which the living ones are no majority, and one after which fewer may fail than
// before, unless forced.
func (p *prospect) judge(g placement.Group, after []api.NodeID, force bool) error {
	led, known := p.groups[g.ID]
	if !known {
		return conflict("%s has no leader that answers: its members cannot be changed now", g.ID)
	}
	if len(after) == 0 {
		return conflict("%s is the only voter of %s: add a server first", g.Voters[0], g.ID)
	}
	spares := func(voters []api.NodeID) (living, mayFail int) {
		for _, v := range voters {
			x, member := led.member(v)
			if member && x.Heard || !member && p.answering(v) {
				living++
			}
		}
		return living, living - len(voters)/2 - 1
	}
	_, before := spares(g.Voters)
	living, then := spares(after)
	switch {
	case then < 0 && guardKeepMajority:
		return conflict("%s would have %d of %d alive: see recover", g.ID, living, len(after))
	case then < before && len(after) >= len(g.Voters) && !force:
		return conflict("of %s fewer voters could fail than now: the new one does not answer", g.ID)
	case then < before && !force:
		return conflict("%s has %d voters and no spare server: with %d %s may fail; add a server, or --force", g.ID, len(g.Voters), len(after), few(then))
	}
	return nil
}

// mayRetire refuses to remove a server whose vote a group needs now. A group may still have other voters than the map names, and
// removed nodes are refused everywhere at once, also by a group that still counts their votes.
func (p *prospect) mayRetire(o placement.Node) error {
	for _, g := range p.Groups {
		if o.Role != api.RoleServer || g.ID != ident.MetaGroup && g.Region != o.Region {
			continue
		}
		led, known := p.groups[g.ID]
		if !known {
			return conflict("%s has no leader that answers: %s may still have a vote in it", g.ID, o.ID)
		}
		voters, living, votes := 0, 0, false
		for _, x := range led.Members {
			if !x.Voter {
				continue
			}
			voters++
			_, named := p.Node(x.Node)
			switch {
			case x.Node == o.ID:
				votes = true
			case named && x.Heard:
				living++
			}
		}
		if votes && living <= voters/2 && guardKeepMajority {
			return conflict("%s still counts on the vote of %s: %d of its %d voters live without it; bring another one back, or wait until others vote", g.ID, o.ID, living, voters)
		}
	}
	return nil
}

func few(n int) string {
	if n <= 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

// conflict refuses an order: nothing was changed.
func conflict(format string, args ...any) *api.Error {
	return api.Errorf(api.CodeConflict, format, args...)
}

// unsettled says what the changes of members that touch the node still wait for, in words.
func (p *prospect) unsettled(id api.NodeID) (waits []string) {
	for _, g := range p.Groups {
		led, known := p.groups[g.ID]
		x, member := led.member(id)
		switch {
		case !slices.Contains(g.Voters, id) && !member:
			continue
		case !known:
			waits = append(waits, fmt.Sprintf("%s has no leader that answers", g.ID))
			continue
		case slices.Contains(g.Voters, id):
			waits = append(waits, fmt.Sprintf("%s gives its place in %s to another server", id, g.ID))
			continue
		}
		if next := catchesUp(g, led); next != "" {
			waits = append(waits, fmt.Sprintf("%s catches up in %s", next, g.ID))
		} else if x.Voter {
			waits = append(waits, fmt.Sprintf("%s takes the vote of %s away", g.ID, id))
		}
	}
	return waits
}

// catchesUp is a server that is to vote in the group and does not yet; "" if there is none.
func catchesUp(g placement.Group, led ledGroup) api.NodeID {
	for _, v := range g.Voters {
		if x, member := led.member(v); !member || !x.Voter {
			return v
		}
	}
	return ""
}
