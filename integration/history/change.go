package history

import (
	"fmt"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Change is a change that became visible in a group, as the group's machines applied it. The changes of a history are in the order
// in which they became visible in their groups; those of one command stand together.
type Change struct {
	api.Event
	Group api.GroupID
	Index uint64        // of the command that made it visible
	At    time.Duration // when a machine applied it for the first time
	// Deadline is that of the key, in the time of the group; 0 if it has none.
	Deadline uint64
}

func (c *Change) String() string {
	return fmt.Sprintf("%v %q at version %v (%s, command %d, %v)", c.Kind, string(c.Key), c.Version, c.Group, c.Index, c.At)
}

// keyAt is what tells a change from all others.
type keyAt struct {
	key     api.Key
	version api.Version
}

// command is one command of one group.
type command struct {
	group api.GroupID
	index uint64
}

func (c *Change) command() command { return command{c.Group, c.Index} }

// changes are all changes, by what they are looked up by.
type changes struct {
	all    []Change
	named  map[keyAt]int
	of     map[api.Key][]int // in the order of their versions
	places map[int]int       // of a change in that list
	made   map[command][]int // by one command
}

func newChanges(all []Change) (*changes, error) {
	h := &changes{all: all, named: map[keyAt]int{}, of: map[api.Key][]int{}, places: map[int]int{}, made: map[command][]int{}}
	for i := range all {
		c := &all[i]
		n := keyAt{c.Key, c.Version}
		if before, ok := h.named[n]; ok {
			return nil, fmt.Errorf("the history has one version twice:\n\t%v\n\t%v", &all[before], c)
		}
		h.named[n] = i
		h.of[c.Key] = append(h.of[c.Key], i)
		h.made[c.command()] = append(h.made[c.command()], i)
	}
	for _, of := range h.of {
		slices.SortStableFunc(of, func(a, b int) int { return all[a].Version.Compare(all[b].Version) })
		for place, i := range of {
			h.places[i] = place
		}
	}
	return h, nil
}

// next returns the change of the same key after the i-th, or nil.
func (h *changes) next(i int) *Change {
	if of, place := h.of[h.all[i].Key], h.places[i]+1; place < len(of) {
		return &h.all[of[place]]
	}
	return nil
}

// before returns the change of the same key before the i-th, or nil.
func (h *changes) before(i int) *Change {
	if of, place := h.of[h.all[i].Key], h.places[i]-1; place >= 0 {
		return &h.all[of[place]]
	}
	return nil
}

// Kept reports whether the changes have every acknowledged write of the operations, once, as the client wrote it. It returns how many
// writes it has looked for.
func Kept(ops []Op, all []Change) (looked int, err error) {
	h, err := newChanges(all)
	if err != nil {
		return 0, err
	}
	for i := range ops {
		o := &ops[i]
		if !o.wrote() || !o.leavesValue() && !o.removed() { // the delete of an absent key is no change
			continue
		}
		looked++
		at, ok := h.named[keyAt{o.Key, o.Result.Version}]
		switch {
		case !ok:
			return looked, fmt.Errorf("an acknowledged write is not in the history: %v", o)
		case (h.all[at].Kind == api.EventPut) != o.leavesValue(), (o.Kind == Put || o.Kind == CAS) && string(h.all[at].Value) != o.Written:
			return looked, fmt.Errorf("a write is not in the history as it was written: %v\n\t%v", o, &h.all[at])
		}
	}
	return looked, nil
}

// WritesOf returns the acknowledged writes of transactions as operations, for [Kept] and [Watched].
func WritesOf(txns []Txn) (ops []Op) {
	for i := range txns {
		t := &txns[i]
		last := map[api.Key]int{} // of several writes to one key only the last leaves a version
		for j := range t.Steps {
			if t.Steps[j].writes() {
				last[t.Steps[j].Key] = j
			}
		}
		for j := range t.Steps {
			s := &t.Steps[j]
			if t.Outcome != OK || !s.writes() || last[s.Key] != j || s.Kind == Append && s.State.Version.IsZero() {
				continue
			}
			ops = append(ops, Op{Client: t.Client, Kind: s.Kind, Key: s.Key, Written: s.State.Value, Call: t.Call, Return: t.Return,
				Outcome: OK, Result: s.State})
		}
	}
	return ops
}
