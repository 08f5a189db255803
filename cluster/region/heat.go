package region

import (
	"hash/fnv"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// heat counts reads and writes by key and node, to tell where a lease pays: a lease on a key that is written more than
// it is read costs a revocation a write and saves nothing. It is a guess, in bounded memory, and no rule rests on it. Two
// generations: when the young one is full it becomes the old one, and the old one is forgotten.
type heat struct {
	after      float32
	coolDown   time.Duration
	limit      int
	young, old map[uint64]*keyHeat // by hash of the key
}

type keyHeat struct {
	written time.Time
	nodes   []nodeHeat
}

// nodeHeat counts one node's reads of a key since its last write, and their mean over the writes before, both capped at
// a few times what makes a lease pay, so that a key's past is forgotten within a few writes.
type nodeHeat struct {
	node  api.NodeID
	reads float32
	mean  float32
}

// maxHeatNodes bounds the nodes counted a key.
const maxHeatNodes = fsm.MaxKeyHolders

func newHeat(cfg *Config) *heat {
	return &heat{
		after:    float32(cfg.GrantAfter),
		coolDown: cfg.CoolDown,
		limit:    max(cfg.HeatKeys/2, 1),
		young:    map[uint64]*keyHeat{},
		old:      map[uint64]*keyHeat{},
	}
}

func (t *heat) key(k api.Key) *keyHeat {
	f := fnv.New64a()
	f.Write([]byte(k))
	id := f.Sum64()
	if e := t.young[id]; e != nil {
		return e
	}
	e := t.old[id]
	if e == nil {
		e = &keyHeat{}
	}
	if len(t.young) >= t.limit {
		t.old, t.young = t.young, make(map[uint64]*keyHeat, t.limit)
	}
	t.young[id] = e
	return e
}

// read counts n reads of k by the node, and tells whether a lease would pay now.
func (t *heat) read(node api.NodeID, k api.Key, n uint32, now time.Time) bool {
	e := t.key(k)
	i := 0
	for i < len(e.nodes) && e.nodes[i].node != node {
		i++
	}
	switch {
	case i == maxHeatNodes: // as many as may hold a lease on it: the coldest makes room, unless it reads too
		if i = e.coldest(); e.nodes[i].heat() >= t.after {
			return false
		}
		e.nodes[i] = nodeHeat{node: node}
	case i == len(e.nodes):
		e.nodes = append(e.nodes, nodeHeat{node: node})
	}
	c := &e.nodes[i]
	c.reads = min(c.reads+float32(n), 4*t.after)
	return c.heat() >= t.after && now.Sub(e.written) >= t.coolDown
}

func (c *nodeHeat) heat() float32 { return max(c.reads, c.mean) }

// coldest is where the node is that reads least.
func (e *keyHeat) coldest() (at int) {
	for i := range e.nodes {
		if e.nodes[i].heat() < e.nodes[at].heat() {
			at = i
		}
	}
	return at
}

// wrote counts a write of k.
func (t *heat) wrote(k api.Key, now time.Time) {
	e := t.key(k)
	e.written = now
	for i := range e.nodes {
		c := &e.nodes[i]
		c.mean, c.reads = (c.mean+c.reads)/2, 0
	}
}
