package history

import (
	"slices"
)

// searchBudget bounds the edges that the search for the shortest cycle looks at, once it has one. It decides how good a
// report is, never whether there is one.
const searchBudget = 20_000_000

// cycle returns the worst cycle of the graph as an anomaly: one of writes alone before one with reads, one that real time
// has no part in before one that it has; of these a shortest one. nil if there is none.
func (g *graph) cycle() *Anomaly {
	if _, cyclic := g.components(ww | wr | rw | rt); !cyclic {
		return nil
	}
	for _, of := range []kinds{ww, ww | wr, ww | wr | rw, ww | wr | rw | rt} {
		if component, cyclic := g.components(of); cyclic {
			return g.report(g.shortest(of, component))
		}
	}
	return nil
}

// shortest is a shortest cycle of these kinds, as its edges in order. What goes through instants counts as one step.
func (g *graph) shortest(of kinds, component []int32) []dependency {
	size := make([]int32, g.nodes)
	for _, c := range component {
		size[c]++
	}
	s := &search{g: g, of: of, component: component, dist: make([]int32, g.nodes), via: make([]int32, g.nodes)}
	var best []dependency
	for n := range g.instants {
		if size[component[n]] < 2 || best != nil && s.looked > searchBudget {
			continue
		}
		limit := int32(len(g.txns) + 1)
		if best != nil {
			limit = steps(best)
		}
		if c := s.from(n, limit); c != nil {
			best = c
		}
		if best != nil && steps(best) == 2 {
			break
		}
	}
	return best
}

// steps is the length of a cycle without its instants.
func steps(cycle []dependency) (n int32) {
	for i := range cycle {
		if counts(&cycle[i]) {
			n++
		}
	}
	return n
}

// counts reports whether an edge is a step from one transaction to another; of a path through instants that is the first edge.
func counts(e *dependency) bool { return e.kind != rt || e.key == leaving }

// search is a search for the shortest way from a node back to it.
type search struct {
	g         *graph
	of        kinds
	component []int32
	dist, via []int32 // by node: one more than the length of the way there; the edge by which
	touched   []int32
	looked    int
}

// from returns the edges of the shortest cycle through n that is shorter than limit; nil if there is none. It is a
// breadth-first search in which the edges away from instants cost nothing.
func (s *search) from(n, limit int32) []dependency {
	for _, t := range s.touched {
		s.dist[t] = 0
	}
	s.touched = append(s.touched[:0], n)
	s.dist[n] = 1
	now, later := []int32{n}, []int32(nil)
	for length := int32(0); length < limit && len(now) > 0; length++ {
		for i := 0; i < len(now); i++ { // now grows
			at := now[i]
			if s.dist[at] != length+1 {
				continue
			}
			for e := s.g.first[at]; e < s.g.first[at+1]; e++ {
				d := &s.g.edges[e]
				s.looked++
				if d.kind&s.of == 0 || s.component[d.to] != s.component[n] {
					continue
				}
				cost := int32(1)
				if !counts(d) {
					cost = 0
				}
				if d.to == n && length+cost < limit {
					return s.way(n, e)
				}
				if s.dist[d.to] != 0 && s.dist[d.to] <= length+cost+1 {
					continue
				}
				s.dist[d.to], s.via[d.to] = length+cost+1, e
				s.touched = append(s.touched, d.to)
				if cost == 0 {
					now = append(now, d.to)
				} else {
					later = append(later, d.to)
				}
			}
		}
		now, later = later, now[:0]
	}
	return nil
}

// way is the cycle that the edge last closes at n.
func (s *search) way(n, last int32) []dependency {
	cycle := []dependency{s.g.edges[last]}
	for at := s.g.edges[last].from; at != n; at = s.g.edges[s.via[at]].from {
		cycle = append(cycle, s.g.edges[s.via[at]])
	}
	slices.Reverse(cycle)
	return cycle
}

// report names a cycle and describes it.
func (g *graph) report(cycle []dependency) *Anomaly {
	a := &Anomaly{}
	place := map[int32]int{}
	at := func(n int32) int {
		i, ok := place[n]
		if !ok {
			i = len(a.Txns)
			place[n] = i
			a.Txns = append(a.Txns, g.shown(n))
		}
		return i
	}
	for len(cycle) > 0 && cycle[0].from >= g.instants { // begin with a transaction
		cycle = append(cycle[1:], cycle[0])
	}
	from := int32(-1)
	for _, d := range cycle {
		if d.from < g.instants {
			from = d.from
		}
		if d.to >= g.instants {
			continue
		}
		e := Edge{From: at(from), To: at(d.to), Kind: d.kind.String()}
		if d.kind != rt {
			k := g.keys[d.key]
			e.Key, e.Version = k.key, k.states[d.state].version
			if d.kind != wr {
				e.Next = k.states[d.state+1].version
			}
		}
		a.Edges = append(a.Edges, e)
	}
	a.Name = name(a)
	return a
}

// shown is the transaction of a node, or a stand-in for a hidden one.
func (g *graph) shown(n int32) Txn {
	if int(n) < len(g.txns) {
		return g.txns[n]
	}
	return Txn{Client: noClient, Outcome: Unknown}
}

func (k kinds) String() string {
	return map[kinds]string{ww: "ww", wr: "wr", rw: "rw", rt: "rt"}[k]
}

// name is the usual name of a cycle: Adya's, with the special cases that have one of their own.
func name(a *Anomaly) string {
	count := map[string]int{}
	keys := map[string]bool{}
	alternates := len(a.Edges) >= 4 && len(a.Edges)%2 == 0
	for i, e := range a.Edges {
		count[e.Kind]++
		keys[string(e.Key)] = true
		alternates = alternates && (e.Kind == "wr" || e.Kind == "rw") && e.Kind != a.Edges[(i+1)%len(a.Edges)].Kind
	}
	switch {
	case count["rt"] > 0 && count["rt"]+count["rw"] == len(a.Edges) && len(a.Edges) == 2:
		return "stale read"
	case count["rt"] > 0:
		return "real time"
	case count["rw"] == 0 && count["wr"] == 0:
		return "G0 (dirty write)"
	case count["rw"] == 0:
		return "G1c (circular information flow)"
	case count["rw"] == 1 && count["ww"] > 0 && len(keys) == 1:
		return "lost update"
	case count["rw"] == 1:
		return "G-single (read skew)"
	case len(a.Edges) == 2:
		return "G2 (write skew)"
	case alternates:
		return "G2 (long fork)"
	}
	return "G2"
}
