package history

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// absences are the states in which the key does not exist: one before each value and one behind the last, seen or not.
func (k *keyTxns) absences(values []keyState) ([]keyState, *Anomaly) {
	absences := make([]keyState, len(values)+1)
	for i := range absences {
		absences[i] = keyState{maker: noMaker, known: true, version: api.Version{Epoch: math.MaxUint64, Index: math.MaxUint64}}
	}
	place := func(v api.Version) (*keyState, *keyState) {
		i, at := slices.BinarySearchFunc(values, v, func(s keyState, v api.Version) int { return s.version.Compare(v) })
		if at {
			return nil, &values[i]
		}
		s := &absences[i]
		if v.Compare(s.version) < 0 {
			s.version = v
		}
		return s, nil
	}
	for _, m := range k.made {
		if m.step.leavesValue() {
			continue
		}
		s, _ := place(m.step.State.Version)
		s.deletes = append(s.deletes, m)
	}
	for _, r := range k.saw {
		if r.step.State.Exists {
			continue
		}
		s, value := place(r.step.State.Version)
		if s == nil {
			return nil, k.twoStates(value, r)
		}
		s.readers = append(s.readers, r)
	}
	return absences, nil
}

// attributeAbsence finds the delete that made an absence. A delete of an absent key changes nothing, so of several deletes only
// one made it: one that had seen a value. If none had, the maker is hidden, and all of them come after it.
func (k *keyTxns) attributeAbsence(s *keyState, first bool) *Anomaly {
	if first {
		s.version = api.Version{}
		s.readers = append(s.readers, s.deletes...)
		return nil
	}
	one, lost := k.candidates(s, func(w *Step) bool { return w.Kind == Delete })
	var oldest []access
	certain := false
	for _, d := range s.deletes {
		if d.step.State.Version != s.version || certain {
			continue
		}
		if before, looked := k.txn(d.txn).sees(k.key); looked && before.Exists {
			oldest, certain = []access{d}, true
		} else if !looked {
			oldest = append(oldest, d)
		}
	}
	s.maker = hidden
	switch {
	case certain || len(oldest) == 1 && lost == 0:
		s.maker, s.by = oldest[0].txn, oldest[0].step
	case len(oldest) == 0 && lost == 1:
		s.maker, s.by = one.txn, one.step
		k.used[one.txn] = true
	case len(oldest) == 0 && lost == 0:
		first := append(s.readers, s.deletes...)[0]
		return anomaly("G1a (unwritten read)", fmt.Sprintf("%q was absent at version %v, but no transaction can have deleted it by then", string(k.key), s.version), k.txn(first.txn))
	}
	for _, d := range s.deletes {
		if d.txn != s.maker {
			s.readers = append(s.readers, d)
		}
	}
	return nil
}
