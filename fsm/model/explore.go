package model

import (
	"fmt"
	"hash/maphash"
	"slices"
)

// system is a protocol in small: states, the steps between them, and what must never be. A state is a value without
// pointers; equal states are one state.
type system[S comparable] interface {
	start() S
	// steps calls to with every state that may follow s, always in the same order.
	steps(s S, to func(act, S))
	// wrong names the invariant that s breaks, and how; "" for none.
	wrong(s S) string
}

// act names a step. It becomes text only in a trace.
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

// result is what a search has found.
type result struct {
	states   int
	depth    int    // of the last state that was looked at
	wrong    string // "" if no state is wrong
	trace    []string
	complete bool // every state that can be reached was looked at
}

// explore looks at every state that can be reached, in breadth, until one is wrong; the trace to it is then a shortest one.
// It gives up beyond limit states. States are kept and compared as a whole, not by hash.
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
	var told []string
	for i != 0 {
		from, to := v.parents[i], *v.at(i)
		name := ""
		sys.steps(*v.at(int(from)), func(a act, next S) {
			if name == "" && next == to {
				name = a.String()
			}
		})
		told = append(told, name)
		i = int(from)
	}
	slices.Reverse(told)
	return told
}

// visited is the set of states met so far, in the order in which they were met. It never moves a state: it may hold tens
// of millions.
type visited[S comparable] struct {
	seed    maphash.Seed
	chunks  [][]S
	parents []uint32
	slots   []slot // open addressing
	n       int
}

// slot is one state's place: part of its hash, so that others need not be looked at, and one more than its number; 0 is
// free.
type slot struct{ hash, state uint32 }

const chunk = 1 << 16

func newVisited[S comparable]() *visited[S] {
	return &visited[S]{seed: maphash.MakeSeed(), slots: make([]slot, 1<<12)}
}

func (v *visited[S]) at(i int) *S { return &v.chunks[i/chunk][i%chunk] }

// add adds s, reached from the state with the number parent, unless it is there already.
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
