package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
)

// evaluate carries the steps of a branch with functions out in thought, each on what the ones before left, and returns what
// each makes; nil where there is no function, since all else cannot fail. The group owns the keys.
func (v *view) evaluate(branch []api.Op) ([]api.Step, *api.Error) {
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
			e := api.AsError(err)
			o, _ := v.shardOf(op.Key)
			e.Version, _, _ = v.state(op.Key, o)
			return nil, e
		}
		now[op.Key] = made[i]
	}
	return made, nil
}

// draft is what a key holds on the way through a branch.
type draft struct {
	api.Step
	version api.Version
	wrote   bool // a step changed it
}

// drafts carries out the steps of a branch at the index in thought, and returns an entry for each, as execute does, and what
// becomes of each key that is written. The group owns the keys.
func (v *view) drafts(branch []api.Op, index uint64) (entries []api.Entry, made map[api.Key]change, err *api.Error) {
	now := make(map[api.Key]*draft, len(branch))
	for i := range branch {
		op := &branch[i]
		o, _ := v.shardOf(op.Key)
		d, ok := now[op.Key]
		if !ok {
			d = &draft{}
			d.version, d.Value, d.Exists = v.state(op.Key, o)
			now[op.Key] = d
		}
		step, bad := op.On(d.Value, d.Exists)
		if bad != nil {
			err = api.AsError(bad)
			err.Version, _, _ = v.state(op.Key, o)
			return nil, nil, err
		}
		// A key that was never there is there as an absence once it has been deleted.
		if step.Changed || op.Kind == api.OpDelete && d.version.IsZero() {
			d.wrote, d.version = true, api.Version{Epoch: o.Epoch, Index: index}
		}
		d.Step = step
		entries = append(entries, d.entry(op))
	}
	made = make(map[api.Key]change, len(now))
	for k, d := range now {
		made[k] = d.change()
	}
	return entries, made, nil
}

// entry is what the step's entry in the result is.
func (d *draft) entry(op *api.Op) api.Entry {
	e := api.Entry{Key: op.Key, Version: d.version, Exists: d.Exists}
	if op.Kind == api.OpGet || op.Kind == api.OpAdd {
		e.Value = slices.Clone(d.Value)
	}
	return e
}

func (d *draft) change() change {
	switch {
	case !d.wrote:
		return change{}
	case d.Exists:
		return change{changePut, d.version, d.Value}
	}
	return change{kind: changeDelete, version: d.version}
}

// tested refuses what does not hold.
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

// ownsAll refuses a part that names a key which is not the group's.
func (v *view) ownsAll(conds []api.Cond, branch []api.Op) *api.Error {
	for i := range conds {
		if _, err := v.owner(conds[i].Key); err != nil {
			return err
		}
	}
	for i := range branch {
		if _, err := v.owner(branch[i].Key); err != nil {
			return err
		}
	}
	return nil
}
