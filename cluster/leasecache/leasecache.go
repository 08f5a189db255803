// Package leasecache is the leased cache that every node has in front of the owners of the keys: an api.Store that answers
// from memory while a lease says that the key cannot have been written, and asks the Store behind it otherwise.
//
// A value may be served from here only between two facts: its group granted a lease on the key to this process's session,
// in the log, and the session was renewed by a keep-alive that was sent less than a term ago by this node's own clocks.
// A write takes the first away, by a revocation that this node acknowledges or by the death of the whole session; being
// cut off takes the second. PROTOCOL sections 4 and 5 give the rules; each stands here in one place:
//
//	session.go  until when a session may be used, counted from when the keep-alive was sent
//	fence.go    a grant at or below a lease that was given up is never installed
//	entries.go  every giving-up removes the entry and raises the fence before anything is sent about it
//	read.go     look up, then take the time, then check again
//
// The rest makes it cheap: a table that is read without a mutex (table.go), eviction that keeps the hot keys (room.go),
// leases only where they pay (readstats.go), and shared misses (flight.go).
package leasecache

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Cache is the leased cache of one process. It is safe for concurrent use. Reads and writes pass through it from the
// moment it is made; leases are taken between Start and Close.
type Cache struct {
	cfg     Config
	entries *entries
	meter   *meter

	ctx     context.Context // ends when Close has closed the sessions; bounds all that runs in the background
	cancel  context.CancelFunc
	running sync.WaitGroup

	seq    atomic.Uint64 // of keep-alives, over all peers
	closed atomic.Bool

	mu      sync.RWMutex
	started bool
	groups  map[api.GroupID]*group
	peers   map[api.NodeID]*peer
}

var (
	_ api.Store  = (*Cache)(nil)
	_ api.Lister = (*Cache)(nil)
)

// New makes a cache; it starts nothing. The error is CodeInvalid if the Config cannot work.
func New(cfg Config) (*Cache, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &Cache{
		cfg:    cfg,
		ctx:    ctx,
		cancel: cancel,
		groups: make(map[api.GroupID]*group),
		peers:  make(map[api.NodeID]*peer),
	}
	e.meter = newMeter(e)
	e.entries = newEntries(cfg, e.meter)
	return e, nil
}

// Start opens streams to the peers and a session in every group known.
func (c *Cache) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started || c.closed.Load() {
		return
	}
	c.started = true
	c.running.Go(c.maintain)
}

// Close stops serving from the cache, then closes the sessions at their groups, waiting at most Config.CloseTimeout for
// groups that do not answer (their leases end by expiry), and returns when everything started here has ended. Later
// reads and writes get CodeUnavailable.
func (c *Cache) Close() error {
	c.mu.Lock()
	again := c.closed.Swap(true)
	c.mu.Unlock()
	if again {
		c.running.Wait()
		return nil
	}
	c.closeSessions()
	c.cancel()
	c.running.Wait()
	c.meter.flush()
	return nil
}

// goAhead runs f in a goroutine for which Close waits; false: the edge has closed, and f does not run.
func (c *Cache) goAhead(f func()) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed.Load() {
		return false
	}
	c.running.Go(f)
	return true
}

// closeSessions ends every session here first, and only then tells the groups.
func (c *Cache) closeSessions() {
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.CloseTimeout)
	defer cancel()
	now := c.cfg.Clock.Now()
	var closing sync.WaitGroup
	for _, g := range c.allGroups() {
		s := g.retire(now)
		if s == nil {
			continue
		}
		closing.Go(func() { g.close(ctx, s) })
	}
	closing.Wait()
}

// allGroups are the groups known so far.
func (c *Cache) allGroups() []*group {
	c.mu.RLock()
	defer c.mu.RUnlock()
	gs := make([]*group, 0, len(c.groups))
	for _, g := range c.groups {
		gs = append(gs, g)
	}
	return gs
}

// lookupGroup returns the group, or nil if it was never met.
func (c *Cache) lookupGroup(id api.GroupID) *group {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.groups[id]
}

// meet returns the group, and begins to hold a session in it; nil before Start, after Close, and for the meta group.
func (c *Cache) meet(id api.GroupID) *group {
	if g := c.lookupGroup(id); g != nil {
		return g
	}
	if id == "" || id == ident.MetaGroup {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.groups[id]; g != nil || !c.started || c.closed.Load() {
		return g
	}
	g := newGroup(c, id)
	c.groups[id] = g
	c.running.Go(g.run)
	return g
}

// Usable reports whether leases of the group may be used here now, which says that its leader answered less than a term ago.
func (c *Cache) Usable(id api.GroupID) bool {
	g := c.lookupGroup(id)
	if g == nil {
		return false
	}
	s := g.live()
	return s != nil && s.usable(c.cfg.Clock.Now())
}

// errClosed is what reads and writes get after Close.
func errClosed(op string) error {
	return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "this node is shutting down; ask another"}
}
