package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

var _ api.Members = (*Node)(nil)

// Drain implements api.Members.
func (n *Node) Drain(ctx context.Context, node api.NodeID, limit time.Duration) (*api.Progress, error) {
	if limit < 0 {
		return nil, api.Errorf(api.CodeInvalid, "a drain cannot end before it begins")
	}
	p, err := n.prospect(ctx, "drain")
	if err != nil {
		return nil, err
	}
	o, err := p.node(node)
	if err != nil {
		return nil, err
	}
	if o.State == placement.Leaving {
		return nil, conflict("%s is leaving: undrain it first", node)
	}
	if o.State == placement.Active {
		if err := p.othersLead(node); err != nil {
			return nil, err
		}
	}
	if o.State == placement.Active || limit > 0 {
		c := placement.SetState{Node: node, State: placement.Draining}
		if limit > 0 {
			c.Until = time.Now().Add(limit).Unix()
		}
		if _, err := n.change(ctx, c); err != nil {
			return nil, err
		}
	}
	return n.drained(ctx, p, o), nil
}

// othersLead refuses to drain a node that is the only voter of a group that could lead it.
func (p *prospect) othersLead(node api.NodeID) error {
	for _, g := range p.Groups {
		if !slices.Contains(g.Voters, node) {
			continue
		}
		led, known := p.groups[g.ID]
		if !known {
			return conflict("%s has no leader that answers", g.ID)
		}
		if !slices.ContainsFunc(led.Members, func(x ledMember) bool {
			o, _ := p.Node(x.Node)
			return x.Node != node && x.Voter && x.CaughtUp && o.State == placement.Active
		}) {
			return noneCaughtUp(g.ID)
		}
	}
	return nil
}

// drained says what a drain still waits for.
func (n *Node) drained(ctx context.Context, p *prospect, o placement.Node) *api.Progress {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	out := &api.Progress{}
	for _, g := range p.Groups {
		if led, ok := p.groups[g.ID]; ok && p.answers[o.ID] != nil && slices.ContainsFunc(p.answers[o.ID].Led, func(x ledGroup) bool { return x.Group == g.ID && x.Term == led.Term }) {
			out.Waits = append(out.Waits, fmt.Sprintf("another voter takes over %s", g.ID))
		}
	}
	r := n.reportAbout(ctx, p, o)
	switch {
	case r == nil:
		out.Waits = append(out.Waits, fmt.Sprintf("%s does not answer", o.ID))
	case !r.Drained:
		out.Waits = append(out.Waits, fmt.Sprintf("%s gives its leases back", o.ID))
	}
	if out.Done = len(out.Waits) == 0; out.Done {
		out.Note = fmt.Sprintf("%s leads nothing and holds no lease; it still votes", o.ID)
		if o.Role == api.RoleEdge {
			out.Note = fmt.Sprintf("%s holds no lease", o.ID)
		}
	}
	return out
}

// reportAbout asks the node for its report, or the servers for the last one that a node without a port has sent; nil if there is none.
func (n *Node) reportAbout(ctx context.Context, p *prospect, o placement.Node) *report {
	ask := []placement.Node{o}
	if portless(o) {
		ask = append(ask, slices.DeleteFunc(slices.Clone(p.Nodes), func(x placement.Node) bool { return x.Role != api.RoleServer })...)
	}
	r := askReports(ctx, n.pool, ask, reportQuestion{})[0]
	if r != nil && portless(o) && r.Map < p.Version {
		r.Drained = false // the report is from before the order
	}
	return r
}

// Undrain implements api.Members.
func (n *Node) Undrain(ctx context.Context, node api.NodeID) (*api.Progress, error) {
	p, err := n.prospect(ctx, "undrain")
	if err != nil {
		return nil, err
	}
	if _, err := p.node(node); err != nil {
		return nil, err
	}
	if _, err := n.change(ctx, placement.SetState{Node: node}); err != nil {
		return nil, err
	}
	return &api.Progress{Done: true, Note: fmt.Sprintf("%s is active", node)}, nil
}

// Leave implements api.Members. The steward gives the places to other servers, one after the other, and removes the node.
func (n *Node) Leave(ctx context.Context, node api.NodeID, force bool) (*api.Progress, error) {
	p, err := n.prospect(ctx, "leave")
	if err != nil {
		return nil, err
	}
	o, err := p.node(node)
	if err != nil {
		if err := n.wasRemoved(ctx, p.Map, node); err != nil {
			return nil, err
		}
		return &api.Progress{Done: true, Note: fmt.Sprintf("%s has left", node)}, nil
	}
	if o.State != placement.Leaving || force {
		moves, err := p.vacate(node, "", force)
		if err != nil {
			return nil, err
		}
		if _, err := n.change(ctx, placement.SetState{Node: node, State: placement.Leaving}); err != nil {
			return nil, err
		}
		for _, x := range moves {
			if x.spare != "" {
				continue // later, one place after the other
			}
			if _, err := n.change(ctx, x.place()); err != nil {
				return nil, err
			}
		}
	}
	return p.leaving(node), nil
}

// leaving says what the leaving of a node still waits for.
func (p *prospect) leaving(node api.NodeID) *api.Progress {
	out := &api.Progress{Waits: p.unsettled(node)}
	if len(out.Waits) == 0 {
		out.Waits = []string{fmt.Sprintf("%s is removed", node)}
	}
	return out
}

// gone reports whether the node is a server that was removed.
func gone(m *placement.Map, id api.NodeID) bool { return slices.Contains(m.Retired, id) }

// Remove implements api.Members.
func (n *Node) Remove(ctx context.Context, node api.NodeID, force bool) (*api.Progress, error) {
	return judgedAnew(func() (*api.Progress, error) { return n.remove(ctx, node, force) })
}

// errMapChanged means that a removal was judged by a map that has changed since: nothing was removed.
var errMapChanged = conflict("the placement map has changed meanwhile: nothing was removed; repeat the command")

// judgedAnew repeats an order that was judged by a map that has changed since, three times at most.
func judgedAnew(order func() (*api.Progress, error)) (p *api.Progress, err error) {
	for range 3 {
		if p, err = order(); !errors.Is(err, errMapChanged) {
			break
		}
	}
	return p, err
}

func (n *Node) remove(ctx context.Context, node api.NodeID, force bool) (*api.Progress, error) {
	p, err := n.prospect(ctx, "remove")
	if err != nil {
		return nil, err
	}
	o, err := p.node(node)
	if err != nil {
		if err := n.wasRemoved(ctx, p.Map, node); err != nil {
			return nil, err
		}
		return n.refusedEverywhere(ctx, p, p.Map), nil
	}
	if o.Role == api.RoleServer && p.answering(node) && !force {
		return nil, conflict("%s answers: let it leave", node)
	}
	moves, err := p.vacate(node, "", force)
	if err != nil {
		return nil, err
	}
	return n.retire(ctx, p, o, moves)
}

// retire gives the node's places to spare servers, if there are any, and removes it. errMapChanged if anything but that has changed the
// map since p.
func (n *Node) retire(ctx context.Context, p *prospect, o placement.Node, moves []move) (*api.Progress, error) {
	if err := p.mayRetire(o); err != nil {
		return nil, err
	}
	at := p.Version
	for _, x := range moves {
		if x.spare == "" {
			continue // the removal takes the place away
		}
		m, err := n.change(ctx, x.place())
		if err != nil {
			return nil, err
		}
		if at++; m.Version != at {
			return nil, errMapChanged
		}
	}
	m, err := n.change(ctx, placement.Retire{Node: o.ID, At: at})
	if api.CodeOf(err) == api.CodeConflict && n.versionNow(ctx) != at {
		return nil, errMapChanged
	}
	if err != nil {
		return nil, err
	}
	out := n.refusedEverywhere(ctx, p, m)
	if o.Role == api.RoleServer && m.Security != placement.Plain {
		out.Note += fmt.Sprintf("; a disk of %s that once had a vote in the meta group holds the cluster's CA key: destroy it", o.ID)
	}
	return out, nil
}

// versionNow is the version of the newest map; 0 if that is not known.
func (n *Node) versionNow(ctx context.Context) uint64 {
	m, err := n.changes.Get(ctx)
	if err != nil {
		return 0
	}
	return m.Version
}

// wasRemoved returns nil if a node that the map does not have was removed before: an order is repeated if its first answer was lost.
// CodeNotFound if the cluster does not know of such a node.
func (n *Node) wasRemoved(ctx context.Context, m *placement.Map, node api.NodeID) error {
	if gone(m, node) {
		return nil
	}
	// The machine knows the edges that were removed. It removes no node that has joined since.
	_, err := n.change(ctx, placement.Retire{Node: node, At: m.Version})
	return err
}

// refusedEverywhere asks all nodes until they go by the map m or a newer one, for toldTimeout at most.
func (n *Node) refusedEverywhere(ctx context.Context, p *prospect, m *placement.Map) *api.Progress {
	ctx, cancel := context.WithTimeout(ctx, toldTimeout)
	defer cancel()
	for {
		var missing []string
		for i, r := range n.reports(ctx, m) {
			if r == nil || r.Map < m.Version {
				missing = append(missing, string(m.Nodes[i].ID)+p.unheardFor(m.Nodes[i].ID))
			}
		}
		if len(missing) == 0 {
			return &api.Progress{Done: true, Note: "refused everywhere"}
		}
		select {
		case <-ctx.Done():
			slices.Sort(missing)
			return &api.Progress{Waits: []string{"not told yet: " + strings.Join(missing, ", ")}}
		case <-time.After(toldEvery):
		}
	}
}

// How long a removal waits for the nodes to know of it before it answers, and how often it asks.
const (
	toldTimeout = 2 * time.Second
	toldEvery   = 100 * time.Millisecond
)

// unheardFor says how long the leader of the meta group has not heard the server, or "" if it hears it.
func (p *prospect) unheardFor(id api.NodeID) string {
	if p == nil {
		return ""
	}
	for _, h := range p.answers {
		for _, x := range h.Unheard {
			if x.Node == id {
				return fmt.Sprintf(" (unreachable for %v)", (time.Duration(x.Ago) * time.Millisecond).Round(time.Second))
			}
		}
	}
	return " (unreachable)"
}

// Replace implements api.Members.
func (n *Node) Replace(ctx context.Context, node, by api.NodeID, force bool) (*api.Progress, error) {
	return judgedAnew(func() (*api.Progress, error) { return n.replace(ctx, node, by, force) })
}

func (n *Node) replace(ctx context.Context, node, by api.NodeID, force bool) (*api.Progress, error) {
	p, err := n.prospect(ctx, "replace")
	if err != nil {
		return nil, err
	}
	next, err := p.node(by)
	if err != nil {
		return nil, err
	}
	o, err := p.node(node)
	if err != nil {
		if !gone(p.Map, node) {
			return nil, err
		}
		return p.replaced(by), nil
	}
	if err := p.mayReplace(o, next); err != nil {
		return nil, err
	}
	moves, err := p.vacate(node, by, force)
	if err != nil {
		return nil, err
	}
	if !p.answering(node) {
		if out, err := n.retire(ctx, p, o, moves); err != nil || !out.Done {
			return out, err
		}
		if p, err = n.prospect(ctx, "replace"); err != nil {
			return nil, err
		}
		return p.replaced(by), nil
	}
	if o.State != placement.Leaving {
		if _, err := n.change(ctx, placement.SetState{Node: node, State: placement.Leaving}); err != nil {
			return nil, err
		}
	}
	for _, x := range moves {
		if _, err := n.change(ctx, x.place()); err != nil {
			return nil, err
		}
	}
	return p.leaving(node), nil
}

// mayReplace refuses a server that cannot take the places of the other.
func (p *prospect) mayReplace(o, by placement.Node) error {
	switch {
	case o.ID == by.ID:
		return api.Errorf(api.CodeInvalid, "name two servers")
	case o.Role != api.RoleServer:
		return conflict("only servers have places: %s is an edge", o.ID)
	case by.Role != api.RoleServer:
		return conflict("only servers have places: %s is an edge", by.ID)
	case o.Region != by.Region:
		return conflict("%s is in region %s and %s in %s", o.ID, o.Region, by.ID, by.Region)
	case by.State != placement.Active:
		return conflict("%s is %s", by.ID, by.State)
	case !p.answering(by.ID):
		return conflict("%s does not answer", by.ID)
	}
	for _, g := range p.Groups {
		if g.ID != ident.MetaGroup && slices.Contains(g.Voters, o.ID) && slices.Contains(g.Voters, by.ID) {
			return conflict("%s has a place in %s already: name another server", by.ID, g.ID)
		}
	}
	return nil
}

// replaced says what the places of a new server still wait for.
func (p *prospect) replaced(by api.NodeID) *api.Progress {
	out := &api.Progress{}
	for _, g := range p.Groups {
		if !slices.Contains(g.Voters, by) {
			continue
		}
		led, known := p.groups[g.ID]
		x, member := led.member(by)
		switch {
		case !known || !member || !x.Voter:
			out.Waits = append(out.Waits, fmt.Sprintf("%s catches up in %s", by, g.ID))
		case len(led.Members) > len(g.Voters):
			out.Waits = append(out.Waits, fmt.Sprintf("%s takes the votes of others away", g.ID))
		}
	}
	if out.Done = len(out.Waits) == 0; out.Done {
		out.Note = fmt.Sprintf("%s votes in %d groups", by, len(p.VotersAt(by)))
	}
	return out
}

// change carries out a command at the leader of the meta group and takes the map after it.
func (n *Node) change(ctx context.Context, c placement.Command) (*placement.Map, error) {
	return n.changes.Change(ctx, c)
}
