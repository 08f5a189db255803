package history

import "github.com/edgehold/edgehold/api"

// Resolve gives operations of a protocol that does not tell all versions, those with Unversioned set, the versions that they saw and
// made and were not told, by the changes that became visible. Then the judges hold them to the same as all others. A value stands for its version, since no value
// is written twice. An absence is taken for the newest one that was visible when the operation returned, or that another operation was
// told before it was called: a delete of a key that never was is no change. So it is not older than the one that was seen, and what
// comes later sees none that is older. A value that is in no change gets no version: the judges find fault with it.
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
	told := map[api.Key][]*Op{}
	for i := range ops {
		if o := &ops[i]; !o.Unversioned && o.Outcome == OK && (o.Kind == Delete || o.Kind == Get && !o.Result.Exists) {
			told[o.Key] = append(told[o.Key], o)
		}
	}
	for i := range ops {
		o := &ops[i]
		if !o.Unversioned {
			continue
		}
		if o.Expect.Exists && o.Expect.Version.IsZero() {
			o.Expect.Version = versions[made{o.Key, o.Expect.Value}]
		}
		switch {
		case o.Outcome != OK || !o.Result.Version.IsZero():
		case o.Kind != Get:
			o.Result.Version = versions[made{o.Key, o.Written}]
		case o.Result.Exists:
			o.Result.Version = versions[made{o.Key, o.Result.Value}]
		default:
			o.Result.Version = newestAbsence(o, gone[o.Key], told[o.Key])
		}
	}
}

func newestAbsence(o *Op, gone []*Change, told []*Op) (newest api.Version) {
	for _, c := range gone {
		if c.At <= o.Return && c.Version.Compare(newest) > 0 {
			newest = c.Version
		}
	}
	for _, t := range told {
		if t.Return < o.Call && t.Result.Version.Compare(newest) > 0 {
			newest = t.Result.Version
		}
	}
	return newest
}
