package edge

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
)

// group is what this node holds with one group: a session, opened again when it has died, and leases given up and not yet
// released.
type group struct {
	edge *Edge
	id   api.GroupID

	current    atomic.Pointer[session]
	dedupEpoch atomic.Uint64 // as the leader last said
	wake       chan struct{} // capacity 1: a session is wanted now

	mu        sync.Mutex
	retired   bool
	released  []api.DroppedLease
	releasing chan struct{} // capacity 1: released is not empty
}

const (
	rpcTimeout     = 5 * time.Second // of what the background asks of a group
	openBackoff    = 100 * time.Millisecond
	maxOpenBackoff = 5 * time.Second
	// releaseDelay gathers releases; maxReleases bounds those that wait, and beyond it they are left to be revoked.
	releaseDelay = 100 * time.Millisecond
	maxReleases  = 1024
	// revalidateBatch keys are read again at once.
	revalidateBatch = 128
)

func newGroup(e *Edge, id api.GroupID) *group {
	return &group{edge: e, id: id, wake: make(chan struct{}, 1), releasing: make(chan struct{}, 1)}
}

// live is the current session, usable or lapsed; nil where there is none.
func (g *group) live() *session {
	if s := g.current.Load(); s != nil && !s.ended() {
		return s
	}
	return nil
}

// wakeUp makes the group try at once to open a session, if it has none.
func (g *group) wakeUp() { signal(g.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// died ends a session that its group says is dead: its entries lapse, and a new one is opened at once.
func (g *group) died(s *session, now api.ClockSample) {
	if s.end(now) {
		g.edge.meter.sessions[sessionDead].Add(1)
		g.wakeUp()
	}
}

// retire ends the session, and there will be no other; it returns the one that is to be closed at the group.
func (g *group) retire(now api.ClockSample) *session {
	g.mu.Lock()
	g.retired = true
	g.mu.Unlock()
	if s := g.current.Load(); s != nil && s.end(now) {
		return s
	}
	return nil
}

// run keeps a session open until the edge closes.
func (g *group) run() {
	ctx := g.edge.ctx
	g.edge.running.Go(g.releaseAll)
	backoff := openBackoff
	for ctx.Err() == nil {
		var again <-chan time.Time
		if old := g.current.Load(); old == nil || old.ended() {
			if s := g.open(ctx); s != nil {
				backoff = openBackoff
				g.revalidate(ctx, old, s)
				continue
			}
			t := time.NewTimer(g.edge.cfg.jitter(backoff))
			backoff = min(2*backoff, maxOpenBackoff)
			again = t.C
		}
		select {
		case <-g.wake:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// open opens a session, whose first term counts from before the request was sent; nil where that failed.
func (g *group) open(ctx context.Context) *session {
	cfg := &g.edge.cfg
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	sent := cfg.Clock.Now()
	grant, err := cfg.Lessor.OpenSession(ctx, api.OpenSession{
		Group: g.id, Node: cfg.Node, Nonce: cfg.Nonce, Term: cfg.Term, Pause: cfg.Pause,
	})
	if err != nil || grant.Session.IsZero() {
		g.edge.meter.sessions[sessionRefused].Add(1)
		return nil
	}
	s := newSession(g, grant.Session, sent, cfg.Term)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retired {
		return nil
	}
	g.dedupEpoch.Store(grant.DedupEpoch)
	g.current.Store(s)
	g.edge.meter.sessions[sessionOpened].Add(1)
	return s
}

// revalidate takes leases for the new session on the hottest keys of the old one. Values that have not changed are not
// sent again. It stops at the first failure: what is left comes back as it is read.
func (g *group) revalidate(ctx context.Context, old, s *session) {
	e := g.edge
	if old == nil || e.cfg.MaxRevalidate < 0 {
		return
	}
	entries := e.cache.hottestOf(old, e.cfg.MaxRevalidate)
	for len(entries) != 0 && ctx.Err() == nil && !s.ended() {
		n := min(revalidateBatch, len(entries))
		if err := g.revalidateSome(ctx, entries[:n], s); err != nil {
			return
		}
		entries = entries[n:]
	}
}

func (g *group) revalidateSome(ctx context.Context, entries []*entry, s *session) error {
	entries = slices.DeleteFunc(slices.Clone(entries), func(e *entry) bool { return e.gone.Load() })
	if len(entries) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	r := &api.ReadRequest{Keys: make([]api.Key, len(entries))}
	a := &ask{session: s, at: make([]int, len(entries))}
	for i, en := range entries {
		r.Keys[i], a.at[i] = en.key, i
	}
	_, err := g.edge.send(ctx, r, entries, g.edge.cfg.Clock.Now(), a)
	return err
}

// release tells the group, soon and if it can, that a lease was given up. It never blocks.
func (g *group) release(d api.DroppedLease) {
	if s := g.live(); s == nil || s.id != d.Session {
		return // the lease has gone with its session
	}
	g.mu.Lock()
	full := len(g.released) >= maxReleases
	if !full {
		g.released = append(g.released, d)
	}
	g.mu.Unlock()
	if full {
		g.edge.meter.releasesLost.Add(1)
		return
	}
	signal(g.releasing)
}

// release gives the lease of an entry back that is already dropped.
func (s *session) release(e *entry) {
	s.group.release(e.dropped())
}

// releaseAll sends releases in batches until the edge closes.
func (g *group) releaseAll() {
	ctx := g.edge.ctx
	for {
		select {
		case <-g.releasing:
		case <-ctx.Done():
			return
		}
		gather := time.NewTimer(releaseDelay)
		select {
		case <-gather.C:
		case <-ctx.Done():
			gather.Stop()
			return
		}
		g.mu.Lock()
		ds := g.released
		g.released = nil
		g.mu.Unlock()
		g.sendReleases(ctx, ds)
	}
}

func (g *group) sendReleases(ctx context.Context, ds []api.DroppedLease) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	// What fails stays with the owner as a lease that nobody uses, until a revocation finds it gone.
	if err := g.edge.cfg.Lessor.Release(ctx, g.id, ds); err != nil {
		g.edge.meter.releasesLost.Add(uint64(len(ds)))
		return
	}
	g.edge.meter.releases.Add(uint64(len(ds)))
}
