package history

import (
	"cmp"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// Resolve gives operations of a protocol that tells no versions, those with Unversioned set, the versions that they saw and made, by
// the changes that became visible. Then the judges hold them to the same as all others. A value stands for its version, since no value
// is written twice. An absence is taken for the newest one that was visible when the operation returned, so that it is not older than
// the one that was seen. A value that is in no change gets no version: the judges find fault with it.
func Resolve(ops []Op, all []Change) {
	type made struct {
		key   api.Key
		value string
	}
	versions, gone := map[made]api.Version{}, map[api.Key][]*Change{}
	for i := range all {
		c := &all[i]
		if c.Kind == api.EventPut {
			versions[made{c.Key, string(c.Value)}] = c.Version
		} else {
			gone[c.Key] = append(gone[c.Key], c)
		}
	}
	for _, of := range gone {
		slices.SortStableFunc(of, func(a, b *Change) int { return cmp.Compare(a.At, b.At) })
	}
	for i := range ops {
		o := &ops[i]
		if !o.Unversioned {
			continue
		}
		if o.Expect.Exists {
			o.Expect.Version = versions[made{o.Key, o.Expect.Value}]
		}
		switch {
		case o.Outcome != OK:
		case o.Kind != Get:
			o.Result.Version = versions[made{o.Key, o.Written}]
		case o.Result.Exists:
			o.Result.Version = versions[made{o.Key, o.Result.Value}]
		default:
			for _, c := range gone[o.Key] {
				if c.At <= o.Return && c.Version.Compare(o.Result.Version) > 0 {
					o.Result.Version = c.Version
				}
			}
		}
	}
}
