package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

const kindGrant kind = 4

// Grant gives leases and reads their keys at the same instant. Result.Entries has one entry for each key of each item, in order.
// An entry has no lease if the lease was refused: the session is not live, or a limit was reached. The whole Grant is refused
// with [RetryIntents] if a key has an exclusive intent, because neither state of that transaction's key may be returned.
type Grant struct {
	Term  api.Term
	Items []GrantItem
}

// GrantItem is one session's part of a Grant.
type GrantItem struct {
	Session ident.SessionID
	// Nonce, if set, must be the session's.
	Nonce ident.Nonce
	Keys  []api.Key
	// Known, if not empty, holds one version a key: an existing value of that same version is left out of the result.
	Known []api.Version
}

func (Grant) kind() kind           { return kindGrant }
func (c Grant) judgedIn() api.Term { return c.Term }

// size is near the size of the command's bytes.
func (c Grant) size() (n int) {
	for i := range c.Items {
		n += 48
		for _, k := range c.Items[i].Keys {
			n += len(k) + 16
		}
	}
	return n
}

func (c Grant) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	codec.PutList(w, c.Items, putItem)
}

func readGrant(r *codec.Reader) Grant {
	return Grant{api.Term(r.Uint()), codec.List(r, maxItems, 20, readItem)}
}

func putItem(w *codec.Writer, i *GrantItem) {
	putSession(w, i.Session)
	w.Raw(i.Nonce[:])
	codec.PutList(w, i.Keys, codec.PutKey)
	codec.PutList(w, i.Known, codec.PutVersion)
}

func readItem(r *codec.Reader) GrantItem {
	i := GrantItem{
		Session: readSessionID(r), Nonce: r.Array16(),
		Keys:  codec.List(r, api.MaxReadKeys, 2, (*codec.Reader).KeyName),
		Known: codec.List(r, api.MaxReadKeys, 2, (*codec.Reader).Version),
	}
	if len(i.Known) != 0 && len(i.Known) != len(i.Keys) {
		r.Fail("known versions that are not one for each key")
	}
	return i
}

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
	res.Entries, res.Leases = make([]api.Entry, 0, n), make([]ident.LeaseID, 0, n)
	for i := range c.Items {
		t.grantItem(&c.Items[i], res)
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

func (t *tx) grantItem(item *GrantItem, res *Result) {
	s, live := t.session(item.Session)
	live = live && !s.Suspect && (item.Nonce == ident.Nonce{} || item.Nonce == s.Nonce)
	before := s.Leases
	for i, k := range item.Keys {
		o, _ := t.shardOf(k)
		x, exists := t.value(k, o)
		ver, data := x.version, x.data
		e := api.Entry{Key: k, Version: ver, Exists: exists}
		if exists && len(item.Known) > 0 && item.Known[i] == ver && !ver.IsZero() {
			e.Unchanged = true
		} else {
			e.Value = slices.Clone(data)
		}
		var lid ident.LeaseID
		if live && t.lease(k, &s, ver, exists) {
			lid = ident.LeaseID(t.index)
		}
		res.Entries, res.Leases = append(res.Entries, e), append(res.Leases, lid)
		res.Deadlines = noteDeadline(res.Deadlines, len(res.Entries), x.deadline)
	}
	if s.Leases != before {
		t.setSession(&s)
	}
}

// lease makes the session a holder of the key, whose state is given. A session that is a holder already gets the newer lease. The
// caller stores the session.
func (t *tx) lease(k api.Key, s *Session, ver api.Version, exists bool) bool {
	l := t.leased(k)
	if len(l.holders) == 0 && !exists {
		l.absent, l.version = true, ver
	}
	i, held := find(l.holders, s.ID)
	switch {
	case held:
		l.holders[i].lid = ident.LeaseID(t.index)
	case len(l.holders) >= t.limits.keyHolders || s.Leases >= t.limits.sessionLeases:
		return false
	default:
		l.holders = slices.Insert(l.holders, i, lease{s.ID, ident.LeaseID(t.index)})
		t.set(t.key.held(tableHeld, s.ID, k), nil)
		s.Leases++
		t.meta.Leases++
	}
	t.set(t.key.ofKey(tableLease, k), l.row())
	return true
}
