package leasecache

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// group is this node's state in one group: a session, which is opened again when it has died, and leases that were
// given up and not yet released.
type group struct {
	edge *Cache
	id   api.GroupID

	current atomic.Pointer[session]
	time    atomic.Pointer[groupTime] // nil until a leader has said it
	wake    chan struct{}             // capacity 1: open a session now

	mu        sync.Mutex
	retired   bool
	released  []ident.DroppedLease // given up, and not confirmed by the group
	releasing chan struct{}        // capacity 1: released is not empty
}

const (
	rpcTimeout     = 5 * time.Second // bounds background calls to a group
	openBackoff    = 100 * time.Millisecond
	maxOpenBackoff = 5 * time.Second
	// releaseDelay gathers releases. One message carries at most releaseBatch of them. maxReleases bounds the releases
	// that are not confirmed. Leases over that bound end by revocation, or by reconcile.
	releaseDelay = 100 * time.Millisecond
	releaseBatch = 1024
	maxReleases  = 8 * releaseBatch
	// maxStray is how many more leases a group may count for a session than are held here. Grants on their way and
	// releases not confirmed are fewer. The number of leases that a session may hold is greater.
	maxStray = 2 * maxReleases
	// revalidateBatch keys are read again at once.
	revalidateBatch = 128
)

func newGroup(e *Cache, id api.GroupID) *group {
	return &group{edge: e, id: id, wake: make(chan struct{}, 1), releasing: make(chan struct{}, 1)}
}

// live returns the current session, usable or lapsed, or nil if there is none.
func (g *group) live() *session {
	if s := g.current.Load(); s != nil && !s.ended() {
		return s
	}
	return nil
}

// heard passes on the dedup epoch that a leader of the group has sent in an answer about the session. The epoch is a
// fact about the group. It stays valid whatever happens to the session.
func (g *group) heard(s ident.SessionID, count uint64) {
	g.edge.cfg.OnEpoch(ident.DedupEpoch{Group: g.id, Incarnation: s.Incarnation, Count: count})
}

// wakeUp makes the group try at once to open a session, if it has none.
func (g *group) wakeUp() { signal(g.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// died ends a session that its group reports dead. The session's entries lapse, and a new session is opened at once.
func (g *group) died(s *session, now words.ClockSample) {
	if s.end(now) {
		g.edge.meter.sessions[sessionDead].Add(1)
		g.wakeUp()
	}
}

// retire ends the session and prevents another one. It returns the session that is to be closed at the group.
func (g *group) retire(now words.ClockSample) *session {
	g.mu.Lock()
	g.retired = true
	g.mu.Unlock()
	if s := g.current.Load(); s != nil && s.end(now) {
		return s
	}
	return nil
}

// suspend ends the session, if there is one, and closes it at the group in the background. No other is opened meanwhile: see open.
func (g *group) suspend(now words.ClockSample) {
	g.mu.Lock()
	s := g.current.Load()
	g.mu.Unlock()
	if s != nil && s.end(now) {
		g.edge.goAhead(func() { g.close(g.edge.ctx, s) })
	}
}

// run keeps a session open until the cache closes.
func (g *group) run() {
	ctx := g.edge.ctx
	g.edge.running.Go(g.releaseAll)
	backoff := openBackoff
	for ctx.Err() == nil {
		var again <-chan time.Time
		if old := g.current.Load(); (old == nil || old.ended()) && !g.edge.suspended.Load() {
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

// open opens a session, whose first term counts from before the request was sent. It returns nil if that failed.
func (g *group) open(ctx context.Context) *session {
	cfg := &g.edge.cfg
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	sent := cfg.Clock.Now()
	grant, err := cfg.Lessor.OpenSession(ctx, words.OpenSession{
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
	if g.edge.suspended.Load() {
		g.edge.running.Go(func() { g.close(g.edge.ctx, s) })
		return nil
	}
	g.heard(grant.Session, grant.DedupEpoch)
	g.tells(grant.Now, sent)
	g.current.Store(s)
	g.edge.meter.sessions[sessionOpened].Add(1)
	return s
}

// revalidate takes leases for the new session on the hottest keys of the old one. Values that have not changed are not
// sent again. It stops at the first failure. The remaining keys are leased again as they are read.
func (g *group) revalidate(ctx context.Context, old, s *session) {
	e := g.edge
	if old == nil || e.cfg.MaxRevalidate < 0 {
		return
	}
	entries := e.entries.hottestOf(old, e.cfg.MaxRevalidate)
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
	_, err := g.edge.send(ctx, r, entries, a)
	return err
}

// release has the group informed that a lease was given up. The caller has already given it up. release never blocks.
func (s *session) release(k api.Key, lid ident.LeaseID) {
	g := s.group
	if g.live() != s {
		return // the lease has ended with its session
	}
	g.mu.Lock()
	full := len(g.released) >= maxReleases
	if !full {
		g.released = append(g.released, s.dropped(k, lid))
	}
	g.mu.Unlock()
	if full {
		g.edge.meter.releasesLost.Add(1)
		return
	}
	signal(g.releasing)
}

// releaseAll sends releases in batches until the cache closes. Releases that the group has not confirmed are sent
// again.
func (g *group) releaseAll() {
	ctx := g.edge.ctx
	delay := releaseDelay
	for {
		select {
		case <-g.releasing:
		case <-ctx.Done():
			return
		}
		gather := time.NewTimer(delay)
		select {
		case <-gather.C:
		case <-ctx.Done():
			gather.Stop()
			return
		}
		more, err := g.sendReleases(ctx)
		if delay = releaseDelay; err != nil {
			delay = g.edge.cfg.jitter(maxOpenBackoff)
		}
		if more {
			signal(g.releasing)
		}
	}
}

// sendReleases sends the oldest releases and forgets them once the group has confirmed them. It reports whether there
// are more. A release that comes late or twice is harmless: it ends no lease above the one that it names.
func (g *group) sendReleases(ctx context.Context) (more bool, err error) {
	s := g.live()
	g.mu.Lock()
	g.released = slices.DeleteFunc(g.released, func(d ident.DroppedLease) bool { return s == nil || d.Session != s.id })
	batch := slices.Clone(g.released[:min(len(g.released), releaseBatch)])
	g.mu.Unlock()
	if len(batch) == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	if err := g.edge.cfg.Lessor.Release(ctx, g.id, batch); err != nil {
		return true, err
	}
	g.edge.meter.releases.Add(uint64(len(batch)))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.released = slices.Delete(g.released, 0, len(batch)) // other goroutines only append
	return len(g.released) > 0, nil
}

// reconcile replaces a session for which its group counts many more leases than are held here. Such leases come from
// grants whose answers were lost on the way and from releases that found the queue full. They would fill the session up
// to its limit, and it would get no new ones.
func (g *group) reconcile(s *session, counted int, now words.ClockSample) {
	if int64(counted) <= s.held.Load()+maxStray || !s.end(now) {
		return
	}
	g.edge.meter.sessions[sessionReplaced].Add(1)
	g.wakeUp()
	g.edge.running.Go(func() { g.close(g.edge.ctx, s) })
}

// close closes an ended session at its group. An error changes nothing: the session is no longer used and expires.
func (g *group) close(ctx context.Context, s *session) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	_ = g.edge.cfg.Lessor.CloseSession(ctx, g.id, s.id, g.edge.cfg.Nonce)
}
