package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
)

// How commands of version 1 carry out the steps of a branch. Nothing here changes any more.

// evaluateV1 computes the effect of a branch's steps with functions without applying it, each step on the result of the steps
// before it. It returns what each step makes, or nil if there is no function, because other steps cannot fail. The group owns the
// keys.
func (v *view) evaluateV1(branch []api.Op) ([]api.Step, *api.Error) {
	if !slices.ContainsFunc(branch, func(o api.Op) bool { return o.Function() }) {
		return nil, nil
	}
	made := make([]api.Step, len(branch))
	now := make(map[api.Key]api.Step, len(branch))
	for i := range branch {
		op := &branch[i]
		before, ok := now[op.Key]
		if !ok {
			o, _ := v.shardOf(op.Key)
			_, data, exists := v.state(op.Key, o)
			before = api.Step{Value: data, Exists: exists}
		}
		var err error
		if made[i], err = op.On(before.Value, before.Exists); err != nil {
			return nil, v.impossible(op, err)
		}
		now[op.Key] = made[i]
	}
	return made, nil
}

// executeV1 carries out the branch, whose steps make what evaluateV1 said. It refuses nothing.
func (t *tx) executeV1(p *plan, made []api.Step, res *api.TxnResult) {
	res.Entries = make([]api.Entry, len(p.branch))
	defer t.happenedV1(p.branch)()
	for i := range p.branch {
		op := &p.branch[i]
		o, _ := t.shardOf(op.Key)
		ver := api.Version{Epoch: o.Epoch, Index: t.index}
		switch op.Kind {
		case api.OpGet:
			res.Entries[i] = t.entry(op.Key, o)
		case api.OpPut:
			t.put(op.Key, value{version: ver, data: op.Value})
			res.Entries[i] = api.Entry{Key: op.Key, Version: ver, Exists: true}
		case api.OpDelete:
			res.Entries[i] = api.Entry{Key: op.Key, Version: t.removeV1(op.Key, o, ver)}
		default:
			res.Entries[i] = t.functionV1(op, o, ver, &made[i])
		}
	}
}

// happenedV1 is called before the branch is carried out, and what it returns after that: then it notes what has become visible.
func (t *tx) happenedV1(branch []api.Op) func() {
	if !t.keepsHistory() {
		return func() {}
	}
	var keys []api.Key // in the order of the steps
	existed := map[api.Key]bool{}
	for i := range branch {
		k := branch[i].Key
		if _, seen := existed[k]; !seen {
			keys, existed[k] = append(keys, k), t.exists(k)
		}
	}
	return func() {
		for _, k := range keys {
			o, _ := t.shardOf(k)
			ver, data, exists := t.state(k, o)
			switch {
			case exists && ver == (api.Version{Epoch: o.Epoch, Index: t.index}):
				t.happened(Event{Kind: api.EventPut, Key: k, Version: ver, Value: slices.Clone(data)})
			case existed[k] && !exists:
				t.happened(Event{Kind: api.EventDelete, Key: k, Version: ver})
			}
		}
	}
}

// functionV1 carries out a step whose result is known.
func (t *tx) functionV1(op *api.Op, o *owned, ver api.Version, made *api.Step) api.Entry {
	if made.Changed {
		t.put(op.Key, value{version: ver, data: made.Value})
	} else {
		ver, _, _ = t.state(op.Key, o)
	}
	e := api.Entry{Key: op.Key, Version: ver, Exists: true}
	if op.Kind == api.OpAdd {
		e.Value = slices.Clone(made.Value)
	}
	return e
}

// removeV1 makes the key absent and returns the version of its absence. A key that is absent already stays as it is, but a key
// that never existed is recorded as absent from then on.
func (t *tx) removeV1(k api.Key, o *owned, ver api.Version) api.Version {
	if !t.remove(k) {
		if old := t.absence(k, o); !old.IsZero() {
			return old
		}
	}
	t.delTombstone(k)
	t.addTombstone(k, ver)
	return ver
}

// draftV1 is the state of a key while a branch is evaluated.
type draftV1 struct {
	api.Step
	version api.Version
	wrote   bool // a step changed it
}

// draftsV1 computes the effect of a branch's steps at the index without applying it. It returns an entry for each step, as
// executeV1 does, and the change of each key that is written. The group owns the keys.
func (v *view) draftsV1(branch []api.Op, index uint64) (entries []api.Entry, made map[api.Key]change, err *api.Error) {
	now := make(map[api.Key]*draftV1, len(branch))
	for i := range branch {
		op := &branch[i]
		o, _ := v.shardOf(op.Key)
		d, ok := now[op.Key]
		if !ok {
			d = &draftV1{}
			d.version, d.Value, d.Exists = v.state(op.Key, o)
			now[op.Key] = d
		}
		step, bad := op.On(d.Value, d.Exists)
		if bad != nil {
			return nil, nil, v.impossible(op, bad)
		}
		// A key that never existed is recorded as absent once it has been deleted.
		if step.Changed || op.Kind == api.OpDelete && d.version.IsZero() {
			d.wrote, d.version = true, api.Version{Epoch: o.Epoch, Index: index}
		}
		d.Step = step
		entries = append(entries, d.entry(op))
	}
	made = make(map[api.Key]change, len(now))
	for k, d := range now {
		made[k] = changeTo(d.wrote, d.version, &d.Step)
	}
	return entries, made, nil
}

// entry returns the step's entry in the result.
func (d *draftV1) entry(op *api.Op) api.Entry {
	e := api.Entry{Key: op.Key, Version: d.version, Exists: d.Exists}
	if op.Answers() {
		e.Value = slices.Clone(d.Value)
	}
	return e
}

// outcomesV1 adds what is kept of the entries: no value but the sum of an add.
func outcomesV1(to []Outcome, branch []api.Op, entries []api.Entry) []Outcome {
	for i := range entries {
		o := Outcome{Version: entries[i].Version, Exists: entries[i].Exists}
		if i < len(branch) && branch[i].Kind == api.OpAdd {
			o.Value = entries[i].Value
		}
		to = append(to, o)
	}
	return to
}
