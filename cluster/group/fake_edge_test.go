package group

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// testRevoker reaches the edges that are registered in it.
type testRevoker struct {
	mu    sync.Mutex
	edges map[ident.Nonce]*testEdge
	sent  int // messages
}

func (v *testRevoker) Revoke(nonce ident.Nonce, _ api.NodeID, m words.Revocation) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sent++
	e := v.edges[nonce]
	if e == nil || !e.reachable() {
		return errors.New("not reachable")
	}
	e.wg.Go(func() { e.revoked(m.Session, m.Leases) })
	return nil
}

func (v *testRevoker) messages() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sent
}

// leasedEntry is an entry and the lease on it. A zero lease is none.
type leasedEntry struct {
	api.Entry
	Lease ident.LeaseID
}

// testEdge is a holder that follows the protocol of leases, over links that can be slow, dead or one-way.
type testEdge struct {
	t     *testing.T
	log   *testLog
	node  api.NodeID
	nonce ident.Nonce
	clock *testClock
	term  time.Duration
	wg    sync.WaitGroup
	stop  context.CancelFunc
	ctx   context.Context

	mu      sync.Mutex
	sid     ident.SessionID
	base    words.ClockSample // when the newest answered keep-alive was sent
	seq     uint64
	cache   map[api.Key]leasedEntry
	fence   map[api.Key]ident.LeaseID
	latency time.Duration
	down    bool    // no message passes
	mute    bool    // receives, but answers no revocation
	forgets api.Key // receives, but does not answer revocations of this key
	last    words.SessionStatus

	released int // releases that were applied
}

// newEdge returns an edge that the authorities of all nodes can reach.
func newEdge(l *testLog, name api.NodeID) *testEdge {
	e := &testEdge{t: l.t, log: l, node: name, clock: newClock(), term: words.DefaultLeaseTerm,
		cache: map[api.Key]leasedEntry{}, fence: map[api.Key]ident.LeaseID{}}
	copy(e.nonce[:], name)
	e.ctx, e.stop = context.WithCancel(words.WithCaller(context.Background(), &words.Caller{Node: name, Role: api.RoleEdge}))
	for _, n := range l.nodes {
		n.revoker.mu.Lock()
		if n.revoker.edges == nil {
			n.revoker.edges = map[ident.Nonce]*testEdge{}
		}
		n.revoker.edges[e.nonce] = e
		n.revoker.mu.Unlock()
	}
	return e
}

func (e *testEdge) close() {
	e.stop()
	e.wg.Wait()
}

func (e *testEdge) reachable() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.down
}

func (e *testEdge) set(f func(*testEdge)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e)
}

func (e *testEdge) travel() {
	e.mu.Lock()
	d := e.latency
	e.mu.Unlock()
	_ = pause(e.ctx, d)
}

// open opens a session at the node.
func (e *testEdge) open(n *testNode) {
	e.t.Helper()
	base := e.clock.Now()
	g, err := n.authority.OpenSession(e.ctx, words.OpenSession{Group: "g.1", Node: e.node, Nonce: e.nonce, Term: e.term})
	if err != nil {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sid, e.base = g.Session, base
}

// fetch reads the key, asks for a lease, and installs the lease if the fence allows it.
func (e *testEdge) fetch(n *testNode, k api.Key) (leasedEntry, error) {
	e.mu.Lock()
	sid := e.sid
	e.mu.Unlock()
	res, err := words.Read(e.ctx, n.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{k}}, Group: "g.1", Session: sid})
	if err != nil {
		return leasedEntry{}, err
	}
	x := leasedEntry{res.Entries[0], res.Lease(0)}
	e.mu.Lock()
	defer e.mu.Unlock()
	if x.Lease > e.fence[k] && x.Lease > e.cache[k].Lease && sid == e.sid {
		e.cache[k] = x
	}
	return x, nil
}

// serves returns the entry that the edge would serve from its cache now.
func (e *testEdge) serves(k api.Key) (leasedEntry, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x, ok := e.cache[k]
	return x, ok && e.clock.Now().HolderElapsed(e.base) < e.term
}

func (e *testEdge) drop(leases []words.RevokedLease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range leases {
		e.fence[x.Key] = max(e.fence[x.Key], x.Lease)
		if e.cache[x.Key].Lease <= x.Lease {
			delete(e.cache, x.Key)
		}
	}
}

// evict drops the cached entry of the key and releases its lease, after the duration late and the given number of
// times. The key may be leased again before the release.
func (e *testEdge) evict(n *testNode, k api.Key, late time.Duration, times int) {
	e.mu.Lock()
	x, ok := e.cache[k]
	d := ident.DroppedLease{Session: e.sid, Key: k, Lease: x.Lease}
	e.mu.Unlock()
	if !ok {
		return
	}
	e.drop([]words.RevokedLease{{Key: k, Lease: x.Lease}})
	for range times {
		e.wg.Go(func() {
			_ = pause(e.ctx, late)
			e.travel()
			if e.reachable() && n.authority.Release(e.ctx, "g.1", []ident.DroppedLease{d}) == nil {
				e.set(func(e *testEdge) { e.released++ })
			}
		})
	}
}

// revoked handles a revocation: drop, then acknowledge to every node.
func (e *testEdge) revoked(sid ident.SessionID, leases []words.RevokedLease) {
	e.travel()
	e.mu.Lock()
	ignore := e.mute || e.down
	leases = slices.DeleteFunc(slices.Clone(leases), func(x words.RevokedLease) bool { return x.Key == e.forgets })
	e.mu.Unlock()
	if ignore {
		return
	}
	e.drop(leases)
	e.travel()
	if !e.reachable() {
		return
	}
	for _, n := range e.log.nodes {
		n.authority.Acked(words.RevokeAck{Group: "g.1", Session: sid, Nonce: e.nonce, Node: e.node, Leases: leases})
	}
}

// keepAlive sends one keep-alive to the node and processes the answer.
func (e *testEdge) keepAlive(n *testNode) (words.SessionStatus, bool) {
	e.mu.Lock()
	sid, sent, seq := e.sid, e.clock.Now(), e.seq+1
	e.seq = seq
	e.mu.Unlock()
	if sid.IsZero() {
		return words.SessionStatus{}, false
	}
	e.travel()
	if !e.reachable() {
		return words.SessionStatus{}, false
	}
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
	defer cancel()
	s, ok := n.authority.KeepAlive(ctx, &words.KeepAlive{Node: e.node, Nonce: e.nonce, Seq: seq, Clock: sent},
		words.SessionKeepAlive{Group: "g.1", Session: sid})
	e.travel()
	if !ok || !e.reachable() {
		return s, false
	}
	e.learn(s, sent)
	return s, true
}

func (e *testEdge) learn(s words.SessionStatus, sent words.ClockSample) {
	e.mu.Lock()
	if s.Session != e.sid {
		e.mu.Unlock()
		return
	}
	e.last = s
	if s.Dead {
		e.sid = ident.SessionID{}
		clear(e.cache)
	}
	if s.Extended && sent.Boottime > e.base.Boottime {
		e.base = sent
	}
	e.mu.Unlock()
	if len(s.Pending) > 0 {
		e.wg.Go(func() { e.revoked(s.Session, s.Pending) })
	}
}

// live keeps the session alive at all nodes, every H, until close.
func (e *testEdge) live() {
	e.wg.Go(func() {
		for e.ctx.Err() == nil {
			for _, n := range e.log.nodes {
				e.wg.Go(func() { e.keepAlive(n) })
			}
			_ = pause(e.ctx, words.DefaultKeepAlive)
		}
	})
}
