package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// intentsIn are intents on keys in the range, in key order, at most limit of them.
func (v *view) intentsIn(r api.Range, limit int, exclusive bool) (in []Intent) {
	if v.meta.Intents == 0 {
		return nil
	}
	type locked struct {
		k api.Key
		x intents
	}
	var ls []locked
	lo, hi := span(tableIntent, r, false)
	v.scan(lo, hi, func(key, row []byte) bool {
		if x := parse(row, readIntents); x.exclusive || !exclusive {
			ls = append(ls, locked{api.Key(key[1:]), x})
		}
		return len(ls) < limit
	})
	var f found
	for i := range ls {
		f.add(v, ls[i].k, &ls[i].x)
	}
	return f.intents[:min(len(f.intents), limit)]
}

// Intents returns the intents on the keys.
func (m *Machine) Intents(keys []api.Key) (in []Intent) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	var f found
	for _, k := range keys {
		if x, ok := v.intents(k); ok {
			f.add(&v, k, &x)
		}
	}
	return f.intents
}

// IntentsIn returns intents on keys in the range, in key order, at most limit of them.
func (m *Machine) IntentsIn(r api.Range, limit int) []Intent {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if limit <= 0 {
		return nil
	}
	return v.intentsIn(r, limit, false)
}

// Prepared returns transactions that have prepared and are not resolved, in the order of their ids, at most limit of those
// after the one named.
func (m *Machine) Prepared(after ident.TxnID, limit int) (ps []Prepared) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	v.attempts(tablePrepared, after, limit, func(id ident.TxnID, row []byte) {
		p := parse(row, readPrepared)
		p.txn.ID = id
		ps = append(ps, Prepared{p.txn, p.index, p.writes, p.reads})
	})
	return ps
}

// Decided returns what the group has decided on the attempt; false where it remembers nothing. It is true for all time only
// where the caller knows that this replica leads.
func (m *Machine) Decided(id ident.TxnID) (Decision, bool) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if d := v.decided(&id); d != nil && id.Decider == v.meta.Group {
		return *d, true
	}
	return Decision{}, false
}

// Forgotten reports whether the group remembers nothing of the attempt any more, if it ever knew of it: its client has acknowledged
// it, or a day has passed. Nothing can commit it then. What Decided says goes first.
func (m *Machine) Forgotten(ref *ident.TxnRef) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v := m.begin()
	return v.tooOld(ref, 0)
}

// Unresolved returns commits that participants have not all resolved, in the order of their ids, at most limit of those
// after the one named.
func (m *Machine) Unresolved(after ident.TxnID, limit int) (ds []Decision) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	var ids []ident.TxnID
	v.attempts(tableOwing, after, limit, func(id ident.TxnID, _ []byte) { ids = append(ids, id) })
	for i := range ids {
		ids[i].Decider = v.meta.Group
		ds = append(ds, *v.decided(&ids[i]))
	}
	return ds
}

// Stored returns what the group knows of a request whose anchor it owns; false where that is nothing.
func (m *Machine) Stored(client api.ClientID, seq uint64) (Record, bool) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if rec := v.recordOf(client, seq); rec != nil {
		return *rec, true
	}
	return Record{}, false
}

// attempts visits rows that belong to attempts.
func (v *view) attempts(table byte, after ident.TxnID, limit int, visit func(ident.TxnID, []byte)) {
	if limit <= 0 {
		return
	}
	lo := []byte{table}
	if !after.IsZero() {
		lo = append(slices.Clone(v.key.attempt(table, &after)), 0)
	}
	v.scan(lo, []byte{table + 1}, func(k, row []byte) bool {
		visit(readAttempt(table, &codec.Reader{B: slices.Clone(k[1:])}), row)
		limit--
		return limit > 0
	})
}
