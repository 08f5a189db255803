package fsm

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// evaluation computes the effect of a branch's steps without applying it, each step on the result of the steps before it. It has
// two parts. evaluate runs before anything is changed. It refuses what cannot be carried out or is too much, and finds all
// values. conclude runs after the leases and sessions in the way are gone, and finds the versions: the version of an absent key
// may be the one that its holders were given.
type evaluation struct {
	branch  []api.Op
	entries []api.Entry     // one for each step; owned by the result
	drafts  []draft         // one for each key
	places  []place         // one for each step
	index   map[api.Key]int // the drafts by key, if they are many
	work    int             // bytes that the steps have read and made
	timed   bool            // a place has a deadline
	lists   [][]api.Entry   // one for each step that lists; owned by the result
}

// draft is the state of a key while the branch is evaluated.
type draft struct {
	key api.Key
	api.Step
	version   api.Version
	known     bool // what the key held before is in Step and version, or does not matter any more
	stored    bool // Value is what the table holds
	versioned bool // the version is known
	wrote     bool // a step changed it
	touched   bool // a step moved the deadline
	deadline  uint64
}

// place is a step's draft, and whether the step changed it.
type place struct {
	draft    int
	changed  bool
	deadline uint64 // of the key after the step
}

// noDraft is the draft of a step that lists.
const noDraft = -1

// evaluate begins the evaluation of a branch whose keys the group owns. It changes nothing.
func (v *view) evaluate(ev *evaluation, branch []api.Op) *api.Error {
	ev.begin(branch)
	for i := range branch {
		op := &branch[i]
		if op.Kind == api.OpList {
			if err := v.listStep(ev, op); err != nil {
				return err
			}
			ev.entries[i], ev.places[i] = api.Entry{Key: op.Key}, place{draft: noDraft}
			continue
		}
		at := ev.find(op.Key)
		d := &ev.drafts[at]
		if (op.Kind != api.OpPut || op.KeepTTL) && !d.known { // a put does not ask what was there, but for its deadline
			v.recall(d)
		}
		if err := ev.weigh(op, d, v.limits.work); err != nil {
			return v.impossible(op, err)
		}
		step, err := op.On(d.Value, d.Exists)
		if err != nil {
			return v.impossible(op, err)
		}
		d.Step, d.known, d.stored = step, true, d.stored && !step.Changed
		d.wrote = d.wrote || step.Changed
		d.live(op, v.now)
		ev.places[i] = place{at, step.Changed, d.deadline}
		ev.timed = ev.timed || d.deadline > 0
		ev.entries[i] = api.Entry{Key: op.Key, Exists: step.Exists}
		if op.Answers() {
			ev.entries[i].Value = slices.Clone(op.Answer(step.Value))
		} else if d.stored {
			d.Value, d.known = nil, false // it made nothing, so the value does not count: it is read again if another step needs it
		}
	}
	return nil
}

// begin makes room for a branch, in the memory that is there.
func (ev *evaluation) begin(branch []api.Op) {
	ev.branch, ev.work, ev.drafts, ev.index, ev.timed, ev.lists = branch, 0, ev.drafts[:0], nil, false, nil
	ev.entries = make([]api.Entry, len(branch))
	if cap(ev.places) < len(branch) {
		ev.places = make([]place, len(branch))
	}
	ev.places = ev.places[:len(branch)]
}

// few drafts are found without an index.
const few = 16

// find returns the place of the key's draft.
func (ev *evaluation) find(k api.Key) int {
	if ev.index != nil {
		if at, ok := ev.index[k]; ok {
			return at
		}
	} else {
		for i := range ev.drafts {
			if ev.drafts[i].key == k {
				return i
			}
		}
	}
	at := len(ev.drafts)
	ev.drafts = append(ev.drafts, draft{key: k})
	switch {
	case ev.index != nil:
		ev.index[k] = at
	case len(ev.drafts) > few:
		ev.index = make(map[api.Key]int, len(ev.branch))
		for i := range ev.drafts {
			ev.index[ev.drafts[i].key] = i
		}
	}
	return at
}

// forget drops what the evaluation has found. It keeps its memory unless that is large.
func (ev *evaluation) forget() {
	clear(ev.drafts)
	*ev = evaluation{drafts: ev.drafts[:0], places: ev.places}
	if cap(ev.drafts) > 2*few {
		*ev = evaluation{}
	}
}

// recall finds what the key holds now. The version of its absence is found later.
func (v *view) recall(d *draft) {
	d.known = true
	if row, ok := v.get(v.key.ofKey(tableKV, d.key)); ok {
		x := valueOf(row)
		d.Step, d.version, d.stored, d.versioned = api.Step{Value: x.data, Exists: true}, x.version, true, true
		if !d.touched {
			d.deadline = x.deadline
		}
	}
}

// live moves the deadline as the step does, which the draft has the result of. A step may keep the deadline, a touch only raises it,
// and a function that changes nothing changes no deadline.
func (d *draft) live(op *api.Op, now uint64) {
	switch {
	case op.Kind == api.OpTouch:
		if to := deadlineOf(now, op.TTL); d.Exists && d.deadline > 0 && (to > d.deadline || !guardTouchRaises) {
			d.deadline, d.touched = to, true
		}
	case d.Changed && !keepsDeadline(op):
		d.deadline = deadlineOf(now, op.TTL)
	}
}

// keepsDeadline reports whether the step leaves the deadline of the key as it is. An absent key has none.
func keepsDeadline(op *api.Op) bool {
	if op.Kind == api.OpAdd {
		return guardAddKeeps
	}
	return op.KeepTTL && guardKeepTTL
}

// weigh adds the size of what the step reads or makes. It refuses the step before any memory is used.
func (ev *evaluation) weigh(op *api.Op, d *draft, limit int) *api.Error {
	n := 0
	switch op.Kind {
	case api.OpGet:
		n = len(d.Value)
	case api.OpAdd:
		n = maxSum
	case api.OpTouch:
		if d.stored { // the row is written again, with its value
			n = len(d.Value)
		}
	case api.OpAppendIfAbsent:
		if n = len(d.Value) + len(op.Value); ev.work+n > limit && d.Exists && bytes.Contains(d.Value, op.Value) {
			n = 0 // it makes nothing
		}
	case api.OpAppend:
		n = len(d.Value) + len(op.Value)
	case api.OpSum64, api.OpMin64, api.OpMax64:
		n = len(op.Value)
	}
	if ev.work += n; ev.work <= limit || !guardBound {
		return nil
	}
	return &api.Error{Code: api.CodeTooLarge, Op: "txn", Key: op.Key,
		Hint: fmt.Sprintf("what the steps read and make, up to this one, is %d bytes, over the limit of %d bytes", ev.work, limit)}
}

// impossible returns the refusal of a step that cannot be carried out.
func (v *view) impossible(op *api.Op, err error) *api.Error {
	e := api.AsError(err)
	o, _ := v.shardOf(op.Key)
	e.Version, _, _ = v.state(op.Key, o)
	return e
}

// conclude gives the entries their versions: what the branch writes has the index.
func (v *view) conclude(ev *evaluation, index uint64) []api.Entry {
	for i := range ev.branch {
		op, p := &ev.branch[i], ev.places[i]
		if p.draft == noDraft {
			continue
		}
		d := &ev.drafts[p.draft]
		o, _ := v.shardOf(op.Key)
		if !d.versioned && !p.changed {
			d.version, d.versioned = v.absence(op.Key, o), true
		}
		// A key that never existed is recorded as absent once it has been deleted.
		if p.changed || op.Kind == api.OpDelete && d.version.IsZero() {
			d.wrote, d.versioned, d.version = true, true, api.Version{Epoch: o.Epoch, Index: index}
		}
		ev.entries[i].Version = d.version
	}
	v.concludeLists(ev, index)
	return ev.entries
}

// made returns the change of each key that the branch writes.
func (ev *evaluation) made() map[api.Key]change {
	made := make(map[api.Key]change, len(ev.drafts))
	for i := range ev.drafts {
		d := &ev.drafts[i]
		made[d.key] = d.change()
	}
	return made
}

// change is what the branch makes of the key.
func (d *draft) change() change {
	c := changeTo(d.wrote, d.version, &d.Step)
	if c.kind == changePut {
		c.deadline = d.deadline
	}
	return c
}

// deadlines returns the deadline of each step's key after the step, or nil if none has one.
func (ev *evaluation) deadlines() []uint64 {
	if !ev.timed {
		return nil
	}
	ds := make([]uint64, len(ev.places))
	for i := range ev.places {
		ds[i] = ev.places[i].deadline
	}
	return ds
}

// change is what a transaction makes of a key.
type change struct {
	kind     changeKind
	version  api.Version // that of its prepare
	data     []byte
	deadline uint64 // of a put; 0: none
}

type changeKind byte

const (
	changeNone changeKind = iota // the key stays as it is
	changeDelete
	changePut
)

// changeTo returns the change of a key that holds the step's result at the end.
func changeTo(wrote bool, version api.Version, s *api.Step) change {
	switch {
	case !wrote:
		return change{}
	case s.Exists:
		return change{kind: changePut, version: version, data: s.Value}
	}
	return change{kind: changeDelete, version: version}
}

// tested refuses if a condition does not hold.
func (v *view) tested(conds []api.Cond) *api.Error {
	for i := range conds {
		if v.holds(&conds[i]) {
			continue
		}
		o, _ := v.shardOf(conds[i].Key)
		ver, _, _ := v.state(conds[i].Key, o)
		return &api.Error{
			Code: api.CodePreconditionFailed, Key: conds[i].Key, Version: ver, Hint: "the key is not what the transaction took it for",
		}
	}
	return nil
}

// settleAll makes the changes of an evaluation that was concluded.
func (t *tx) settleAll(ev *evaluation) {
	for i := range ev.drafts {
		d := &ev.drafts[i]
		x := d.change()
		if t.settle(d.key, &x); !d.wrote && d.touched {
			t.touch(d.key, d.deadline)
		}
	}
}

// settle makes the change. Its version is that of the prepare: no later one of the key has been returned since.
func (t *tx) settle(k api.Key, c *change) {
	switch c.kind {
	case changePut:
		t.put(k, value{c.version, c.deadline, c.data})
		t.happened(Event{Kind: api.EventPut, Key: k, Version: c.version, Value: c.data, Deadline: c.deadline})
	case changeDelete:
		t.vanish(k, c.version, api.EventDelete)
	}
}

// vanish makes the key absent at that version, as the kind of event says.
func (t *tx) vanish(k api.Key, ver api.Version, event api.EventKind) {
	if t.remove(k) {
		t.gone(k, ver, event)
		return
	}
	t.delTombstone(k)
	t.addTombstone(k, ver)
}

// gone records that a key that was removed is absent since ver.
func (t *tx) gone(k api.Key, ver api.Version, event api.EventKind) {
	t.happened(Event{Kind: event, Key: k, Version: ver})
	t.delTombstone(k)
	t.addTombstone(k, ver)
}
