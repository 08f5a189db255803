package consul

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// The verbs of operations, as transactions have them.
const (
	opSet            = "set"
	opCAS            = "cas"
	opLock           = "lock"
	opUnlock         = "unlock"
	opGet            = "get"
	opGetOrEmpty     = "get-or-empty"
	opGetTree        = "get-tree"
	opCheckIndex     = "check-index"
	opCheckSession   = "check-session"
	opCheckNotExists = "check-not-exists"
	opDelete         = "delete"
	opDeleteTree     = "delete-tree"
	opDeleteCAS      = "delete-cas"
)

// op is one operation on a key, or on a tree.
type op struct {
	verb    string
	key     string
	value   []byte
	flags   uint64
	index   uint64
	session string
	// names are the keys of the tree that the operation is about.
	names []string
}

func (o *op) tree() bool { return o.verb == opGetTree || o.verb == opDeleteTree }
func (o *op) deletes() bool {
	return o.verb == opDelete || o.verb == opDeleteCAS || o.verb == opDeleteTree
}

func (o *op) writes() bool {
	return o.deletes() || o.verb == opSet || o.verb == opCAS || o.verb == opLock || o.verb == opUnlock
}

// opError is why an operation, and with it the transaction, was not carried out.
type opError struct {
	at   int
	what string
	// condition: it did not hold. Else the operation cannot be carried out at all.
	condition bool
}

// evaluation is what operations do with a view, one after the other.
type evaluation struct {
	*view
	order   []*cell // those that were met, in order
	results []*pair
	size    int // bytes of the results, whose values may be shared
	errs    []opError
}

// show adds a result.
func (ev *evaluation) show(p *pair) {
	ev.results = append(ev.results, p)
	ev.size += len(p.Key) + len(p.Value)
}

// evaluate carries the operations out on the view.
func evaluate(v *view, ops []op) *evaluation {
	ev := &evaluation{view: v}
	for i := range ops {
		o := &ops[i]
		if o.tree() {
			ev.onTree(o)
			continue
		}
		c := ev.cell(o.key)
		if fault, condition := ev.one(o, c); fault != "" {
			ev.errs = append(ev.errs, opError{i, fault, condition})
			continue
		}
		switch {
		case o.verb == opGet || o.verb == opGetOrEmpty:
			ev.show(c.pair(true))
		case !o.deletes() && o.verb != opCheckNotExists:
			ev.show(c.pair(false))
		}
	}
	return ev
}

// cell returns the cell of a key, which the outcome depends on from now on.
func (ev *evaluation) cell(name string) *cell {
	c := ev.cells[name]
	if !slices.Contains(ev.order, c) {
		ev.order = append(ev.order, c)
	}
	return c
}

func (ev *evaluation) onTree(o *op) {
	names := slices.Clone(o.names)
	for _, c := range ev.order { // what the operations before have made
		if strings.HasPrefix(c.name, o.key) {
			names = append(names, c.name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		c := ev.cell(name)
		c.onData = c.onData || !c.wrote
		switch {
		case o.verb == opDeleteTree:
			c.remove()
		case c.exists:
			ev.show(c.pair(true))
		}
	}
}

// one carries out an operation on a key. fault says why not.
func (ev *evaluation) one(o *op, c *cell) (fault string, condition bool) {
	c.onData = c.onData || !c.wrote && o.verb != opSet && o.verb != opDelete
	stale := o.index == 0 && c.exists || o.index > 0 && (!c.exists || !c.at(o.index))
	switch o.verb {
	case opSet:
		c.write(o)
	case opCAS:
		if stale {
			return fmt.Sprintf("failed to set key %q, index is stale", o.key), true
		}
		c.write(o)
	case opDelete:
		c.remove()
	case opDeleteCAS:
		if c.exists && !c.at(o.index) {
			return fmt.Sprintf("failed to delete key %q, index is stale", o.key), true
		}
		c.remove()
	case opLock:
		return ev.lock(o, c)
	case opUnlock:
		if !c.exists || c.session == "" || c.session != o.session {
			return fmt.Sprintf("failed to unlock key %q, lock isn't held, or is held by another session", o.key), true
		}
		c.write(o)
		c.session, c.deletes = "", false
	default:
		return c.check(o), true
	}
	return "", false
}

// at reports whether the key has the index. What the transaction at hand has written has one that its client cannot know.
func (c *cell) at(index uint64) bool { return c.modify != 0 && c.modify == index }

// check carries out an operation that only reads.
func (c *cell) check(o *op) (fault string) {
	switch o.verb {
	case opGet:
		if !c.exists {
			return fmt.Sprintf("key %q doesn't exist", o.key)
		}
	case opGetOrEmpty:
	case opCheckNotExists:
		if c.exists {
			return fmt.Sprintf("key %q exists", o.key)
		}
	case opCheckIndex:
		switch {
		case !c.exists:
			return fmt.Sprintf("failed to check index, key %q doesn't exist", o.key)
		case c.modify == 0:
			return fmt.Sprintf("failed index check for key %q, the transaction itself writes it, index %d is before that", o.key, o.index)
		case !c.at(o.index):
			return fmt.Sprintf("failed index check for key %q, current modify index %d != %d", o.key, c.modify, o.index)
		}
	case opCheckSession:
		switch {
		case !c.exists:
			return fmt.Sprintf("failed to check session, key %q doesn't exist", o.key)
		case c.session != o.session:
			return fmt.Sprintf("failed session check for key %q, current session %q != %q", o.key, c.session, o.session)
		}
	default:
		return fmt.Sprintf("unknown KV verb %q", o.verb)
	}
	return ""
}

// lock takes the lock of a key for a session.
func (ev *evaluation) lock(o *op, c *cell) (fault string, condition bool) {
	holder := ev.sessions[o.session]
	switch {
	case o.session == "":
		return "missing session", false
	case holder == nil || !holder.Exists:
		return fmt.Sprintf("invalid session %q", o.session), false
	case c.session != "" && c.session != o.session:
		return fmt.Sprintf("failed to lock key %q, lock is already held", o.key), true
	case c.session == "" && c.after != "" && c.delayed && guardLockDelay:
		return fmt.Sprintf("failed to lock key %q due to lock delay", o.key), true
	}
	again := c.session == o.session
	c.onDelay = c.onDelay || !again
	c.write(o)
	if s := parseSession(holder); !again {
		c.taken++
		c.session, c.deletes = o.session, s.Behavior == behaviorDelete
	}
	if !slices.Contains(c.requires, sessionKey(o.session)) {
		c.requires = append(c.requires, sessionKey(o.session))
	}
	return "", false
}

// write gives the key a value and flags. The holder of its lock stays.
func (c *cell) write(o *op) {
	if !c.exists {
		c.recreated, c.create = true, 0
	}
	c.wrote, c.exists, c.value, c.flag, c.modify = true, true, o.value, o.flags, 0
}

func (c *cell) remove() {
	c.clear()
	c.wrote, c.modify = true, 0
}

// txn returns the transaction that makes what the evaluation has made, if all is as it was seen.
func (ev *evaluation) txn() *api.Txn {
	t := &api.Txn{}
	deleted := false
	for _, c := range ev.order {
		t.If = append(t.If, c.conditions()...)
		if !c.wrote {
			continue
		}
		deleted = deleted || !c.exists
		t.Then = append(t.Then, c.steps()...)
	}
	if deleted {
		t.Then = append(t.Then, api.Op{Kind: api.OpPut, Key: deletedKey})
	}
	if len(t.Then) == 0 && len(ev.order) > 0 { // what was read is of one instant if the conditions hold
		t.Then = []api.Op{{Kind: api.OpGet, Key: dataKey(ev.order[0].name)}}
	}
	return t
}

// conditions are what the outcome depends on: the holder of the lock, whether those sessions exist, and the value if it was read.
func (c *cell) conditions() (all []api.Cond) {
	add := func(kind api.CondKind, k api.Key) { all = append(all, api.Cond{Kind: kind, Key: k}) }
	same := func(e *api.Entry, k api.Key) {
		if !e.Exists {
			add(api.CondAbsent, k)
			return
		}
		all = append(all, api.Cond{Kind: api.CondVersion, Key: k, Version: e.Version}, api.Cond{Kind: api.CondExists, Key: k})
	}
	k := dataKey(c.name)
	same(&c.locked, k+locked)
	switch {
	case !c.hadSession:
	case c.wasHeld:
		add(api.CondExists, sessionKey(c.lock.Session))
	default:
		add(api.CondAbsent, sessionKey(c.lock.Session))
	}
	if c.onData {
		same(&c.data, k)
	}
	if c.onDelay && c.after != "" {
		add(api.CondAbsent, delayKey(c.after))
	}
	if guardSessionExists {
		for _, k := range c.requires {
			add(api.CondExists, k)
		}
	}
	return all
}

// steps write what the cell has become.
func (c *cell) steps() []api.Op {
	k := dataKey(c.name)
	if !c.exists {
		return append([]api.Op{{Kind: api.OpDelete, Key: k}, {Kind: api.OpDelete, Key: k + created}, {Kind: api.OpDelete, Key: k + flags}}, c.lockStep(k+locked)...)
	}
	all := []api.Op{{Kind: api.OpPut, Key: k, Value: c.value}, {Kind: api.OpAppendIfAbsent, Key: k + created, Value: createdMark}}
	if c.recreated && c.created.Exists { // what is there is of the key before
		all[1].Kind = api.OpPut
	}
	if c.flag == 0 {
		all = append(all, api.Op{Kind: api.OpDelete, Key: k + flags})
	} else {
		all = append(all, api.Op{Kind: api.OpPut, Key: k + flags, Value: strconv.AppendUint(nil, c.flag, 10)})
	}
	return append(all, c.lockStep(k+locked)...)
}

var createdMark = []byte("1")

// lockStep writes the lock, if it is another than before.
func (c *cell) lockStep(k api.Key) []api.Op {
	l := lock{Session: c.session, Index: c.taken, Delete: c.deletes}
	if c.after != "" && c.delayed {
		l.After = c.after
	}
	switch {
	case l == c.lock && c.locked.Exists == (l != lock{}):
		return nil
	case l == lock{}:
		return []api.Op{{Kind: api.OpDelete, Key: k}}
	}
	b, err := json.Marshal(l)
	if err != nil {
		panic(err) // it consists of text and numbers
	}
	o := api.Op{Kind: api.OpPut, Key: k, Value: b}
	if l == (lock{After: l.After}) { // it says nothing once the lock-delay is over
		o.TTL = maxLockDelay
	}
	return []api.Op{o}
}

// maxResultBytes bounds the results of a transaction: several operations may get the same values.
const maxResultBytes = api.MaxReadBytes

// maxTries bounds how often operations are evaluated again because something has changed what they depend on.
const maxTries = 64

// run carries out operations in one transaction, at most once, or returns why not. Trees are listed first.
func (f *frontend) run(ctx context.Context, s front.Caller, ops []op) ([]*pair, []opError, error) {
	d, err := f.carryOut(ctx, s, ops)
	return d.results, d.errs, err
}

// done is what became of operations.
type done struct {
	results []*pair
	errs    []opError     // why they were not carried out
	lists   [][]api.Entry // by the steps that came last
}

// carryOut is run with further steps, which come last in the same transaction.
func (f *frontend) carryOut(ctx context.Context, s front.Caller, ops []op, last ...api.Op) (d done, err error) {
	for range maxTries {
		v, err := f.viewFor(ctx, s, ops)
		if err != nil {
			return d, err
		}
		ev := evaluate(v, ops)
		if len(ev.errs) > 0 {
			return done{errs: ev.errs}, nil
		}
		if ev.size > maxResultBytes {
			return d, refuse(http.StatusRequestEntityTooLarge, "Response too large, over %d bytes: get fewer keys in one transaction", maxResultBytes)
		}
		if len(ev.order) == 0 {
			return d, nil
		}
		t := ev.txn()
		t.Then = append(t.Then, last...)
		res, err := f.do(ctx, s, t)
		if err != nil {
			return d, err
		}
		if res.Committed {
			return done{results: complete(ev.results, res.Version.Integer()), lists: res.Lists}, nil
		}
	}
	return d, busy("the keys change too often")
}

// complete gives results the index of the transaction.
func complete(results []*pair, index uint64) []*pair {
	for _, p := range results {
		if p.ModifyIndex == 0 && !p.absent {
			p.ModifyIndex = index
		}
		if p.CreateIndex == 0 && !p.absent {
			p.CreateIndex = index
		}
	}
	return results
}

// viewFor reads what operations depend on.
func (f *frontend) viewFor(ctx context.Context, s front.Caller, ops []op) (*view, error) {
	var names, ids []string
	for i := range ops {
		o := &ops[i]
		if o.tree() {
			all, err := keysUnder(ctx, s, o.key)
			if err != nil {
				return nil, err
			}
			o.names = all
			names = append(names, all...)
			continue
		}
		names = append(names, o.key)
		if o.verb == opLock && o.session != "" {
			ids = append(ids, o.session)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxKeys {
		return nil, api.Errorf(api.CodeTooLarge, "the operations are about %d keys, and a transaction about at most %d", len(names), maxKeys)
	}
	if len(names) == 0 {
		return &view{}, nil
	}
	slices.Sort(ids)
	return load(ctx, s, api.Linearizable, names, slices.Compact(ids))
}

// do carries out a transaction at most once.
func (f *frontend) do(ctx context.Context, s front.Caller, t *api.Txn) (*api.TxnResult, error) {
	id, finished := f.Number()
	defer finished()
	t.ID = id
	return s.Do(ctx, t)
}

// blind tries an operation without reading first, as if the key had no lock. done is false if that was not so, or if a condition of the
// operation did not hold: then nothing was written.
func (f *frontend) blind(ctx context.Context, s front.Caller, o *op) (done bool, err error) {
	c := newCell(&row{name: o.key}, nil)
	t := &api.Txn{If: c.conditions()}
	k := dataKey(o.key)
	switch {
	case (o.verb == opCAS || o.verb == opDeleteCAS) && o.index > 0:
		t.If = append(t.If, api.Cond{Kind: api.CondVersion, Key: k, Version: api.VersionOf(o.index)}, api.Cond{Kind: api.CondExists, Key: k})
	case o.verb == opCAS:
		t.If = append(t.If, api.Cond{Kind: api.CondAbsent, Key: k})
	}
	if o.deletes() {
		c.remove()
		t.Then = append(t.Then, api.Op{Kind: api.OpPut, Key: deletedKey})
	} else {
		c.write(o)
	}
	t.Then = append(t.Then, c.steps()...)
	res, err := f.do(ctx, s, t)
	return err == nil && res.Committed, err
}

// may checks the rights of operations, so that one without them is refused before anything is read.
func (f *frontend) may(ctx context.Context, ops []op) error {
	for i := range ops {
		o := &ops[i]
		if o.tree() {
			continue
		}
		k := dataKey(o.key)
		if err := f.MayKey(ctx, "txn", front.Read, k); err != nil {
			return err
		}
		if !o.writes() {
			continue
		}
		if err := f.MayKey(ctx, "txn", front.Write, k); err != nil {
			return err
		}
		if o.deletes() {
			if err := f.MayKey(ctx, "txn", front.Write, deletedKey); err != nil {
				return err
			}
		}
	}
	return nil
}
