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
