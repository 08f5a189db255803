package history

import (
	"cmp"
	"slices"
	"time"
)

// kinds is a set of kinds of dependency.
type kinds uint8

const (
	ww kinds = 1 << iota // replaced what was written
	wr                   // saw what was written
	rw                   // replaced what was seen
	rt                   // had returned before the other was called
)

// dependency is an edge of the graph: from must come before to.
type dependency struct {
	from, to int32
	key      int32 // its place among the keys; of time: leaving, or 0
	state    int32 // the state that was written or seen
	kind     kinds
}

// leaving marks the edge of time from a transaction to the instant of its return.
const leaving = -1

// graph is what must come before what. Its nodes are the transactions of the history, in its order; behind them the hidden
// makers of states; behind these the instants at which transactions returned, each before the next: a transaction comes
// before the instant of its return, and the last instant before its call comes before it. So real time costs two edges a
// transaction, and not one for each pair.
type graph struct {
	txns     []Txn
	keys     []*keyTxns
	happened []bool

	edges    []dependency // sorted by from
	first    []int32      // by node: the index of its first edge
	instants int32        // the first node that is an instant
	nodes    int32
}

func newGraph(txns []Txn, keys []*keyTxns) *graph {
	g := &graph{txns: txns, keys: keys, happened: make([]bool, len(txns)), nodes: int32(len(txns))}
	for i := range txns {
		g.happened[i] = txns[i].Outcome == OK
	}
	for _, k := range keys {
		for i := range k.states {
			if m := k.states[i].maker; m >= 0 {
				g.happened[m] = true
			}
		}
	}
	for i := range keys {
		g.addKey(int32(i))
	}
	g.addTime()
	g.index()
	return g
}

func (g *graph) add(from, to, key, state int32, kind kinds) {
	if from != to {
		g.edges = append(g.edges, dependency{from, to, key, state, kind})
	}
}

// addKey adds what follows from the order of one key's states.
func (g *graph) addKey(key int32) {
	states := g.keys[key].states
	makers := make([]int32, len(states))
	for i := range states {
		if makers[i] = states[i].maker; makers[i] == hidden {
			makers[i] = g.nodes
			g.nodes++
		}
	}
	for i := range states {
		n := int32(i)
		last := i == len(states)-1
		if makers[i] != noMaker && !last {
			g.add(makers[i], makers[i+1], key, n, ww)
		}
		for _, r := range states[i].readers {
			if !g.happened[r.txn] {
				continue
			}
			if makers[i] != noMaker {
				g.add(makers[i], r.txn, key, n, wr)
			}
			if !last {
				g.add(r.txn, makers[i+1], key, n, rw)
			}
		}
	}
}

// addTime adds the instants.
func (g *graph) addTime() {
	g.instants = g.nodes
	calls := make([]int32, 0, len(g.txns))
	returns := make([]int32, 0, len(g.txns))
	for i := range g.txns {
		if !g.happened[i] {
			continue
		}
		calls = append(calls, int32(i))
		if g.txns[i].Outcome == OK {
			returns = append(returns, int32(i))
		}
	}
	slices.SortFunc(calls, func(a, b int32) int { return cmp.Compare(g.txns[a].Call, g.txns[b].Call) })
	slices.SortFunc(returns, func(a, b int32) int { return cmp.Compare(g.txns[a].Return, g.txns[b].Return) })
	next := 0
	var now time.Duration
	for _, c := range calls {
		for ; next < len(returns) && g.txns[returns[next]].Return < g.txns[c].Call; next++ {
			if at := g.txns[returns[next]].Return; g.nodes == g.instants || at > now {
				if now = at; g.nodes > g.instants {
					g.add(g.nodes-1, g.nodes, 0, 0, rt)
				}
				g.nodes++
			}
			g.add(returns[next], g.nodes-1, leaving, 0, rt)
		}
		if g.nodes > g.instants {
			g.add(g.nodes-1, c, 0, 0, rt)
		}
	}
}

// index sorts the edges by where they begin.
func (g *graph) index() {
	g.first = make([]int32, g.nodes+1)
	for i := range g.edges {
		g.first[g.edges[i].from+1]++
	}
	for i := range g.nodes {
		g.first[i+1] += g.first[i]
	}
	sorted := make([]dependency, len(g.edges))
	at := slices.Clone(g.first)
	for _, e := range g.edges {
		sorted[at[e.from]] = e
		at[e.from]++
	}
	g.edges = sorted
}

// after are the edges that begin at node n.
func (g *graph) after(n int32) []dependency { return g.edges[g.first[n]:g.first[n+1]] }

// components finds the strongly connected components of the graph of the given kinds (Tarjan 1972): each node's component,
// of which those that follow from it have smaller numbers; and whether one has several nodes, and so a cycle.
func (g *graph) components(of kinds) (component []int32, cyclic bool) {
	type frame struct{ node, edge int32 }
	var (
		order = make([]int32, g.nodes) // when a node was met; 0 is never
		low   = make([]int32, g.nodes)
		open  []int32
		call  []frame
		met   int32
		found int32
	)
	component = make([]int32, g.nodes)
	enter := func(n int32) {
		met++
		order[n], low[n], component[n] = met, met, -1
		open = append(open, n)
		call = append(call, frame{n, g.first[n]})
	}
	for root := range g.nodes {
		if order[root] != 0 {
			continue
		}
		for enter(root); len(call) > 0; {
			f := &call[len(call)-1]
			if f.edge < g.first[f.node+1] {
				e := &g.edges[f.edge]
				f.edge++
				switch {
				case e.kind&of == 0:
				case order[e.to] == 0:
					enter(e.to)
				case component[e.to] == -1:
					low[f.node] = min(low[f.node], order[e.to])
				}
				continue
			}
			n := f.node
			if call = call[:len(call)-1]; len(call) > 0 {
				up := call[len(call)-1].node
				low[up] = min(low[up], low[n])
			}
			if low[n] != order[n] {
				continue
			}
			for size := 1; ; size++ {
				top := open[len(open)-1]
				open = open[:len(open)-1]
				component[top] = found
				if cyclic = cyclic || size > 1; top == n {
					break
				}
			}
			found++
		}
	}
	return component, cyclic
}
