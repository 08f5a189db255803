package fsm

import (
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// The refusals that the packages above act on. A command with such a refusal was not applied. The refusals do not leave those
// packages.
const (
	// RetryIntents refuses a command that meets the intents of other transactions, which Result.Intents lists; for a read the
	// error is an [IntentsError]. Wait until they are resolved, or push them, and try again.
	RetryIntents api.Code = "retry_intents"
	// Attempted refuses a command because an earlier attempt of the same request stands. Result.Stored is its record. If that is
	// a result, the request is done. Otherwise push its [Record.Ref] at the decision group. If it was committed, the request is
	// done. If it was aborted and is not Expired, the next attempt may be made after it.
	Attempted api.Code = "attempted"
	// Finished refuses a late Prepare or CommitLast: the attempt is over. Result.Decision is the outcome, if that is known.
	Finished api.Code = "finished"
	// DeciderLost means that a transaction whose decision group does not answer holds the key. Asking again at once is of no use:
	// the router returns [api.CodeUnavailable] to the caller.
	DeciderLost api.Code = "decider_lost"
)

// Intent is a transaction's lock on a key.
type Intent struct {
	Key api.Key `cbor:"1,keyasint"`
	// Exclusive means that the transaction writes the key. Otherwise it read the key, and others may read it too.
	Exclusive bool         `cbor:"2,keyasint,omitempty"`
	Txn       ident.TxnRef `cbor:"3,keyasint"`
}

// IntentsError is the refusal of a read that meets exclusive intents; its code is [RetryIntents]. Intents names at most
// [MaxNamedIntents].
type IntentsError struct {
	Intents []Intent
	Page    api.Range // of a list: the page that would show them
}

func (e *IntentsError) Error() string { return e.Unwrap().Error() }

// Unwrap returns the *api.Error.
func (e *IntentsError) Unwrap() error { return errIntent(e.Intents) }

// errIntent returns nil if there are no intents.
func errIntent(in []Intent) *api.Error {
	if len(in) == 0 {
		return nil
	}
	return &api.Error{Code: RetryIntents, Key: in[0].Key, Hint: "a transaction holds the key"}
}

// intents is a row of tableIntent. There is no row without a holder.
type intents struct {
	exclusive bool
	holders   []ident.TxnID // sorted; of an exclusive one just one
	change    change        // of an exclusive one
}

func (x *intents) row() []byte {
	w := codec.Writer{B: make([]byte, 0, 64*len(x.holders)+len(x.change.data))}
	w.Bool(x.exclusive)
	if !x.exclusive {
		codec.PutList(&w, x.holders, putTxnID)
		return w.B
	}
	putTxnID(&w, &x.holders[0])
	if c := &x.change; c.deadline > 0 {
		w.Byte(changePutTimed)
		w.Uint(c.deadline)
	} else {
		w.Byte(byte(c.kind))
	}
	if x.change.kind != changeNone {
		w.Version(x.change.version)
		w.Raw(x.change.data)
	}
	return w.B
}

// changePutTimed is, in a row, a put with a deadline.
const changePutTimed = 3

func readIntents(r *codec.Reader) intents {
	x := intents{exclusive: r.Bool()}
	if !x.exclusive {
		x.holders = codec.List(r, MaxReaders, 20, readTxnID)
		for i := range x.holders {
			if i > 0 && x.holders[i-1].Compare(x.holders[i]) >= 0 {
				r.Fail("intents out of order")
			}
		}
		if len(x.holders) == 0 {
			r.Fail("intents of no transaction")
		}
		return x
	}
	x.holders = []ident.TxnID{readTxnID(r)}
	kind := r.Byte()
	if kind == changePutTimed {
		kind, x.change.deadline = byte(changePut), readDeadline(r)
	}
	switch x.change.kind = changeKind(kind); x.change.kind {
	case changeNone:
	case changeDelete:
		x.change.version = r.Version()
	case changePut:
		x.change.version = r.Version()
		x.change.data = r.Take(uint64(len(r.B)))
	default:
		r.Fail("an unknown kind of change")
	}
	return x
}

// find returns the index of the transaction's intent, or the index at which it would be inserted.
func (x *intents) find(id *ident.TxnID) (int, bool) {
	return slices.BinarySearchFunc(x.holders, *id, ident.TxnID.Compare)
}

// intents returns the transactions that have locked the key.
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

// found is intents by name. The row of a prepared transaction holds all its keys, so each is looked at once, and only its
// beginning. It does not keep the view that it looks at, which then takes no memory of its own.
type found struct {
	intents []Intent
	refs    map[ident.TxnID]ident.TxnRef
}

// add adds the transactions that hold the key.
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

// inTheWay returns the intents that keep a reader off the keys, at most [MaxNamedIntents].
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

// blocked returns the intents in the way of a transaction.
func (v *view) blocked(writes, reads []api.Key) []Intent {
	var f found
	f.inTheWay(v, writes, true)
	f.inTheWay(v, reads, false)
	return f.intents
}

// inTheWayOf returns the intents in the way of a transaction that runs this branch, in the keys' order.
func (v *view) inTheWayOf(conds []api.Cond, branch []api.Op) []Intent {
	if v.meta.Intents == 0 || !guardWriteUnderIntent {
		return nil
	}
	in := v.blocked(locksOf(conds, branch))
	return append(in, v.underLists(branch, MaxNamedIntents-len(in))...)
}

// locksOf returns the keys that a transaction locks: exclusively those that its steps write, shared those that it tests or reads.
// Both are sorted, and no key is in both.
func locksOf(conds []api.Cond, branch []api.Op) (writes, reads []api.Key) {
	writes = written(branch, nil)
	slices.Sort(writes)
	reads = slices.DeleteFunc((&api.Txn{If: conds, Then: branch}).Keys(), func(k api.Key) bool {
		_, also := slices.BinarySearch(writes, k)
		return also
	})
	return writes, reads
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

// unlock removes the attempt's intents, and carries out what it had prepared if it was committed.
func (t *tx) unlock(p *prepared, commit bool) {
	for _, k := range p.writes {
		x, ok := t.intents(k)
		if !ok || !x.exclusive || x.holders[0] != p.txn.ID {
			must(fmt.Errorf("the exclusive intent of %v on %q is not there", p.txn.ID, string(k)))
		}
		if commit {
			x.change.data = slices.Clone(x.change.data) // the event of the change may keep it
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
