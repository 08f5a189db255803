package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

// access is one step and the transaction that took it.
type access struct {
	txn  int32 // its place in the history
	step *Step
}

// keyTxns is what the transactions of a history did to one key.
type keyTxns struct {
	key  api.Key
	txns []Txn

	made  []access // writes of transactions that happened
	maybe []access // writes of transactions with an unknown outcome
	saw   []access // reads from outside; those of unknown transactions were answered too
	never []access // writes that no other may see: of failed transactions, or overwritten by their own
	used  map[int32]bool
	// states are the states of the key, oldest first; the first is absence before any write.
	states []keyState
}

// keyState is a state that the key had, from one write that changed it to the next. An absence may be seen at several
// versions, since it grows older when tombstones are trimmed.
type keyState struct {
	exists  bool
	value   string
	known   bool        // value is known
	version api.Version // of an absence: the oldest known
	maker   int32       // noMaker, hidden or a place in the history
	by      *Step       // the maker's, if there is one
	readers []access
	deletes []access // deletes that ended OK in this absence: one of them may have made it
}

// seenBy reports whether the transaction saw the state from outside.
func (s *keyState) seenBy(txn int32) bool {
	return slices.ContainsFunc(s.readers, func(r access) bool { return r.txn == txn })
}

// Makers that are no transaction of the history.
const (
	noMaker int32 = -1 // absence before any write
	hidden  int32 = -2 // one of several unknown transactions: it is not known which
)

// collect sorts the steps of a history by key, in the order of the keys.
func collect(txns []Txn) ([]*keyTxns, *Anomaly) {
	byKey := map[api.Key]*keyTxns{}
	at := func(key api.Key) *keyTxns {
		k := byKey[key]
		if k == nil {
			k = &keyTxns{key: key, txns: txns, used: map[int32]bool{}}
			byKey[key] = k
		}
		return k
	}
	for i := range txns {
		t := &txns[i]
		if t.Outcome == OK && t.Return < t.Call {
			return nil, anomaly("unusable history", "a transaction returned before it was called", t)
		}
		if a := t.collect(int32(i), at); a != nil {
			return nil, a
		}
	}
	keys := make([]*keyTxns, 0, len(byKey))
	for _, k := range byKey {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b *keyTxns) int { return cmp.Compare(a.key, b.key) })
	return keys, nil
}

// collect hands the steps of t to their keys, after a look at what t must see of its own writes.
func (t *Txn) collect(place int32, at func(api.Key) *keyTxns) *Anomaly {
	for i := range t.Steps {
		s := &t.Steps[i]
		own := t.ownBefore(i)
		k := at(s.Key)
		switch {
		case s.Kind < Get || s.Kind > Append || s.Kind == CAS:
			return anomaly("unusable history", fmt.Sprintf("step %d is none of a transaction", i), t)
		case s.Kind == Get && own != nil:
			if t.Outcome != Failed && !showsOwn(own, s.State) {
				return anomaly("internal", fmt.Sprintf("a transaction did not see its own write of %q", string(s.Key)), t)
			}
		case s.Kind == Get:
			if t.Outcome != Failed {
				k.saw = append(k.saw, access{place, s})
			}
		case t.Outcome == Failed || t.overwrites(i):
			k.never = append(k.never, access{place, s})
		case t.Outcome == Unknown:
			k.maybe = append(k.maybe, access{place, s})
		case s.State.Version.IsZero():
			return anomaly("unusable history", fmt.Sprintf("an acknowledged write of %q has no version", string(s.Key)), t)
		default:
			k.made = append(k.made, access{place, s})
		}
	}
	return nil
}

// ownBefore is the last write before step i of the same key; nil if there is none.
func (t *Txn) ownBefore(i int) *Step {
	for j := i - 1; j >= 0; j-- {
		if s := &t.Steps[j]; s.Key == t.Steps[i].Key && s.writes() {
			return s
		}
	}
	return nil
}

// overwrites reports whether a later step writes the key of step i again.
func (t *Txn) overwrites(i int) bool {
	for j := i + 1; j < len(t.Steps); j++ {
		if s := &t.Steps[j]; s.Key == t.Steps[i].Key && s.writes() {
			return true
		}
	}
	return false
}

// showsOwn reports whether a read can have seen what own left.
func showsOwn(own *Step, saw State) bool {
	switch own.Kind {
	case Delete:
		return !saw.Exists
	case Put:
		return saw.Exists && saw.Value == own.State.Value
	}
	return saw.Exists && (own.State.Value == "" || own.State.Value == saw.Value)
}

// arrange finds the key's states, their order, and the transaction that made each.
func (k *keyTxns) arrange() *Anomaly {
	values, a := k.values()
	if a != nil {
		return a
	}
	for i := range values {
		s := &values[i]
		if s.by == nil {
			if a := k.attribute(s); a != nil {
				return a
			}
		}
		if s.maker >= 0 && s.seenBy(s.maker) {
			return anomaly("internal", fmt.Sprintf("a transaction saw its own write of %q before it wrote it", string(k.key)), k.txn(s.maker))
		}
	}
	absences, a := k.absences(values)
	if a != nil {
		return a
	}
	for i := range absences {
		if s := &absences[i]; i == 0 || len(s.readers)+len(s.deletes) > 0 {
			if a := k.attributeAbsence(s, i == 0); a != nil {
				return a
			}
			k.states = append(k.states, *s)
		}
		if i < len(values) {
			k.states = append(k.states, values[i])
		}
	}
	return nil
}

// values returns the states in which the key exists, by version. States known from readers alone have no maker yet.
func (k *keyTxns) values() ([]keyState, *Anomaly) {
	byVersion := map[api.Version]*keyState{}
	for _, m := range k.made {
		v := m.step.State.Version
		before := byVersion[v]
		switch {
		case before == nil:
			byVersion[v] = &keyState{exists: m.step.leavesValue(), value: m.step.State.Value, version: v, maker: m.txn, by: m.step,
				known: m.step.Kind == Put || m.step.State.Value != ""}
		case before.exists || m.step.leavesValue():
			return nil, anomaly("duplicate version", fmt.Sprintf("two transactions made version %v of %q", v, string(k.key)), k.txn(before.maker), k.txn(m.txn))
		}
	}
	for _, r := range k.saw {
		saw := r.step.State
		s := byVersion[saw.Version]
		if s == nil && saw.Exists {
			s = &keyState{exists: true, version: saw.Version, maker: hidden}
			byVersion[saw.Version] = s
		}
		if s != nil && s.exists != saw.Exists || s != nil && s.known && saw.Exists && s.value != saw.Value {
			return nil, k.twoStates(s, r)
		}
		if saw.Exists {
			s.value, s.known = saw.Value, true
			s.readers = append(s.readers, r)
		}
	}
	values := make([]keyState, 0, len(byVersion))
	for _, s := range byVersion {
		if s.exists {
			values = append(values, *s)
		}
	}
	slices.SortFunc(values, func(a, b keyState) int { return a.version.Compare(b.version) })
	return values, nil
}

func (k *keyTxns) twoStates(s *keyState, r access) *Anomaly {
	shown := []*Txn{}
	if s.by != nil {
		shown = append(shown, k.txn(s.maker))
	} else if len(s.readers) > 0 {
		shown = append(shown, k.txn(s.readers[0].txn))
	}
	return anomaly("two states", fmt.Sprintf("version %v of %q has two states", s.version, string(k.key)), append(shown, k.txn(r.txn))...)
}

func (k *keyTxns) txn(place int32) *Txn { return &k.txns[place] }

// attribute finds the transaction of unknown outcome that made a value which was seen.
func (k *keyTxns) attribute(s *keyState) *Anomaly {
	made, n := k.candidates(s, func(w *Step) bool {
		switch w.Kind {
		case Put:
			return w.State.Value == s.value
		case Append:
			return strings.HasSuffix(s.value, w.Arg)
		}
		return w.Kind == Add
	})
	if n == 0 {
		return k.unwritten(s)
	}
	if n == 1 {
		s.maker, s.by = made.txn, made.step
		k.used[made.txn] = true
	}
	return nil
}

// candidates counts the unknown transactions that may have made a state, and returns one.
func (k *keyTxns) candidates(s *keyState, fits func(*Step) bool) (one access, n int) {
	seen := k.firstSeen(s)
	for _, m := range k.maybe {
		if fits(m.step) && !k.used[m.txn] && k.txn(m.txn).Call <= seen && !s.seenBy(m.txn) {
			one = m
			n++
		}
	}
	return one, n
}

// firstSeen is by when the state had certainly been there.
func (k *keyTxns) firstSeen(s *keyState) time.Duration {
	first := forever
	for _, as := range [2][]access{s.readers, s.deletes} {
		for _, a := range as {
			first = min(first, k.txn(a.txn).end())
		}
	}
	return first
}

// unwritten returns the anomaly of a value that no transaction can have left.
func (k *keyTxns) unwritten(s *keyState) *Anomaly {
	reader := k.txn(s.readers[0].txn)
	for _, w := range k.never {
		if w.step.Kind != Put || w.step.State.Value != s.value {
			continue
		}
		writer := k.txn(w.txn)
		if writer.Outcome == Failed {
			return anomaly("G1a (aborted read)", fmt.Sprintf("%q was seen as left by a transaction that did not happen", string(k.key)), writer, reader)
		}
		return anomaly("G1b (intermediate read)", fmt.Sprintf("%q was seen with a value that its transaction overwrote itself", string(k.key)), writer, reader)
	}
	for _, w := range slices.Concat(k.made, k.maybe) {
		if w.step.Kind == Put && w.step.State.Value == s.value && (k.used[w.txn] || k.txn(w.txn).Outcome == OK) {
			return anomaly("taken twice", fmt.Sprintf("one write of %q shows at two versions", string(k.key)), k.txn(w.txn), reader)
		}
	}
	return anomaly("G1a (unwritten read)", fmt.Sprintf("%q was seen at version %v, which no transaction can have made by then", string(k.key), s.version), reader)
}
