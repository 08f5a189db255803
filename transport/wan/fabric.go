package wan

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Fabric is a network in memory. Nodes are known by name, which is also their address. All delays and losses are drawn
// from the seed. Safe for concurrent use.
type Fabric struct {
	seed  uint64
	table *Table

	mu        sync.Mutex
	regions   map[string]string // node -> region
	listeners map[string]*listener
	ways      map[[2]string]*way // node, node
	conns     map[*conn]struct{}
}

// NewFabric is a network without nodes.
func NewFabric(seed uint64, t *Table) *Fabric {
	return &Fabric{
		seed: seed, table: t, regions: map[string]string{}, listeners: map[string]*listener{},
		ways: map[[2]string]*way{}, conns: map[*conn]struct{}{},
	}
}

// way is one direction between two nodes.
type way struct {
	fabric *Fabric
	link   Link
	cuts   bool
	slow   time.Duration
	rand   *rand.Rand
	change chan struct{}
}

// way finds or makes the direction; mu held.
func (f *Fabric) way(from, to string) *way {
	k := [2]string{from, to}
	w := f.ways[k]
	if w == nil {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s|%s", from, to)
		w = &way{fabric: f, link: f.table.Link(f.regions[from], f.regions[to]),
			rand: rand.New(rand.NewPCG(f.seed, h.Sum64())), change: make(chan struct{})}
		f.ways[k] = w
	}
	return w
}

func (w *way) delay() time.Duration {
	w.fabric.mu.Lock()
	defer w.fabric.mu.Unlock()
	return w.link.draw(w.rand.Float64) + w.slow
}

func (w *way) cut() (bool, <-chan struct{}) {
	w.fabric.mu.Lock()
	defer w.fabric.mu.Unlock()
	return w.cuts, w.change
}

// Cut stops everything from one node to another, one way; what was sent meanwhile arrives after Heal.
func (f *Fabric) Cut(from, to string) { f.set(from, to, true) }

// Heal undoes Cut.
func (f *Fabric) Heal(from, to string) { f.set(from, to, false) }

func (f *Fabric) set(from, to string, cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.way(from, to); w.cuts != cut {
		w.cuts = cut
		close(w.change)
		w.change = make(chan struct{})
	}
}

// Isolate cuts both ways between a node and all others; Rejoin heals them.
func (f *Fabric) Isolate(node string) { f.around(node, f.Cut) }

// Rejoin undoes Isolate.
func (f *Fabric) Rejoin(node string) { f.around(node, f.Heal) }

func (f *Fabric) around(node string, do func(from, to string)) {
	for _, o := range f.Nodes() {
		if o != node {
			do(node, o)
			do(o, node)
		}
	}
}

// HealAll undoes every cut, delay and loss.
func (f *Fabric) HealAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, w := range f.ways {
		w.link = f.table.Link(f.regions[k[0]], f.regions[k[1]])
		w.slow = 0
		if w.cuts {
			w.cuts = false
			close(w.change)
			w.change = make(chan struct{})
		}
	}
}

// Degrade makes one way lossy and slower, until HealAll.
func (f *Fabric) Degrade(from, to string, loss float64, slower time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.way(from, to)
	w.link.Loss, w.slow = loss, slower
}

// Nodes are all that have ever listened, in no order.
func (f *Fabric) Nodes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := make([]string, 0, len(f.regions))
	for n := range f.regions {
		names = append(names, n)
	}
	return names
}

// Listen gives the node its port. The node's name is its address.
func (f *Fabric) Listen(node, region string) (net.Listener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listeners[node] != nil {
		return nil, fmt.Errorf("listen %s: %w", node, syscall.EADDRINUSE)
	}
	f.regions[node] = region
	l := &listener{fabric: f, node: node, conns: make(chan net.Conn, 128), done: make(chan struct{})}
	f.listeners[node] = l
	return l, nil
}

// dialTimeout bounds a Dial whose context has no deadline.
const dialTimeout = 10 * time.Second

// Dial connects two nodes: refused after a round trip where nobody listens, lost in silence where the way is cut.
func (f *Fabric) Dial(ctx context.Context, from, to string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	f.mu.Lock()
	there, back := f.way(from, to), f.way(to, from)
	f.mu.Unlock()
	for _, w := range []*way{there, back} {
		if err := w.cross(ctx); err != nil {
			return nil, fmt.Errorf("dial %s: %w", to, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.listeners[to]
	if l == nil {
		return nil, fmt.Errorf("dial %s: %w", to, syscall.ECONNREFUSED)
	}
	out, in := newPipe(there), newPipe(back)
	near := &conn{fabric: f, r: in, w: out, local: from, remote: to}
	far := &conn{fabric: f, r: out, w: in, local: to, remote: from}
	select {
	case l.conns <- far:
	default:
		return nil, fmt.Errorf("dial %s: %w", to, syscall.ECONNREFUSED)
	}
	f.conns[near], f.conns[far] = struct{}{}, struct{}{}
	return near, nil
}

// cross waits as long as one segment takes.
func (w *way) cross(ctx context.Context) error {
	t := time.NewTimer(w.delay())
	defer t.Stop()
	arrived := t.C
	for {
		cut, change := w.cut()
		if !cut && arrived == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(os.ErrDeadlineExceeded, ctx.Err())
		case <-change:
		case <-arrived:
			arrived = nil
		}
	}
}

// Crash closes the node's listener and resets all its connections at once, as the death of its process does.
func (f *Fabric) Crash(node string) {
	f.mu.Lock()
	l := f.listeners[node]
	var all []*conn
	for c := range f.conns {
		if c.local == node || c.remote == node {
			all = append(all, c)
		}
	}
	f.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
	for _, c := range all {
		c.reset()
	}
}

type listener struct {
	fabric *Fabric
	node   string
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.fabric.mu.Lock()
		if l.fabric.listeners[l.node] == l {
			delete(l.fabric.listeners, l.node)
		}
		l.fabric.mu.Unlock()
		close(l.done)
		for { // nothing is added any more: Dial looks the listener up under the mutex
			select {
			case c := <-l.conns:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return addr(l.node) }

type addr string

func (addr) Network() string  { return "fabric" }
func (a addr) String() string { return string(a) }

// conn is one end of a connection.
type conn struct {
	fabric        *Fabric
	r, w          *pipe
	local, remote string
}

func (c *conn) Read(b []byte) (int, error) { return c.r.read(b) }
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.w.write(b)
	if err != nil && c.w.shut() { // by the reader at the other end
		err = syscall.EPIPE
	}
	return n, err
}
func (c *conn) LocalAddr() net.Addr  { return addr(c.local) }
func (c *conn) RemoteAddr() net.Addr { return addr(c.remote) }

func (c *conn) Close() error {
	c.forget()
	c.w.end()
	c.r.breakOff(net.ErrClosed)
	return nil
}

func (c *conn) reset() {
	c.forget()
	c.w.breakOff(syscall.ECONNRESET)
	c.r.breakOff(syscall.ECONNRESET)
}

func (c *conn) forget() {
	c.fabric.mu.Lock()
	defer c.fabric.mu.Unlock()
	delete(c.fabric.conns, c)
}

func (c *conn) SetDeadline(t time.Time) error {
	c.r.setDeadline(&c.r.reading, t)
	c.w.setDeadline(&c.w.writing, t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.r.setDeadline(&c.r.reading, t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.w.setDeadline(&c.w.writing, t)
	return nil
}
