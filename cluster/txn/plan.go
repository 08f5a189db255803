package txn

import (
	"cmp"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// branch is what an attempt is to commit: one of the transaction's branches, under conditions that make it the right one.
type branch struct {
	held  bool // it is Then
	conds []api.Cond
	ops   []api.Op
	// leased tells of each condition whether a lease of this node vouches for it, so that no group need be asked.
	leased []bool
	// state, where set, is the answer in place of what steps give: If does not hold, and there is no Else.
	state []api.Entry
}

// part is what one group has of a branch.
type part struct {
	group   api.GroupID
	region  api.RegionID
	conds   []api.Cond
	ops     []api.Op
	places  []uint32 // of the ops, in the branch
	dropped []ident.DroppedLease
	claim   bool // the group owns the anchor
}

// parts divides the branch among the groups that own its keys, by group. Where the request has an id, the owner of the
// anchor has a part, if only to make the claim.
func (r *running) parts(b *branch) ([]*part, error) {
	m := r.cfg.Map()
	if m == nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Op: "txn", Hint: "this node has no placement map yet"}
	}
	byGroup := map[api.GroupID]*part{}
	var missing api.Key
	of := func(k api.Key) *part {
		g, _, ok := m.Locate(k)
		if !ok {
			missing = k
			return &part{}
		}
		p := byGroup[g]
		if p == nil {
			p = &part{group: g, region: regionOf(m, g)}
			byGroup[g] = p
		}
		return p
	}
	for i := range b.conds {
		if b.leased == nil || !b.leased[i] {
			p := of(b.conds[i].Key)
			p.conds = append(p.conds, b.conds[i])
		}
	}
	for i := range b.ops {
		p := of(b.ops[i].Key)
		p.ops, p.places = append(p.ops, b.ops[i]), append(p.places, uint32(i))
	}
	if r.named {
		of(r.anchor).claim = true
	}
	for _, d := range r.txn.Dropped {
		if p := byGroup[d.Group]; p != nil {
			p.dropped = append(p.dropped, d)
		}
	}
	if missing != "" {
		return nil, &api.Error{Code: api.CodeUnavailable, Op: "txn", Key: missing, Hint: "the placement map names no owner of the key"}
	}
	parts := make([]*part, 0, len(byGroup))
	for _, p := range byGroup {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b *part) int { return cmp.Compare(a.group, b.group) })
	return parts, nil
}

func regionOf(m *placement.Map, g api.GroupID) api.RegionID {
	x, _ := m.Group(g)
	return x.Region
}

// decider is the decision group: the nearest that is well, be it a participant or not, or else the nearest that may be. While it
// is lost, what has been locked for it stays locked, so that one that is known to be lost is never chosen.
func (r *running) decider(parts []*part) (api.GroupID, error) {
	var near, far []api.GroupID
	for _, p := range parts {
		if p.region == r.cfg.Region {
			near = append(near, p.group)
		} else {
			far = append(far, p.group)
		}
	}
	if len(near) == 0 {
		if all := r.cfg.Map().GroupsOf(r.cfg.Region); len(all) > 0 {
			near = []api.GroupID{all[int(r.id.Seq%uint64(len(all)))]}
		}
	}
	all := slices.Concat(near, far)
	if i := slices.IndexFunc(all, r.cfg.Well); i >= 0 {
		return all[i], nil
	}
	if i := slices.IndexFunc(all, func(g api.GroupID) bool { return !r.cfg.Lost(g) }); i >= 0 {
		return all[i], nil
	}
	for _, g := range all {
		r.probe(g)
	}
	return "", &api.Error{Code: api.CodeUnavailable, Op: "txn", RetryAfter: pauseLost, Hint: "no group that could decide answers; nothing was locked or written"}
}

// last is the participant that may prepare and decide in one (M3): the one of two that is far while the other is near, and known
// to be well: it is the decision group, and if it were lost the near one would keep its locks until it is back. nil
// where there is none: what is read under leases must be checked after everything is locked, and before it is decided; and
// what a group reads as it commits is lost with its answer.
func (r *running) last(parts []*part, b *branch) *part {
	if len(parts) != 2 || r.claimFirst || slices.Contains(b.leased, true) {
		return nil
	}
	near, far := parts[0], parts[1]
	if far.region == r.cfg.Region {
		near, far = far, near
	}
	if near.region != r.cfg.Region || far.region == r.cfg.Region || len(far.conds)+len(far.ops) == 0 {
		return nil
	}
	if guardNearDecider && !r.cfg.Well(far.group) {
		return nil
	}
	if slices.ContainsFunc(far.ops, func(o api.Op) bool { return o.Kind == api.OpGet }) {
		return nil
	}
	return far
}
