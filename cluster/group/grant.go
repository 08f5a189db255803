package group

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// admit picks the keys, by their place in q.Keys, on which the session gets leases now: those on which no write is under
// way or just over, if the session is in good standing. That the reads make a lease pay is for its holder to know: it has
// counted them, and asks for one.
func (a *Authority) admit(l *lead, q *api.ReadRequest) []int {
	if q.Session.IsZero() {
		return nil
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	h, suspect := a.holderLocked(l, q.Session)
	if h == nil {
		return nil
	}
	if a.rates.doubted || !a.renewableLocked(h, suspect) || a.offenders.onProbation(h.nonce, now) {
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

// readGranted proposes leases on the wanted keys, and answers with what applying the grant returned: the state at the
// grant's own place in the log. That entry, proposed after the read had arrived and applied in this term, is also the
// proof that this node led, so that keys without a grant may be read from the machine now. false: ask the owner's way.
func (a *Authority) readGranted(ctx context.Context, l *lead, q *api.ReadRequest, wanted []int) (*api.ReadResult, bool) {
	item := fsm.GrantItem{Session: q.Session}
	for _, i := range wanted {
		item.Keys = append(item.Keys, q.Keys[i])
		if len(q.Known) > 0 {
			item.Known = append(item.Known, q.Known[i])
		}
	}
	var before *api.ReadResult
	if !guardGrantAtApply { // the mutant: the value is read as an owner reads, and the lease fetched after it
		before, _ = a.readConfirmed(ctx, l, q)
	}
	began := time.Now()
	granted, err := a.propose(ctx, fsm.Grant{Term: l.term, Items: []fsm.GrantItem{item}})
	if err != nil || len(granted.Entries) != len(wanted) {
		return nil, false
	}
	res := &api.ReadResult{Group: a.cfg.Group, Snapshot: true, Timing: api.Timing{Commit: time.Since(began)}}
	res.Entries = granted.Entries
	if len(wanted) < len(q.Keys) {
		rest, err := a.look(q)
		if err != nil {
			return nil, false
		}
		res.Entries, res.Snapshot = rest, merge(rest, granted.Entries, wanted)
	}
	if before != nil {
		for i := range res.Entries {
			before.Entries[i].Lease = res.Entries[i].Lease
		}
		res.Entries = before.Entries
	}
	a.metrics.grants(leased(res.Entries))
	return res, true
}

// merge puts the granted entries into their places, and tells whether all were current at once.
func merge(all, granted []api.Entry, places []int) bool {
	same := true
	for j, i := range places {
		same = same && all[i].Version == granted[j].Version
		all[i] = granted[j]
	}
	return same
}

func leased(entries []api.Entry) (n float64) {
	for i := range entries {
		if entries[i].Lease != 0 {
			n++
		}
	}
	return n
}
