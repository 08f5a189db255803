package cluster

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

const (
	expiryPeriod = 5 * time.Second
	// maxClockOff is how far the wall clock of the node that ends tokens may be from the median of the meta group's voters.
	maxClockOff = 5 * time.Minute
)

// openExpiry ends tokens whose time has come, while this node leads the meta group: their end is an entry of its log, and no other
// node looks at a date.
func (n *Node) openExpiry() (func() error, error) {
	var held atomic.Bool
	n.metrics.Gauge("edgehold_access_expiry_held", "1 if tokens are due to end and do not, because the clocks of the meta group's voters disagree.", func() float64 {
		if held.Load() {
			return 1
		}
		return 0
	})
	b := newBackground()
	b.every(expiryPeriod, never, func() {
		ctx, cancel := context.WithTimeout(b.ctx, expiryPeriod)
		defer cancel()
		held.Store(n.endTokens(ctx, time.Now()))
	})
	return ending(b.close), nil
}

// endTokens ends what is due at the time, and reports whether something is due that this node's clock is not trusted to end.
func (n *Node) endTokens(ctx context.Context, now time.Time) (held bool) {
	x := n.members.get(ident.MetaGroup)
	if x == nil || x.meta.Status().Leader != n.cfg.ID {
		return false
	}
	due := dueTokens(x.meta.Roll(), now.Unix())
	if len(due) == 0 {
		return false
	}
	if !clockAgrees(n.voterClocks(ctx), now) {
		if write, _ := n.said.Say("expiry", "held"); write {
			n.log.Error("tokens are due to end, but this node's clock is more than 5 minutes from those of the other voters, or too few answer", "tokens", len(due))
		}
		return true
	}
	n.said.Clear("expiry")
	for _, c := range due {
		if _, err := n.changes.Propose(ctx, c); err != nil && ctx.Err() == nil {
			n.log.Warn("a token that is due to end could not be ended; trying again", "token", c.ID.String(), "error", err)
		}
	}
	return false
}

// dueTokens are the commands that end what is due.
func dueTokens(roll *placement.Roll, now int64) (due []placement.DropToken) {
	for _, t := range roll.Tokens {
		switch {
		case t.Ends != 0 && t.Ends <= now:
			due = append(due, placement.DropToken{ID: t.ID, By: "its ttl"})
		case t.Keep != 0 && t.Keep <= now && len(t.Hashes) > 1:
			due = append(due, placement.DropToken{ID: t.ID, Hash: t.Hashes[1], By: "its rotation"})
		}
	}
	return due
}

// voterClocks asks the meta group's voters for their time; nil unless a majority answers.
func (n *Node) voterClocks(ctx context.Context) []time.Time {
	m := n.membership.view.Map()
	if m == nil {
		return nil
	}
	g, _ := m.Group(ident.MetaGroup)
	var voters []placement.Node
	for _, v := range g.Voters {
		voters = append(voters, placement.Node{ID: v})
	}
	var clocks []time.Time
	for _, r := range n.reports(ctx, &placement.Map{Nodes: voters}) {
		if r != nil && r.Clock != 0 {
			clocks = append(clocks, time.UnixMilli(r.Clock))
		}
	}
	if 2*len(clocks) <= len(voters) {
		return nil
	}
	return clocks
}

// clockAgrees reports whether the time is near the median of the clocks, of which the caller's is one.
func clockAgrees(clocks []time.Time, now time.Time) bool {
	if len(clocks) == 0 {
		return false
	}
	slices.SortFunc(clocks, time.Time.Compare)
	off := now.Sub(clocks[len(clocks)/2])
	return off.Abs() <= maxClockOff
}
