package model

import (
	"fmt"
	"hash/maphash"
	"slices"
)

// system is a small protocol: states, the steps between them, and what must never happen. A state is a value without pointers.
// Equal values are the same state.
type system[S comparable] interface {
	start() S
	// steps calls to with every state that may follow s, always in the same order.
	steps(s S, to func(act, S))
	// wrong returns the invariant that s breaks and how, or "" if it breaks none.
	wrong(s S) string
}

// act identifies a step. It is turned into text only in a trace.
type act struct {
	format string
	args   [3]uint8
	n      int
}

func does(format string, args ...uint8) act {
	a := act{format: format, n: len(args)}
	copy(a.args[:], args)
	return a
}

func (a act) String() string {
	args := make([]any, a.n)
	for i := range args {
		args[i] = a.args[i]
	}
	return fmt.Sprintf(a.format, args...)
}

// result is the result of a search.
type result struct {
	states   int
	depth    int    // of the last state that was visited
	wrong    string // "" if no state is wrong
	trace    []string
	complete bool // every reachable state was visited
}

// explore visits every reachable state, breadth first, until one is wrong. The trace to that state is then a shortest one. It
// gives up after limit states. States are stored and compared completely, not by hash.
func explore[S comparable](sys system[S], limit int) result {
	v := newVisited[S]()
	v.add(sys.start(), 0)
	depth, level := 0, 1
	for i := 0; i < v.n; i++ {
		if i == level {
			depth++
			level = v.n
		}
		s := *v.at(i)
		if w := sys.wrong(s); w != "" {
			return result{states: v.n, depth: depth, wrong: w, trace: trace(sys, v, i)}
		}
		if v.n > limit {
			return result{states: v.n, depth: depth}
		}
		sys.steps(s, func(_ act, next S) { v.add(next, i) })
	}
	return result{states: v.n, depth: depth, complete: true}
}

// trace returns the steps from the start to state i.
func trace[S comparable](sys system[S], v *visited[S], i int) []string {
	var names []string
	for i != 0 {
		from, to := v.parents[i], *v.at(i)
		name := ""
		sys.steps(*v.at(int(from)), func(a act, next S) {
			if name == "" && next == to {
				name = a.String()
			}
		})
		names = append(names, name)
		i = int(from)
	}
	slices.Reverse(names)
	return names
}

// visited is the set of states visited so far, in the order of the visits. It never moves a state, because it may hold tens of
// millions.
type visited[S comparable] struct {
	seed    maphash.Seed
	chunks  [][]S
	parents []uint32
	slots   []slot // open addressing
	n       int
}

// slot is the place of one state: a part of its hash, so that most other states need not be compared, and its number plus one. 0
// is free.
type slot struct{ hash, state uint32 }

const chunk = 1 << 16

func newVisited[S comparable]() *visited[S] {
	return &visited[S]{seed: maphash.MakeSeed(), slots: make([]slot, 1<<12)}
}

func (v *visited[S]) at(i int) *S { return &v.chunks[i/chunk][i%chunk] }

// add adds s, reached from the state with the number parent, unless s is there already.
func (v *visited[S]) add(s S, parent int) {
	hash := uint32(maphash.Comparable(v.seed, s))
	mask := len(v.slots) - 1
	at := int(hash) & mask
	for ; v.slots[at].state != 0; at = (at + 1) & mask {
		if found := v.slots[at]; found.hash == hash && *v.at(int(found.state - 1)) == s {
			return
		}
	}
	if v.n%chunk == 0 {
		v.chunks = append(v.chunks, make([]S, chunk))
	}
	*v.at(v.n) = s
	v.parents = append(v.parents, uint32(parent))
	v.n++
	v.slots[at] = slot{hash, uint32(v.n)}
	if v.n*2 > len(v.slots) {
		v.grow()
	}
}

func (v *visited[S]) grow() {
	old := v.slots
	v.slots = make([]slot, 2*len(old))
	mask := len(v.slots) - 1
	for _, s := range old {
		if s.state == 0 {
			continue
		}
		at := int(s.hash) & mask
		for v.slots[at].state != 0 {
			at = (at + 1) & mask
		}
		v.slots[at] = s
	}
}
