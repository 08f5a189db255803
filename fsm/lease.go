package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// grant gives leases on what it reads, both at this command's own place in the log.
func (t *tx) grant(c *Grant, res *Result) *api.Error {
	n, f := 0, found{}
	for i := range c.Items {
		for _, k := range c.Items[i].Keys {
			if _, err := t.owner(k); err != nil {
				return err
			}
		}
		n += len(c.Items[i].Keys)
		if guardGrantUnderIntent {
			f.inTheWay(&t.view, c.Items[i].Keys, false)
		}
	}
	if res.Intents = f.intents; len(res.Intents) > 0 {
		return errIntent(res.Intents)
	}
	if t.rules.evaluates {
		if err := t.weighGrant(c, n); err != nil {
			return err
		}
	}
	res.Entries = make([]api.Entry, 0, n)
	for i := range c.Items {
		res.Entries = t.grantItem(&c.Items[i], res.Entries)
	}
	return nil
}

// weighGrant refuses to read more than a transaction may. Few keys cannot hold so much.
func (v *view) weighGrant(c *Grant, keys int) *api.Error {
	if !guardBound || keys <= v.limits.work/api.MaxValueBytes {
		return nil
	}
	size := 0
	for i := range c.Items {
		for _, k := range c.Items[i].Keys {
			if row, ok := v.get(v.key.ofKey(tableKV, k)); ok {
				size += len(valueOf(row).data)
			}
		}
	}
	if size <= v.limits.work {
		return nil
	}
	return api.Errorf(api.CodeTooLarge, "the values of the keys to lease are %d bytes, over the limit of %d bytes", size, v.limits.work)
}

func (t *tx) grantItem(item *GrantItem, out []api.Entry) []api.Entry {
	s, live := t.session(item.Session)
	live = live && !s.Suspect && (item.Nonce == ident.Nonce{} || item.Nonce == s.Nonce)
	before := s.Leases
	for i, k := range item.Keys {
		o, _ := t.shardOf(k)
		ver, data, exists := t.state(k, o)
		e := api.Entry{Key: k, Version: ver, Exists: exists}
		if exists && len(item.Known) > 0 && item.Known[i] == ver && !ver.IsZero() {
			e.Unchanged = true
		} else {
			e.Value = slices.Clone(data)
		}
		if live && t.lease(k, &s, ver, exists) {
			e.Lease = api.LeaseID(t.index)
		}
		out = append(out, e)
	}
	if s.Leases != before {
		t.setSession(&s)
	}
	return out
}

// lease makes the session a holder of the key, whose state is given; one that is gets the newer lease. The caller stores the
// session.
func (t *tx) lease(k api.Key, s *Session, ver api.Version, exists bool) bool {
	l := t.leased(k)
	if len(l.holders) == 0 && !exists {
		l.absent, l.version = true, ver
	}
	i, held := find(l.holders, s.ID)
	switch {
	case held:
		l.holders[i].lid = api.LeaseID(t.index)
	case len(l.holders) >= t.limits.keyHolders || s.Leases >= t.limits.sessionLeases:
		return false
	default:
		l.holders = slices.Insert(l.holders, i, lease{s.ID, api.LeaseID(t.index)})
		t.set(t.key.held(tableHeld, s.ID, k), nil)
		s.Leases++
		t.meta.Leases++
	}
	t.set(t.key.ofKey(tableLease, k), l.row())
	return true
}

// unlease drops the session's lease on the key if it is at or below lid. The caller stores the session.
func (t *tx) unlease(k api.Key, sid api.SessionID, lid api.LeaseID) bool {
	l := t.leased(k)
	i, held := find(l.holders, sid)
	if !held || guardLaterLease && l.holders[i].lid > lid {
		return false
	}
	if l.holders = slices.Delete(l.holders, i, i+1); len(l.holders) == 0 {
		t.del(t.key.ofKey(tableLease, k))
	} else {
		t.set(t.key.ofKey(tableLease, k), l.row())
	}
	t.del(t.key.held(tableHeld, sid, k))
	t.meta.Leases--
	return true
}

func (t *tx) release(c *Release, _ *Result) *api.Error {
	t.drop(c.Leases)
	return nil
}

// drop takes out what holders have given up: leases at or below the named ones. A later lease on the same key stays.
func (t *tx) drop(leases []api.DroppedLease) {
	for _, d := range leases {
		if !t.unlease(d.Key, d.Session, d.Lease) {
			continue
		}
		s, ok := t.session(d.Session)
		if !ok {
			must(errDead(d.Session))
		}
		s.Leases--
		t.setSession(&s)
	}
}

// clearance is what a write says about the leases in its way.
type clearance struct {
	cleared map[claim]api.LeaseID
	killed  map[api.SessionID]bool
}

// claim is a session's place at a key.
type claim struct {
	sid api.SessionID
	key api.Key
}

func newClearance(cleared []api.DroppedLease, killed []api.SessionID) clearance {
	var c clearance
	if len(cleared) > 0 {
		c.cleared = make(map[claim]api.LeaseID, len(cleared))
	}
	for _, d := range cleared {
		at := claim{d.Session, d.Key}
		c.cleared[at] = max(c.cleared[at], d.Lease)
	}
	if len(killed) > 0 {
		c.killed = make(map[api.SessionID]bool, len(killed))
	}
	for _, sid := range killed {
		c.killed[sid] = true
	}
	return c
}

// covers tells whether the lease is out of the way: its session is dying, or its holder has given up this lease or a
// later one.
func (c *clearance) covers(k api.Key, l lease) bool {
	return c.killed[l.sid] || c.cleared[claim{l.sid, k}] >= l.lid
}
