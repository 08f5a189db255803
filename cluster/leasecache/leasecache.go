// Package leasecache is the leased cache that every node has in front of the owners of the keys. It is an api.Store
// that answers from memory while a lease guarantees that the key cannot have been written, and asks the Store behind it
// otherwise.
//
// The cache may serve a value only while two facts hold. First, the key's group granted a lease on the key to this
// process's session, in the log. Second, a keep-alive renewed the session, and it was sent less than a term ago by this
// node's own clocks. A write ends the first fact: this node acknowledges a revocation, or the whole session dies. Being
// cut off ends the second. docs/consistency.md gives the rules. Each rule has one place here:
//
//	session.go  until when a session may be used, counted from when the keep-alive was sent
//	fence.go    a grant at or below a lease that was given up is never installed
//	entries.go  giving up a lease removes the entry and raises the fence before anything is sent about it
//	read.go     look up, then read the clock, then check again
//
// The rest makes the cache cheap: a table that is read without a mutex (table.go), eviction that keeps the hot keys
// (room.go), leases only for keys that repay them (readstats.go), and shared misses (flight.go).
package leasecache

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Cache is the leased cache of one process. It is safe for concurrent use. It passes on reads and writes from the
// moment it is made. It takes leases between Start and Close.
type Cache struct {
	cfg     Config
	entries *entries
	meter   *meter

	ctx     context.Context // ends when Close has closed the sessions; bounds all background work
	cancel  context.CancelFunc
	running sync.WaitGroup

	seq       atomic.Uint64 // of keep-alives, over all peers
	closed    atomic.Bool
	suspended atomic.Bool // no session is opened

	mu      sync.RWMutex
	started bool
	groups  map[api.GroupID]*group
	peers   map[api.NodeID]*peer
}

var (
	_ api.Store  = (*Cache)(nil)
	_ api.Lister = (*Cache)(nil)
)

// New returns a new cache and starts nothing. The error is CodeInvalid if the Config cannot work.
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

// Start opens streams to the peers and a session in every known group.
func (c *Cache) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started || c.closed.Load() {
		return
	}
	c.started = true
	c.running.Go(c.maintain)
}

// Close stops serving from the cache, then closes the sessions at their groups. It waits at most Config.CloseTimeout
// for groups that do not answer; their leases end by expiry. Close returns when everything started here has ended.
// Later reads and writes are refused with CodeUnavailable.
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

// Suspend gives all leases back and takes none, until it is called with false; reads are then passed on. It does not wait for the
// groups, whose leases end by expiry if they do not answer.
func (c *Cache) Suspend(on bool) {
	if c.suspended.Swap(on) == on {
		return
	}
	now := c.cfg.Clock.Now()
	for _, g := range c.allGroups() {
		if on {
			g.suspend(now)
		} else {
			g.wakeUp()
		}
	}
}

// goAhead runs f in a goroutine for which Close waits. It returns false, and does not run f, if the cache has closed.
func (c *Cache) goAhead(f func()) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed.Load() {
		return false
	}
	c.running.Go(f)
	return true
}

// closeSessions first ends every session here, and only then informs the groups.
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

// allGroups returns the groups known so far.
func (c *Cache) allGroups() []*group {
	c.mu.RLock()
	defer c.mu.RUnlock()
	gs := make([]*group, 0, len(c.groups))
	for _, g := range c.groups {
		gs = append(gs, g)
	}
	return gs
}

// lookupGroup returns the group, or nil if it is not known here.
func (c *Cache) lookupGroup(id api.GroupID) *group {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.groups[id]
}

// meet returns the group, and begins to hold a session in it. It returns nil before Start, after Close, and for the
// meta group.
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

// Usable reports whether leases of the group may be used here now. If they may, its leader answered less than a term
// ago.
func (c *Cache) Usable(id api.GroupID) bool {
	g := c.lookupGroup(id)
	if g == nil {
		return false
	}
	s := g.live()
	return s != nil && s.usable(c.cfg.Clock.Now())
}

// errClosed returns the error of reads and writes after Close.
func errClosed(op string) error {
	return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "this node is shutting down; ask another"}
}
