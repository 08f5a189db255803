package group

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// admit returns the indexes in q.Keys of the keys on which the session gets leases now. These are the keys on which
// no write is under way or just over. A session that is not in good standing gets none. Whether the reads make a
// lease worthwhile is decided by the holder, which counts them before it asks for one. A session of another node than
// the caller gets none, nor does an edge that is barred.
func (a *Authority) admit(c *words.Caller, l *lead, q *words.ReadRequest) []int {
	if q.Session.IsZero() {
		return nil
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	h, suspect := a.holderLocked(l, q.Session)
	if h == nil || h.node != c.Node && guardSessionOwner || c.Role == api.RoleEdge && a.bars.barred(h.node, now) {
		return nil
	}
	if a.rates.doubted || !a.renewableLocked(h, suspect) || a.offenders.onProbation(h.process(), now) {
		return nil
	}
	var wanted []int
	for i, k := range q.Keys {
		if l.grants(k) && l.cooling.over(k, now) {
			wanted = append(wanted, i)
		}
	}
	return wanted
}

// readGranted proposes leases on the wanted keys. It fills out with the result of applying the grant: the state at
// the grant's own place in the log. That entry was proposed after the read arrived and applied in this term, so it
// also proves that this node led. Keys without a grant may therefore be read from the machine now. If readGranted
// returns false, the caller must use the owner's read instead.
func (a *Authority) readGranted(ctx context.Context, l *lead, q *words.ReadRequest, wanted []int, out *words.ReadResult) bool {
	item := fsm.GrantItem{Session: q.Session}
	for _, i := range wanted {
		item.Keys = append(item.Keys, q.Keys[i])
		if len(q.Known) > 0 {
			item.Known = append(item.Known, q.Known[i])
		}
	}
	var before *words.ReadResult
	if !guardGrantAtApply { // the mutant: the value is read by the owner's read, and the lease granted after it
		before = new(words.ReadResult)
		if a.readConfirmed(ctx, l, q, before) != nil {
			before = nil
		}
	}
	began := time.Now()
	granted, err := a.propose(ctx, fsm.Grant{Term: l.term, Items: []fsm.GrantItem{item}})
	if err != nil || len(granted.Entries) != len(wanted) {
		return false
	}
	res := words.ReadResult{Leases: granted.Leases, Deadlines: granted.Deadlines, ReadResult: api.ReadResult{
		Entries: granted.Entries, Group: a.cfg.Group, Snapshot: true, Timing: api.Timing{Commit: time.Since(began)},
	}}
	if len(wanted) < len(q.Keys) {
		rest, err := a.look(q)
		if err != nil {
			return false
		}
		res.Entries, res.Deadlines, res.Leases = rest.entries, rest.deadlines, make([]ident.LeaseID, len(rest.entries))
		res.Snapshot = merge(&res, &granted, wanted)
	}
	if before != nil {
		res.Entries = before.Entries
	}
	if len(res.Deadlines) > 0 {
		setTTL(res.Entries, res.Deadlines, a.timeOf(l))
	}
	a.metrics.grants(leased(res.Leases))
	*out = res
	return true
}

// merge copies the granted entries and their leases to their places, and reports whether all entries were current at
// once.
func merge(all *words.ReadResult, granted *fsm.Result, places []int) bool {
	same := true
	for j, i := range places {
		same = same && all.Entries[i].Version == granted.Entries[j].Version
		all.Entries[i], all.Leases[i] = granted.Entries[j], granted.Leases[j]
		if j < len(granted.Deadlines) && len(all.Deadlines) > 0 {
			all.Deadlines[i] = granted.Deadlines[j]
		}
	}
	return same
}

func leased(leases []ident.LeaseID) (n float64) {
	for _, lid := range leases {
		if lid != 0 {
			n++
		}
	}
	return n
}
