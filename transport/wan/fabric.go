package wan

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Fabric is a network in memory. A node's name is its address. Delays and losses are drawn from the seed, separately for each
// direction between two nodes. Safe for concurrent use.
type Fabric struct {
	seed  uint64
	table *Table

	mu        sync.Mutex
	regions   map[string]string // node -> region
	lives     map[string]life
	listeners map[string]*listener
	ways      map[pair]*way
	conns     map[uint64]*conn
	lastConn  uint64
	faults    faults
}

// pair is a direction: from, to.
type pair [2]string

// life distinguishes the successive processes of one node.
type life struct {
	crashes int
	down    bool // crashed, and not started again
}

// NewFabric returns a network without nodes; a nil table is that of [Off].
func NewFabric(seed uint64, t *Table) *Fabric {
	if t == nil {
		t = Off()
	}
	return &Fabric{
		seed: seed, table: t, regions: map[string]string{}, lives: map[string]life{}, listeners: map[string]*listener{},
		ways: map[pair]*way{}, conns: map[uint64]*conn{}, faults: newFaults(),
	}
}

// way is one direction between two nodes. All its fields are under the fabric's mutex.
type way struct {
	fabric  *Fabric
	nodes   pair
	link    *Link // nil: what the table says for the nodes' regions
	degrade Link
	rand    *rand.Rand
	off     bool // cut
	since   time.Time
	change  chan struct{} // closed when off changes
}

// way finds or makes the direction; mu held.
func (f *Fabric) way(from, to string) *way {
	k := pair{from, to}
	w := f.ways[k]
	if w == nil {
		h := fnv.New64a()
		_, _ = fmt.Fprintf(h, "%s|%s", from, to)
		w = &way{fabric: f, nodes: k, rand: rand.New(rand.NewPCG(f.seed, h.Sum64())), change: make(chan struct{})}
		if f.faults.between(f, k) {
			w.off, w.since = true, time.Now()
		}
		f.ways[k] = w
	}
	return w
}

// delay draws how long a segment sent now takes.
func (w *way) delay() time.Duration {
	f := w.fabric
	f.mu.Lock()
	defer f.mu.Unlock()
	var l Link
	if w.link != nil {
		l = *w.link
	} else {
		l = f.table.Link(f.regions[w.nodes[0]], f.regions[w.nodes[1]])
	}
	l.Latency += w.degrade.Latency
	l.Loss = max(l.Loss, w.degrade.Loss)
	return l.draw(w.rand.Float64)
}

func (w *way) cut() cut {
	w.fabric.mu.Lock()
	defer w.fabric.mu.Unlock()
	return cut{w.off, w.since, w.change}
}

// Place sets the region of a node that has not listened yet, or never does.
func (f *Fabric) Place(node, region string) {
	f.change(func(*faults) { f.regions[node] = region })
}

// SetLink sets the link from one node to another, in place of the table's.
func (f *Fabric) SetLink(from, to string, l Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.way(from, to).link = &l
}

// Nodes returns all nodes that have been placed or have listened, sorted.
func (f *Fabric) Nodes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.regions))
}

// Listen opens the node's port; after [Fabric.Crash] it begins the node's next process. The node's name is its address.
func (f *Fabric) Listen(node, region string) (net.Listener, error) {
	f.Place(node, region)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listeners[node] != nil {
		return nil, fmt.Errorf("listen %s: %w", node, syscall.EADDRINUSE)
	}
	f.lives[node] = life{crashes: f.lives[node].crashes}
	l := &listener{fabric: f, node: node, conns: make(chan net.Conn, backlog), done: make(chan struct{})}
	f.listeners[node] = l
	return l, nil
}

// unlisten frees the node's port.
func (f *Fabric) unlisten(l *listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listeners[l.node] == l {
		delete(f.listeners, l.node)
	}
}

func (f *Fabric) forget(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c.id)
}

// dialTimeout bounds a Dial whose context has no deadline.
const dialTimeout = 10 * time.Second

// Dialer returns Dial for one process of the node: the one that runs now or, if the node is down, the next one. After that
// process has crashed, every call fails.
func (f *Fabric) Dialer(from string) func(ctx context.Context, to string) (net.Conn, error) {
	f.mu.Lock()
	crashes := f.lives[from].crashes
	f.mu.Unlock()
	return func(ctx context.Context, to string) (net.Conn, error) { return f.dial(ctx, from, to, crashes) }
}

// Dial connects two nodes. It is refused after a round trip if no process listens, waits until ctx ends if the way is cut, and
// fails at once if the dialling node is down.
func (f *Fabric) Dial(ctx context.Context, from, to string) (net.Conn, error) {
	return f.Dialer(from)(ctx, to)
}

func (f *Fabric) dial(ctx context.Context, from, to string, crashes int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	f.mu.Lock()
	there, back := f.way(from, to), f.way(to, from)
	f.mu.Unlock()
	for _, w := range []*way{there, back} {
		if !f.runs(from, crashes) {
			return nil, fmt.Errorf("dial %s: %w", to, syscall.ENETDOWN)
		}
		if err := w.cross(ctx); err != nil {
			return nil, fmt.Errorf("dial %s: %w", to, err)
		}
	}
	c, err := f.connect(there, back, crashes)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", to, err)
	}
	return c, nil
}

// runs reports whether that process of the node runs.
func (f *Fabric) runs(node string, crashes int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lives[node] == life{crashes: crashes}
}

// connect makes a connection whose handshake is over.
func (f *Fabric) connect(there, back *way, crashes int) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, to := there.nodes[0], there.nodes[1]
	l := f.listeners[to]
	switch {
	case f.lives[from] != life{crashes: crashes}:
		return nil, syscall.ENETDOWN
	case l == nil || len(l.conns) == cap(l.conns):
		return nil, syscall.ECONNREFUSED
	}
	out, in := newPipe(there), newPipe(back)
	near := &conn{fabric: f, id: f.lastConn + 1, r: in, w: out, local: from, remote: to}
	far := &conn{fabric: f, id: f.lastConn + 2, r: out, w: in, local: to, remote: from}
	f.lastConn += 2
	f.conns[near.id], f.conns[far.id] = near, far
	l.conns <- far // there is room: all additions are under the mutex
	return near, nil
}

// cross waits as long as one segment takes.
func (w *way) cross(ctx context.Context) error {
	t := time.NewTimer(w.delay())
	defer t.Stop()
	arrived := t.C
	for {
		c := w.cut()
		if !c.off && arrived == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return errors.Join(os.ErrDeadlineExceeded, ctx.Err())
			}
			return ctx.Err()
		case <-c.change:
		case <-arrived:
			arrived = nil
		}
	}
}
