package fsm

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// plan is what a transaction would do in the present state.
type plan struct {
	committed bool
	branch    []api.Op
}

// plan checks that the group owns every key, and evaluates the conditions.
func (v *view) plan(t *api.Txn) (plan, *api.Error) {
	for i := range t.If {
		if _, err := v.owner(t.If[i].Key); err != nil {
			return plan{}, err
		}
	}
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		for i := range branch {
			if _, err := v.owner(branch[i].Key); err != nil {
				return plan{}, err
			}
		}
	}
	p := plan{committed: true}
	for i := range t.If {
		if !v.holds(&t.If[i]) {
			p.committed = false
			break
		}
	}
	p.branch = branchOf(t, p.committed)
	return p, nil
}

// branchOf is the branch that runs.
func branchOf(t *api.Txn, committed bool) []api.Op {
	if committed {
		return t.Then
	}
	return t.Else
}

func (v *view) holds(c *api.Cond) bool {
	o, _ := v.shardOf(c.Key)
	ver, data, exists := v.state(c.Key, o)
	switch c.Kind {
	case api.CondVersion:
		return ver == c.Version
	case api.CondExists:
		return exists
	case api.CondAbsent:
		return !exists
	}
	return exists && bytes.Equal(data, c.Value)
}

// written adds the keys that the branch writes to keys, each once, in the order of its steps.
func written(branch []api.Op, keys []api.Key) []api.Key {
	var seen map[api.Key]bool // a single step needs none
	if len(branch) > 1 {
		seen = make(map[api.Key]bool, len(branch))
	}
	for i := range branch {
		k := branch[i].Key
		if !branch[i].Writes() || seen[k] {
			continue
		}
		keys = append(keys, k)
		if seen != nil {
			seen[k] = true
		}
	}
	return keys
}

// applyWrite reads a Write and carries it out. As most commands are one, it takes no memory of its own for each.
func (t *tx) applyWrite(r *codec.Reader, res *Result) *api.Error {
	w := &t.room.write
	*w = readWrite(r)
	if err := t.ready(kindWrite, r); err != nil {
		return err
	}
	return t.write(w, res)
}

// write carries out a transaction. What was stored goes before everything, then the term, ownership, conditions, intents,
// steps, leases.
func (t *tx) write(w *Write, res *Result) *api.Error {
	if err := w.Txn.CheckSteps(); err != nil {
		return api.AsError(err)
	}
	var err *api.Error
	if res.Txn, res.Stored, err = t.before(&w.Txn); res.Txn != nil || err != nil {
		return err
	}
	if err = t.judged(w.Term); err != nil {
		return err
	}
	if err = t.tooMany(w.Killed); err != nil {
		return err
	}
	if !w.Txn.ID.IsZero() {
		if err = t.roomFor(&w.Txn.ID); err != nil {
			return err
		}
	}
	p, err := t.plan(&w.Txn)
	if err != nil {
		return err
	}
	if res.Intents = t.inTheWayOf(w.Txn.If, p.branch); len(res.Intents) > 0 {
		return errIntent(res.Intents)
	}
	var one [1]api.Key // most write one key
	written := written(p.branch, one[:0])
	var made []api.Step
	if t.rules.evaluates {
		err = t.evaluate(&t.room.evaluation, p.branch)
	} else {
		made, err = t.evaluateV1(p.branch)
	}
	if err != nil {
		return err
	}
	if err = t.unheld(written, w.Cleared, w.Killed, res); err != nil {
		return err
	}
	t.kill(w.Killed, written, res)
	t.drop(w.Cleared)
	res.Txn = t.resultOf(&p)
	switch {
	case !p.committed && len(p.branch) == 0:
		res.Txn.Entries = t.tests(w.Txn.If)
	case t.rules.evaluates:
		res.Txn.Entries = t.conclude(&t.room.evaluation, t.index)
		t.settleAll(&t.room.evaluation)
	default:
		t.executeV1(&p, made, res.Txn)
	}
	if !w.Txn.ID.IsZero() {
		t.record(&w.Txn, res.Txn)
	}
	return nil
}

// unheld refuses a write of keys that somebody holds under a live lease which the write does not clear.
func (t *tx) unheld(written []api.Key, cleared []api.DroppedLease, killed []api.SessionID, res *Result) *api.Error {
	if !guardLeaseCheck {
		return nil
	}
	var gone *clearance
	for _, k := range written {
		for _, l := range t.leased(k).holders {
			if gone == nil {
				c := newClearance(cleared, killed)
				gone = &c
			}
			if !gone.covers(k, l) {
				res.Holders = append(res.Holders, t.holder(k, l))
			}
		}
	}
	if len(res.Holders) > 0 {
		return errHeld(res.Holders[0].Key)
	}
	return nil
}

func errHeld(k api.Key) *api.Error {
	return &api.Error{Code: RetryLeases, Key: k, Hint: "the key is leased; clear its holders first"}
}

// resultOf is the result of the branch, without its entries.
func (t *tx) resultOf(p *plan) *api.TxnResult {
	res := &api.TxnResult{Committed: p.committed, Group: t.meta.Group}
	for i := range p.branch {
		if p.branch[i].Writes() {
			o, _ := t.shardOf(p.branch[i].Key)
			res.Version = api.Version{Epoch: o.Epoch, Index: t.index}
			break
		}
	}
	return res
}

// tests are the answer where If does not hold, and there is no Else: the state of its keys.
func (v *view) tests(conds []api.Cond) []api.Entry {
	entries := make([]api.Entry, len(conds))
	for i := range conds {
		o, _ := v.shardOf(conds[i].Key)
		ver, _, exists := v.state(conds[i].Key, o)
		entries[i] = api.Entry{Key: conds[i].Key, Version: ver, Exists: exists}
	}
	return entries
}

func (t *tx) put(k api.Key, ver api.Version, data []byte) {
	if !t.exists(k) {
		t.meta.Keys++
		t.delTombstone(k)
	}
	row := value{ver, data}.row()
	t.set(t.key.ofKey(tableKV, k), row)
}

func (t *tx) addTombstone(k api.Key, ver api.Version) {
	t.set(t.key.ofKey(tableTombstone, k), versionRow(ver))
	t.set(t.key.trim(ver.Index, k), nil)
	t.meta.Tombstones++
}

func (t *tx) delTombstone(k api.Key) {
	if t.meta.Tombstones == 0 {
		return
	}
	row, ok := t.get(t.key.ofKey(tableTombstone, k))
	if !ok {
		return
	}
	ver := parse(row, (*codec.Reader).Version)
	t.del(t.key.ofKey(tableTombstone, k))
	t.del(t.key.trim(ver.Index, k))
	t.meta.Tombstones--
}

func (t *tx) trimTombstones(c *TrimTombstones, res *Result) *api.Error {
	res.Swept.Rows = t.trim(c.Below, c.Limit)
	return nil
}

// trim drops old tombstones. The floor of each one's bucket rises to its version, so that no absent key's version falls.
// A tombstone of an ownership that is over needs none.
func (t *tx) trim(below uint64, limit int) (n int) {
	if limit <= 0 || limit > MaxSweep {
		limit = MaxSweep
	}
	type old struct {
		index uint64
		key   api.Key
	}
	var olds []old
	w := codec.Writer{B: []byte{tableTrim}}
	w.Fixed64(below)
	t.scan([]byte{tableTrim}, w.B, func(k, _ []byte) bool {
		r := codec.Reader{B: k[1:]}
		olds = append(olds, old{r.Fixed64(), api.Key(r.B)})
		return len(olds) < limit
	})
	for _, x := range olds {
		row, ok := t.get(t.key.ofKey(tableTombstone, x.key))
		if !ok {
			must(fmt.Errorf("no tombstone of %q at %d", string(x.key), x.index))
		}
		ver := parse(row, (*codec.Reader).Version)
		t.delTombstone(x.key)
		if o, owns := t.shardOf(x.key); owns && o.Epoch == ver.Epoch {
			t.lift(ver, bucketOf(x.key))
		}
	}
	return len(olds)
}

// lift makes ver the least version of every absent key in the bucket at that epoch.
func (t *tx) lift(ver api.Version, bucket uint16) {
	if row, ok := t.get(t.key.floor(ver.Epoch, bucket)); ok && parse(row, (*codec.Reader).Uint) >= ver.Index {
		return
	}
	w := codec.Writer{B: make([]byte, 0, 10)}
	w.Uint(ver.Index)
	t.set(t.key.floor(ver.Epoch, bucket), slices.Clip(w.B))
}
