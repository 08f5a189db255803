package history

import (
	"fmt"
	"slices"
)

// unplaced is a write that must have happened, since its transaction has, but whose version was not seen.
type unplaced struct {
	access
	key *keyTxns
}

// half looks for a transaction of which one write happened and another cannot have: wherever its version might stand among
// those of its key, a transaction that must come after it saw an older one, or one that must come before it a newer one.
// The graph has no cycle.
func (g *graph) half() *Anomaly {
	var missing []unplaced
	for _, k := range g.keys {
		if slices.ContainsFunc(k.states, func(s keyState) bool { return s.maker == hidden }) {
			continue // it may have been seen
		}
		for _, m := range k.maybe {
			if g.happened[m.txn] && !k.used[m.txn] && m.step.leavesValue() {
				missing = append(missing, unplaced{m, k})
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	component, _ := g.components(ww | wr | rw | rt)
	order := make([]int32, g.nodes) // what comes first, first
	for n, c := range component {
		order[g.nodes-1-c] = int32(n)
	}
	for len(missing) > 0 {
		n := min(64, len(missing))
		if a := g.placeAll(missing[:n], order); a != nil {
			return a
		}
		missing = missing[n:]
	}
	return nil
}

// placeAll looks for a place for each of up to 64 writes: a bit for each says which nodes come after it, and which before.
func (g *graph) placeAll(missing []unplaced, order []int32) *Anomaly {
	after, before := make([]uint64, g.nodes), make([]uint64, g.nodes)
	for i, m := range missing {
		after[m.txn] |= 1 << i
		before[m.txn] |= 1 << i
	}
	for _, n := range order {
		for _, e := range g.after(n) {
			after[e.to] |= after[n]
		}
	}
	for _, n := range slices.Backward(order) {
		for _, e := range g.after(n) {
			before[n] |= before[e.to]
		}
	}
	for i, m := range missing {
		if witness := g.place(m, after, before, 1<<i); witness != nil {
			what := fmt.Sprintf("one of its writes was seen, but that of %q cannot have happened: T2 comes after it and saw an older version", string(m.key.key))
			return anomaly("half", what, &g.txns[m.txn], witness)
		}
	}
	return nil
}

// place returns nil if there is a place for the write, else a transaction behind it that saw what it must have replaced.
func (g *graph) place(m unplaced, after, before []uint64, bit uint64) *Txn {
	states := m.key.states
	low := 0 // the first state that it can have replaced
	for i := range states {
		for _, n := range g.touching(&states[i]) {
			if before[n]&bit != 0 && n != m.txn {
				low = i
			}
		}
	}
	for i := low; i < len(states); i++ {
		if m.key.divisible(&states[i]) {
			return nil
		}
		for _, n := range g.touching(&states[i]) {
			if after[n]&bit != 0 && n != m.txn {
				return &g.txns[n]
			}
		}
		// Nothing comes between a state and one whose maker had seen it.
		if i+1 == len(states) || !states[i].seenBy(states[i+1].maker) {
			return nil
		}
	}
	return &g.txns[m.txn]
}

// divisible reports whether an absence may be two, with an unseen value between them that was deleted again.
func (k *keyTxns) divisible(s *keyState) bool {
	return !s.exists && (len(s.deletes) > 1 || slices.ContainsFunc(k.maybe, func(m access) bool { return m.step.Kind == Delete }))
}

// touching are the transactions that made or saw a state.
func (g *graph) touching(s *keyState) []int32 {
	nodes := make([]int32, 0, len(s.readers)+1)
	if s.maker >= 0 {
		nodes = append(nodes, s.maker)
	}
	for _, r := range s.readers {
		if g.happened[r.txn] {
			nodes = append(nodes, r.txn)
		}
	}
	return nodes
}
