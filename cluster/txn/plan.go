package txn

import (
	"cmp"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// branch is what an attempt is to commit: one of the transaction's branches, under the conditions that select it.
type branch struct {
	held  bool // the branch is Then
	conds []api.Cond
	ops   []api.Op
	// leased reports for each condition whether a lease of this node covers it, so that no group need be asked.
	leased []bool
	// state, if set, replaces the results of the steps as the answer: If does not hold, and there is no Else.
	state []api.Entry
}

// part is one group's part of a branch.
type part struct {
	group   api.GroupID
	region  api.RegionID
	conds   []api.Cond
	ops     []api.Op
	places  []uint32 // of the ops, in the branch
	dropped []ident.DroppedLease
	claim   bool // the group owns the anchor
}

// parts divides the branch among the groups that own its keys, ordered by group. If the request has an id, the owner of
// the anchor gets a part, even if that part only makes the claim.
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

// decider returns the decision group: the nearest group that is well, whether a participant or not, or else the nearest
// that may be well. While the decision group is lost, keys that were locked for it stay locked. So a group that is
// known to be lost is never chosen.
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

// last returns the participant that may prepare and decide in one step (M3), or nil if there is none. Of two
// participants it is the far one, if the other is near and the far one is known to be well. The far one is then the
// decision group: if it were lost, the near one would keep its locks until the far one is back. What is read under
// leases must be checked after everything is locked and before the decision, which M3 does not allow. What a group
// reads as it commits is lost if its answer is lost.
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
