package wan

import (
	"cmp"
	"slices"
	"time"
)

// faults are the cuts in force. Cuts between nodes, between regions, and around one node or region are independent: to undo
// one leaves the others.
type faults struct {
	nodes, regions   map[pair]bool
	alone, aloneArea map[string]bool
}

func newFaults() faults {
	return faults{map[pair]bool{}, map[pair]bool{}, map[string]bool{}, map[string]bool{}}
}

// between reports whether a cut lies between two nodes.
func (x *faults) between(f *Fabric, nodes pair) bool {
	from, to := f.regions[nodes[0]], f.regions[nodes[1]]
	switch {
	case nodes[0] == nodes[1]:
		return false
	case x.nodes[nodes], x.alone[nodes[0]], x.alone[nodes[1]]:
		return true
	case from == to:
		return x.regions[pair{from, to}]
	}
	return x.regions[pair{from, to}] || x.aloneArea[from] || x.aloneArea[to]
}

// Cut stops everything from one node to another, one way. What is sent meanwhile arrives after Heal.
func (f *Fabric) Cut(from, to string) { f.change(func(x *faults) { x.nodes[pair{from, to}] = true }) }

// Heal undoes Cut.
func (f *Fabric) Heal(from, to string) { f.change(func(x *faults) { delete(x.nodes, pair{from, to}) }) }

// CutRegions stops everything from one region to another, one way.
func (f *Fabric) CutRegions(from, to string) {
	f.change(func(x *faults) { x.regions[pair{from, to}] = true })
}

// HealRegions undoes CutRegions.
func (f *Fabric) HealRegions(from, to string) {
	f.change(func(x *faults) { delete(x.regions, pair{from, to}) })
}

// Isolate cuts both ways between a node and all others, also those that come later.
func (f *Fabric) Isolate(node string) { f.change(func(x *faults) { x.alone[node] = true }) }

// Rejoin undoes Isolate.
func (f *Fabric) Rejoin(node string) { f.change(func(x *faults) { delete(x.alone, node) }) }

// IsolateRegion cuts both ways between a region and all others; inside it nothing changes.
func (f *Fabric) IsolateRegion(region string) {
	f.change(func(x *faults) { x.aloneArea[region] = true })
}

// RejoinRegion undoes IsolateRegion.
func (f *Fabric) RejoinRegion(region string) {
	f.change(func(x *faults) { delete(x.aloneArea, region) })
}

// HealAll undoes every cut and every Degrade. Links set by SetLink stay.
func (f *Fabric) HealAll() {
	f.change(func(x *faults) {
		*x = newFaults()
		for _, w := range f.ways {
			w.degrade = Link{}
		}
	})
}

// Degrade makes one way lossy and slower than it is by itself, until HealAll.
func (f *Fabric) Degrade(from, to string, loss float64, slower time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.way(from, to).degrade = Link{Loss: loss, Latency: slower}
}

// change changes the faults and updates every way. What a cut has held back is sent again when the cut is healed: it takes the
// way's delay from then.
func (f *Fabric) change(do func(x *faults)) {
	f.mu.Lock()
	do(&f.faults)
	var healed []*way
	for _, w := range f.sorted() {
		switch blocked := f.faults.between(f, w.nodes); {
		case blocked && !w.off:
			w.since = time.Now()
			w.set(true)
		case !blocked && w.off:
			healed = append(healed, w)
		}
	}
	kept := f.pipes(healed)
	f.mu.Unlock()
	for _, k := range kept { // not under f.mu: a pipe asks its way while its own mutex is held
		k.pipe.postpone(k.since)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range healed {
		if w.off && !f.faults.between(f, w.nodes) {
			w.set(false)
		}
	}
}

// set cuts or heals the way; the fabric's mutex held.
func (w *way) set(off bool) {
	w.off = off
	close(w.change)
	w.change = make(chan struct{})
}

// sorted are the ways in the order of their nodes, so that a seed gives one order of events; mu held.
func (f *Fabric) sorted() []*way {
	all := make([]*way, 0, len(f.ways))
	for _, w := range f.ways {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *way) int { return slices.Compare(a.nodes[:], b.nodes[:]) })
	return all
}

// keptPipe is a pipe of a way that was cut since that instant.
type keptPipe struct {
	pipe  *pipe
	since time.Time
}

// pipes are those of the open connections that run along the ways, in the order of their making; mu held.
func (f *Fabric) pipes(ways []*way) []keptPipe {
	since := make(map[pair]time.Time, len(ways))
	for _, w := range ways {
		since[w.nodes] = w.since
	}
	var all []keptPipe
	for _, c := range f.connsWhere(func(c *conn) bool { return true }) {
		if t, ok := since[pair{c.remote, c.local}]; ok {
			all = append(all, keptPipe{c.r, t})
		}
	}
	return all
}

// connsWhere are the open ends that match, in the order of their making; mu held.
func (f *Fabric) connsWhere(match func(*conn) bool) []*conn {
	var all []*conn
	for _, c := range f.conns {
		if match(c) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *conn) int { return cmp.Compare(a.id, b.id) })
	return all
}

// Crash ends the node's process: its port is free, its ends of all connections are gone, and its dials fail. The other ends
// read what was under way and then a reset, unless a cut holds that back. [Fabric.Listen] starts the node again.
func (f *Fabric) Crash(node string) {
	f.mu.Lock()
	f.lives[node] = life{crashes: f.lives[node].crashes + 1, down: true}
	l := f.listeners[node]
	ends := f.connsWhere(func(c *conn) bool { return c.local == node })
	f.mu.Unlock()
	for _, c := range ends {
		c.reset()
	}
	if l != nil {
		_ = l.Close()
	}
}
