package resp

import (
	"time"

	"github.com/edgehold/edgehold/api"
)

// view is what keys hold as a transaction sees it that reads before it writes: as they were read, and with what its commands have
// done since. Its changes hold only if what it has looked at is still so.
type view struct {
	keys   []api.Key // in the order in which they were read
	states map[api.Key]*state
	size   int64 // of the values that were read
}

// state is what a key holds.
type state struct {
	value  []byte
	exists bool
	ttl    time.Duration // what is left of its time to live; 0: it has no deadline
	// keep: the deadline is the one that was read.
	keep bool
	// version is that which was read, and seen is set if a command has looked at it.
	version api.Version
	seen    bool
	changed bool
}

// newView returns the view of what was read. Keys may occur more than once.
func newView(entries []api.Entry) *view {
	v := &view{states: make(map[api.Key]*state, len(entries))}
	for i := range entries {
		e := &entries[i]
		if v.states[e.Key] == nil {
			v.keys = append(v.keys, e.Key)
			v.states[e.Key] = &state{value: e.Value, exists: e.Exists, ttl: e.TTL, keep: true, version: e.Version}
		}
	}
	return v
}

// get returns the state of a key to a command that depends on it. The caller must not change it. A key that has another value and
// keeps its deadline still shows what was read.
func (v *view) get(k api.Key) *state {
	s := v.states[k]
	s.seen = s.seen || !s.changed || s.keep
	return s
}

// put gives a key a value and a time to live.
func (v *view) put(k api.Key, value []byte, l lifetime) {
	if l.gone {
		v.remove(k)
		return
	}
	s := v.states[k]
	s.value, s.exists, s.ttl, s.keep, s.changed = value, true, l.ttl, false, true
}

// replace gives a key another value. It keeps its deadline.
func (v *view) replace(k api.Key, value []byte) {
	s := v.states[k]
	s.value, s.exists, s.changed = value, true, true
}

func (v *view) remove(k api.Key) {
	s := v.states[k]
	s.value, s.exists, s.ttl, s.keep, s.changed = nil, false, 0, false, true
}

// entries returns the keys as a read of them now would answer.
func (v *view) entries(keys []api.Key) []api.Entry {
	all := make([]api.Entry, len(keys))
	for i, k := range keys {
		s := v.get(k)
		all[i] = api.Entry{Key: k, Value: s.value, Exists: s.exists, TTL: s.ttl}
	}
	return all
}

// txn returns the transaction that makes of the keys what the view has: if what it has looked at is still so.
func (v *view) txn() (when []api.Cond, then []api.Op) {
	for _, k := range v.keys {
		s := v.states[k]
		if s.seen {
			when = append(when, api.Cond{Kind: api.CondVersion, Key: k, Version: s.version})
		}
		switch {
		case !s.changed:
		case !s.exists:
			then = append(then, api.Op{Kind: api.OpDelete, Key: k})
		case s.keep:
			then = append(then, api.Op{Kind: api.OpPut, Key: k, Value: s.value, KeepTTL: true})
		default:
			then = append(then, api.Op{Kind: api.OpPut, Key: k, Value: s.value, TTL: s.ttl})
		}
	}
	return when, then
}
