package history

import "github.com/edgehold/edgehold/api"

// Once reports whether no write took effect twice: a write that was carried out again after its result was lost shows as
// one value at two versions. It returns nil or a *[Violation]. Linearizable does not always see that: if nothing came in
// between, the second time shows in the version alone.
func Once(ops []Op) error {
	for _, part := range byKey(ops) {
		first := map[string]*Op{}
		for _, o := range part {
			value, shown := shownValue(o)
			if !shown {
				continue
			}
			before := first[value]
			if before == nil {
				first[value] = o
			} else if shownVersion(before) != shownVersion(o) {
				return violation(o.Key, "a write took effect twice: its value stood at two versions", before, o)
			}
		}
	}
	return nil
}

// shownValue is the value that o ties to a version, as its writer or its reader.
func shownValue(o *Op) (value string, ok bool) {
	switch {
	case o.Outcome != OK:
		return "", false
	case o.Kind == Get:
		return o.Result.Value, o.Result.Exists
	case o.Kind == Add:
		return o.Result.Value, o.Result.Exists // a counter has each number once
	}
	return o.Written, o.wrote() && o.leavesValue()
}

func shownVersion(o *Op) api.Version { return o.Result.Version }
