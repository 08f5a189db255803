package lock

import (
	"context"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
)

// entry is what one contender has in the store, as one attempt of its request sees it. It belongs to one goroutine.
type entry struct {
	store   api.Store
	name    string
	id      string
	owner   string
	ttl     time.Duration
	repeats bool        // further attempts of the request may use the same entry
	nonce   string      // of this attempt
	version api.Version // of the entry; zero before it is there
	second  bool        // the entry was there when this attempt came
}

func (e *entry) key() api.Key    { return Key(e.name, e.id) }
func (e *entry) marker() api.Key { return Directory(e.name) + marks + api.Key(e.id) }

// enter puts the entry, or finds it and keeps it alive, and returns the entries of the lock, oldest first. whole is false if there
// may be more than those. An attempt that finds the entry leaves its mark, so that an earlier attempt does not delete it.
func (e *entry) enter(ctx context.Context) (all []place, whole bool, err error) {
	list := api.Op{Kind: api.OpList, Key: Directory(e.name), Limit: api.MaxListLimit}
	t := &api.Txn{
		If:   []api.Cond{{Kind: api.CondAbsent, Key: e.key()}},
		Then: []api.Op{{Kind: api.OpPut, Key: e.key(), Value: valueOf(e.owner, e.ttl), TTL: e.ttl}},
		Else: []api.Op{{Kind: api.OpTouch, Key: e.key(), TTL: e.ttl}},
	}
	if e.repeats {
		t.Then = append(t.Then, api.Op{Kind: api.OpDelete, Key: e.marker()})
		t.Else = append(t.Else, api.Op{Kind: api.OpPut, Key: e.marker(), Value: []byte(e.nonce), TTL: e.ttl})
	}
	t.Then, t.Else = append(t.Then, list), append(t.Else, list)
	if !guardNoRecord {
		t.ID, _ = api.ParseIdempotencyKey(e.id)
	}
	res, err := e.store.Do(ctx, t)
	if err != nil {
		return nil, false, err
	}
	e.version, e.second = res.Entries[0].Version, !res.Committed
	all, whole = places(Directory(e.name), res.Lists)
	return all, whole, nil
}

// keep keeps the entry alive. there is false if it has gone. If listed is set, it also returns what enter does.
func (e *entry) keep(ctx context.Context, listed bool) (there bool, all []place, whole bool, err error) {
	t := &api.Txn{If: e.unchanged(), Then: e.touches(e.ttl)}
	if listed {
		t.Then = append(t.Then, api.Op{Kind: api.OpList, Key: Directory(e.name), Limit: api.MaxListLimit})
	}
	res, err := e.store.Do(ctx, t)
	if err != nil || !res.Committed {
		return false, nil, false, err
	}
	if listed {
		all, whole = places(Directory(e.name), res.Lists)
	}
	return true, all, whole, nil
}

// unchanged are the conditions that the entry is the one of this tenure.
func (e *entry) unchanged() []api.Cond {
	return []api.Cond{{Kind: api.CondVersion, Key: e.key(), Version: e.version}}
}

// touches are the steps that keep the entry alive, with its marker if there is one.
func (e *entry) touches(ttl time.Duration) []api.Op {
	return []api.Op{{Kind: api.OpTouch, Key: e.key(), TTL: ttl}, {Kind: api.OpTouch, Key: e.marker(), TTL: ttl}}
}

func (e *entry) deletes() []api.Op {
	return []api.Op{{Kind: api.OpDelete, Key: e.key()}, {Kind: api.OpDelete, Key: e.marker()}}
}

// leave deletes the entry, unless a later attempt of the same request has found it.
func (e *entry) leave(ctx context.Context) error {
	t := &api.Txn{If: e.unchanged(), Then: e.deletes()}
	if mine := (api.Cond{Kind: api.CondAbsent, Key: e.marker()}); e.repeats && guardOwnAttempt {
		if e.second {
			mine = api.Cond{Kind: api.CondValue, Key: e.marker(), Value: []byte(e.nonce)}
		}
		t.If = append(t.If, mine)
	}
	_, err := e.store.Do(ctx, t)
	return err
}

// place is one entry of a lock.
type place struct {
	id      string
	version api.Version
	owner   string // if it is known
}

// places returns the entries that a step listed, oldest first; whole is false if there may be more. A list that is full has all entries
// if it goes on to the marks.
func places(directory api.Key, lists [][]api.Entry) (all []place, whole bool) {
	if len(lists) == 0 {
		return nil, false
	}
	for i := range lists[0] {
		if id := idOf(directory, lists[0][i].Key); id != "" {
			all = append(all, place{id: id, version: lists[0][i].Version})
		}
	}
	slices.SortFunc(all, func(a, b place) int { return a.version.Compare(b.version) })
	n := len(lists[0])
	return all, n < api.MaxListLimit || lists[0][n-1].Key >= directory+marks
}

// first reports whether the entry is the oldest of all.
func (e *entry) first(all []place, whole bool) bool {
	return whole && len(all) > 0 && all[0].id == e.id && all[0].version == e.version
}
