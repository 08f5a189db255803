package fsm

import (
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// intents are the transactions that have locked the key.
func (v *view) intents(k api.Key) (intents, bool) {
	if v.meta.Intents == 0 {
		return intents{}, false
	}
	row, ok := v.get(v.key.ofKey(tableIntent, k))
	if !ok {
		return intents{}, false
	}
	return parse(row, readIntents), true
}

// prepared is the attempt's row, while it is prepared here.
func (v *view) prepared(id *ident.TxnID) (prepared, bool) {
	if v.meta.Prepared == 0 {
		return prepared{}, false
	}
	row, ok := v.get(v.key.attempt(tablePrepared, id))
	if !ok {
		return prepared{}, false
	}
	p := parse(row, readPrepared)
	p.txn.ID = *id
	return p, true
}

// found is intents by name. The row of a prepared transaction holds all its keys, so each is looked at once, and only its
// beginning. It does not keep the view that it looks at, which then takes no memory of its own.
type found struct {
	intents []Intent
	refs    map[ident.TxnID]ident.TxnRef
}

// add names those who hold the key.
func (f *found) add(v *view, k api.Key, x *intents) {
	for i := range x.holders {
		f.intents = append(f.intents, Intent{Key: k, Exclusive: x.exclusive, Txn: f.ref(v, k, &x.holders[i])})
	}
}

// ref is the transaction that holds the key.
func (f *found) ref(v *view, k api.Key, id *ident.TxnID) ident.TxnRef {
	if ref, ok := f.refs[*id]; ok {
		return ref
	}
	row, ok := v.get(v.key.attempt(tablePrepared, id))
	if !ok {
		must(fmt.Errorf("an intent on %q of %v, which has not prepared", string(k), *id))
	}
	r := codec.Reader{B: row}
	ref := readPreparedRef(&r)
	if r.Fault() != "" {
		must(fmt.Errorf("a row that cannot be: %s", r.Fault()))
	}
	ref.ID = *id
	if f.refs == nil {
		f.refs = map[ident.TxnID]ident.TxnRef{}
	}
	f.refs[*id] = ref
	return ref
}

// inTheWay are the intents that keep a reader off the keys, at most [MaxNamedIntents].
func (v *view) inTheWay(keys []api.Key) []Intent {
	var f found
	f.inTheWay(v, keys, false)
	return f.intents
}

// inTheWay adds the intents that keep a reader off the keys, or a writer, up to [MaxNamedIntents].
func (f *found) inTheWay(v *view, keys []api.Key, writes bool) {
	if v.meta.Intents == 0 {
		return
	}
	for _, k := range keys {
		if x, ok := v.intents(k); ok && (writes || x.exclusive) {
			f.add(v, k, &x)
		}
		if len(f.intents) >= MaxNamedIntents {
			f.intents = f.intents[:MaxNamedIntents]
			return
		}
	}
}

// locksOf tells which keys a transaction locks: exclusively those that its steps write, else those that it tests or reads.
// Both are sorted, and no key is in both.
func locksOf(conds []api.Cond, branch []api.Op) (writes, reads []api.Key) {
	writes = written(branch, nil)
	slices.Sort(writes)
	for i := range conds {
		reads = append(reads, conds[i].Key)
	}
	for i := range branch {
		reads = append(reads, branch[i].Key)
	}
	reads = slices.DeleteFunc(api.SortKeys(reads), func(k api.Key) bool {
		_, also := slices.BinarySearch(writes, k)
		return also
	})
	return writes, reads
}

// blocked are the intents in the way of a transaction.
func (v *view) blocked(writes, reads []api.Key) []Intent {
	var f found
	f.inTheWay(v, writes, true)
	f.inTheWay(v, reads, false)
	return f.intents
}

// inTheWayOf are the intents in the way of a transaction that runs this branch, in the keys' order.
func (v *view) inTheWayOf(conds []api.Cond, branch []api.Op) []Intent {
	if v.meta.Intents == 0 || !guardWriteUnderIntent {
		return nil
	}
	return v.blocked(locksOf(conds, branch))
}

// lock gives the attempt its intents. Nothing is in the way.
func (t *tx) lock(id *ident.TxnID, writes, reads []api.Key, made map[api.Key]change) {
	for _, k := range writes {
		x := intents{exclusive: true, holders: []ident.TxnID{*id}, change: made[k]}
		t.set(t.key.ofKey(tableIntent, k), x.row())
		t.meta.Intents++
	}
	for _, k := range reads {
		x, some := t.intents(k)
		i, _ := x.find(id)
		x.holders = slices.Insert(x.holders, i, *id)
		t.set(t.key.ofKey(tableIntent, k), x.row())
		if !some {
			t.meta.Intents++
		}
	}
}

// unlock takes the attempt's intents away, and carries out what it had prepared, or not.
func (t *tx) unlock(p *prepared, commit bool) {
	for _, k := range p.writes {
		x, ok := t.intents(k)
		if !ok || !x.exclusive || x.holders[0] != p.txn.ID {
			must(fmt.Errorf("the exclusive intent of %v on %q is not there", p.txn.ID, string(k)))
		}
		if commit {
			t.settle(k, &x.change)
		}
		t.del(t.key.ofKey(tableIntent, k))
		t.meta.Intents--
	}
	for _, k := range p.reads {
		x, _ := t.intents(k)
		i, ok := x.find(&p.txn.ID)
		if !ok {
			must(fmt.Errorf("the shared intent of %v on %q is not there", p.txn.ID, string(k)))
		}
		if x.holders = slices.Delete(x.holders, i, i+1); len(x.holders) > 0 {
			t.set(t.key.ofKey(tableIntent, k), x.row())
			continue
		}
		t.del(t.key.ofKey(tableIntent, k))
		t.meta.Intents--
	}
}

// settleAll makes the changes of an evaluation that was concluded.
func (t *tx) settleAll(ev *evaluation) {
	for i := range ev.drafts {
		d := &ev.drafts[i]
		x := changeTo(d.wrote, d.version, &d.Step)
		t.settle(d.key, &x)
	}
}

// settle makes the change. Its version is that of the prepare: nobody has been told a later one of the key since.
func (t *tx) settle(k api.Key, c *change) {
	switch c.kind {
	case changePut:
		t.put(k, c.version, c.data)
	case changeDelete:
		if _, exists := t.get(t.key.ofKey(tableKV, k)); exists {
			t.del(t.key.ofKey(tableKV, k))
			t.meta.Keys--
		}
		t.delTombstone(k)
		t.addTombstone(k, c.version)
	}
}
