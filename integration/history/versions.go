package history

import (
	"cmp"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// Versions judges by the version that came with every answer, in n log n: tens of millions of operations in seconds. It
// returns nil or a *[Violation]. It holds the store to this, key by key:
//
//   - a read, or a refused CAS, sees no version older than one that was acknowledged or seen before it was called;
//   - a write makes a version newer than those, and newer than the state that its condition named, with no other
//     write known in between (a lost update);
//   - what is read was written, by a write that was called before the read returned and was not reported as failed;
//   - one version is one state, and one write.
//
// Deletes are held to less, unless their answers say that they removed a value: to delete what is absent changes nothing and makes no
// version. A counter is held to [Counters] too, and a number that an Add made counts as seen.
func Versions(ops []Op) error {
	for _, part := range byKey(ops) {
		if isCounter(part) {
			if v := countedVersions(part); v != nil {
				return v
			}
			continue
		}
		k := &keyVersions{byValue: map[string]*Op{}, states: map[api.Version]*versionState{}}
		for _, judge := range []func([]*Op) *Violation{k.collectWrites, k.collectReads, k.updates, k.freshness} {
			if v := judge(part); v != nil {
				return v
			}
		}
	}
	return nil
}

// keyVersions is what is known of one key's versions.
type keyVersions struct {
	byValue map[string]*Op
	states  map[api.Version]*versionState
	// lostDelete: a delete has an unknown outcome, so that the key may have been absent between any two versions.
	lostDelete bool
}

// versionState is one version: the state of the key, the write that made it, and the operation that saw it first.
type versionState struct {
	exists bool
	value  string
	writer *Op // nil: not known (an absence)
	seen   *Op
}

func (k *keyVersions) collectWrites(ops []*Op) *Violation {
	for _, o := range ops {
		if o.Outcome == OK && o.Return < o.Call {
			return violation(o.Key, "the history is unusable: an operation returned before it was called", o)
		}
		if o.Kind == Put || o.Kind == CAS {
			if w := k.byValue[o.Written]; w != nil {
				return violation(o.Key, "the history is unusable: a value was written twice", w, o)
			}
			k.byValue[o.Written] = o
		}
		k.lostDelete = k.lostDelete || !o.leavesValue() && o.Outcome == Unknown
		if !o.wrote() {
			continue
		}
		v := o.Result.Version
		s := k.states[v]
		switch {
		case v.IsZero() && o.leavesValue():
			return violation(o.Key, "a write was acknowledged with the version of a key never written", o)
		case v.IsZero() && o.removed():
			return violation(o.Key, "a delete was acknowledged as one of a value, but no change is its", o)
		case s == nil:
			k.states[v] = &versionState{exists: o.leavesValue(), value: o.Written, writer: o, seen: o}
		case s.exists || o.leavesValue(), s.writer.removed() && o.removed():
			return violation(o.Key, "two writes made one version", s.writer, o)
		}
	}
	return nil
}

func (k *keyVersions) collectReads(ops []*Op) *Violation {
	for _, o := range ops {
		if o.Kind != Get || o.Outcome != OK {
			continue
		}
		if v := k.read(o); v != nil {
			return v
		}
	}
	return nil
}

// read checks what one read saw, by itself.
func (k *keyVersions) read(o *Op) *Violation {
	r := o.Result
	s := k.states[r.Version]
	switch {
	case s != nil && s.exists != r.Exists, s != nil && s.exists && s.value != r.Value:
		return violation(o.Key, "one version was seen with two states", s.seen, o)
	case !r.Exists:
		if s == nil && !r.Version.IsZero() {
			k.states[r.Version] = &versionState{seen: o}
		}
		return nil
	}
	w := k.byValue[r.Value]
	switch {
	case w == nil:
		return violation(o.Key, "a value was read that no operation wrote", o)
	case w.Outcome == Failed || w.Refused:
		return violation(o.Key, "a write that was reported as not applied was read", w, o)
	case w.Outcome == OK && w.Result.Version != r.Version:
		return violation(o.Key, "a value was read at another version than its write made", w, o)
	case w.Call > o.Return:
		return violation(o.Key, "a value was seen before it was written", o, w)
	case s == nil:
		k.states[r.Version] = &versionState{exists: true, value: r.Value, writer: w, seen: o}
	}
	return nil
}

// updates checks that a CAS followed right after the state that it asked for.
func (k *keyVersions) updates(ops []*Op) *Violation {
	order := make([]api.Version, 0, len(k.states))
	for v := range k.states {
		order = append(order, v)
	}
	slices.SortFunc(order, api.Version.Compare)
	for _, o := range ops {
		if !o.conditional() || o.Outcome != OK {
			continue
		}
		if o.Refused {
			if o.Expect.Exists && o.Result.Version == o.Expect.Version && !o.Result.Version.IsZero() {
				return violation(o.Key, "a CAS was refused though its condition held", o)
			}
			continue
		}
		i, _ := slices.BinarySearchFunc(order, o.Result.Version, api.Version.Compare)
		switch {
		case o.Expect.Exists && o.Result.Version.Compare(o.Expect.Version) <= 0:
			return violation(o.Key, "a CAS made a version that is not newer than the one it asked for", o)
		case i == 0:
		case o.Expect.Exists && order[i-1] != o.Expect.Version:
			if between := k.states[order[i-1]]; order[i-1].Compare(o.Expect.Version) > 0 {
				return violation(o.Key, "a lost update: a write lies between a CAS and the version that it asked for", between.seen, o)
			}
		case !o.Expect.Exists && !k.lostDelete && k.states[order[i-1]].exists:
			return violation(o.Key, "a CAS that asked for absence followed right after a value", k.states[order[i-1]].seen, o)
		}
	}
	return nil
}

// freshness goes through time once: at each call, no answer may be older than the newest that had returned before.
func (k *keyVersions) freshness(ops []*Op) *Violation {
	answered := make([]*Op, 0, len(ops)) // what shows a version, by return
	for _, o := range ops {
		if o.Outcome == OK {
			answered = append(answered, o)
		}
	}
	slices.SortFunc(answered, func(a, b *Op) int { return cmp.Compare(a.Return, b.Return) })
	calls := slices.Clone(ops)
	slices.SortFunc(calls, func(a, b *Op) int { return cmp.Compare(a.Call, b.Call) })
	made := k.madeByUnknown()
	var newest api.Version
	var by *Op
	next := 0
	for _, o := range calls {
		for ; next < len(answered) && answered[next].Return < o.Call; next++ {
			if a := answered[next]; a.Result.Version.Compare(newest) > 0 {
				newest, by = a.Result.Version, a
			}
		}
		if by == nil {
			continue
		}
		if v := staleness(o, made, newest, by); v != nil {
			return v
		}
	}
	return nil
}

// madeByUnknown returns the versions of unknown writes, as far as they were seen: the oldest, if a write was seen at several.
func (k *keyVersions) madeByUnknown() map[*Op]api.Version {
	made := map[*Op]api.Version{}
	for v, s := range k.states {
		if s.writer == nil || s.writer.Outcome != Unknown {
			continue
		}
		if oldest, known := made[s.writer]; !known || v.Compare(oldest) < 0 {
			made[s.writer] = v
		}
	}
	return made
}

func staleness(o *Op, made map[*Op]api.Version, newest api.Version, by *Op) *Violation {
	if o.Outcome == Unknown {
		if v, seen := made[o]; seen && v.Compare(newest) <= 0 {
			return violation(o.Key, "a write made a version that is not newer than one that had returned before it was called", by, o)
		}
		return nil
	}
	if o.Outcome != OK {
		return nil
	}
	if o.Refused && o.Unversioned && o.Result.Version.IsZero() {
		return nil // it says nothing of versions
	}
	switch c := o.Result.Version.Compare(newest); {
	case c < 0 && !o.wrote():
		return violation(o.Key, "a stale read: it is older than what had returned before it was called", by, o)
	case c < 0, c == 0 && o.wrote() && (o.leavesValue() || o.removed()):
		return violation(o.Key, "a write made a version that is not newer than one that had returned before it was called", by, o)
	}
	return nil
}
