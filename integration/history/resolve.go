package history

import (
	"cmp"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// Resolve gives operations of a protocol that does not tell all versions, those with Unversioned set, the versions that they saw and
// made and were not told, by the changes that became visible. Then the judges hold them to the same as all others.
//
//   - A value stands for its version, since no value is written twice; so does a counter's number that an Add made.
//   - An absence is taken for the newest one that was visible when the operation returned, or that another operation was told before
//     it was called: a delete of a key that never was is no change. So it is not older than the one that was seen, and what comes later
//     sees none that is older.
//   - What removed a value made an absence that became visible while it was under way, and no two made the same.
//   - A Delete with a version, and with nothing said of what it found, was told that of its transaction: it removed a value if the key
//     ended at that version.
//
// A value, or a removal, that is in no change gets no version: the judges find fault with it. So do they with an acknowledged write that
// no change shows.
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
		case o.Outcome != OK || o.Refused:
		case o.Kind == Delete && o.Found == Untold:
			resolveDelete(o, gone[o.Key], told[o.Key])
		case !o.Result.Version.IsZero():
		case o.Found == FoundNothing, o.Kind == Get && !o.Result.Exists:
			o.Result.Version = newestAbsence(o, gone[o.Key], told[o.Key])
		case o.Kind == Get, o.Kind == Add && o.Result.Exists:
			o.Result.Version = versions[made{o.Key, o.Result.Value}]
		case o.leavesValue():
			o.Result.Version = versions[made{o.Key, o.Written}]
		}
	}
	resolveRemovals(ops, gone)
}

// resolveDelete resolves a Delete that was told the version of its transaction: it removed a value if the key ended at that version, and
// else has met an absence.
func resolveDelete(o *Op, gone []*Change, told []*Op) {
	o.Found = FoundNothing
	if slices.ContainsFunc(gone, func(c *Change) bool { return c.Version == o.Result.Version && !o.Result.Version.IsZero() }) {
		o.Found = FoundValue
		return
	}
	o.Result.Version = newestAbsence(o, gone, told)
}

// resolveRemovals gives each operation that removed a value, and was not told at which version, an absence of its own that became
// visible while the operation was under way. If there are several, it takes them in their order, each for the operation that must end
// first: so each operation has one, if that is possible. Any of these is true: no operation that returned before saw it, and all that
// begin later see nothing older. One for which there is none has changed nothing, and has no version.
func resolveRemovals(ops []Op, gone map[api.Key][]*Change) {
	open := map[api.Key][]*Op{}
	taken := map[keyAt]bool{}
	for i := range ops {
		switch o := &ops[i]; {
		case !o.Unversioned || !o.wrote() || o.leavesValue() || !o.removed():
		case o.Result.Version.IsZero():
			open[o.Key] = append(open[o.Key], o)
		default:
			taken[keyAt{o.Key, o.Result.Version}] = true
		}
	}
	for key, of := range open {
		slices.SortStableFunc(of, func(a, b *Op) int { return cmp.Compare(a.Return, b.Return) })
		absences := slices.Clone(gone[key])
		slices.SortStableFunc(absences, func(a, b *Change) int { return cmp.Compare(a.At, b.At) })
		for _, c := range absences {
			n := slices.IndexFunc(of, func(o *Op) bool { return o.Result.Version.IsZero() && o.Call <= c.At && c.At <= o.Return })
			if n >= 0 && c.Kind == api.EventDelete && !taken[keyAt{key, c.Version}] {
				of[n].Result.Version = c.Version
			}
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
