package watch

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

// Hub serves the watchers of one node. It is safe for concurrent use.
type Hub struct {
	cfg      Config
	ctx      context.Context
	cancel   context.CancelFunc
	instants instants
	turns    turns
	metrics  metrics

	upstreams atomic.Int64 // feeds that are open
	ringBytes atomic.Int64

	mu       sync.Mutex
	closed   bool
	group    sync.WaitGroup // what the hub has started; Add under mu
	watchers map[*watcher]bool
	sources  map[viewKey]*source
	refused  map[api.Range]bool // directories whose feeds were refused to this node: what is watched in them is not widened
}

var (
	_ api.Watcher = (*Hub)(nil)
	_ Lister      = (*Hub)(nil)
)

// New returns a new hub. Close ends it.
func New(cfg Config) (*Hub, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	h := &Hub{cfg: cfg, watchers: map[*watcher]bool{}, sources: map[viewKey]*source{}, refused: map[api.Range]bool{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.instants = instants{hub: h, under: map[api.Range]bool{}, next: map[api.Range]*instant{}}
	h.metrics = newMetrics(cfg.Metrics, h)
	h.background(h.sweep)
	return h, nil
}

// Close ends all watches, and waits for what the hub has started.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	all := h.watchersLocked()
	h.mu.Unlock()
	h.cancel()
	for _, w := range all {
		w.leave(closing())
	}
	h.group.Wait()
}

func (h *Hub) watchersLocked() []*watcher {
	all := make([]*watcher, 0, len(h.watchers))
	for w := range h.watchers {
		all = append(all, w)
	}
	return all
}

// background starts f, which ends with the hub. It is false if the hub is closed.
func (h *Hub) background(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.backgroundLocked(f)
}

func (h *Hub) backgroundLocked(f func()) bool {
	if h.closed {
		return false
	}
	h.group.Go(f)
	return true
}

func closing() error {
	return &api.Error{Code: api.CodeUnavailable, Op: "watch", Hint: "the node is closing; continue at another one from the last cursor", RetryAfter: time.Second}
}

// ended is the error of a watch whose ctx has ended.
func ended(ctx context.Context) error {
	return &api.Error{Code: api.CodeUnavailable, Op: "watch", Err: ctx.Err()}
}

// Watch implements [api.Watcher]. A watch whose caller takes nothing for [MaxWatchIdle] ends with CodeUnavailable.
func (h *Hub) Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	at, lost, err := h.resume(ctx, r)
	if err != nil {
		return nil, err
	}
	w, err := h.admit(ctx, r)
	if err != nil {
		return nil, err
	}
	switch {
	case at != nil:
	case r.From == api.Oldest:
		at, w.gaps, err = h.oldest(w.ctx, r.Range)
	default:
		at, err = h.instants.now(w.ctx, r.Range)
	}
	if lost {
		h.metrics.gaps(1, string(api.GapRestored))
		w.gaps = []api.Gap{{Range: r.Range, Reason: api.GapRestored}}
	}
	if err == nil {
		err = w.begin(at)
	}
	if err != nil {
		w.leave(err)
		return nil, err
	}
	if r.List {
		return newListing(w), nil
	}
	return w, nil
}

// resume returns the position from which the watch is to go on; nil if it has none yet. lost means that it had one, of before a restore.
func (h *Hub) resume(ctx context.Context, r *api.WatchRequest) (at *cursor.Cursor, lost bool, err error) {
	if r.From == "" || r.From == api.Oldest {
		return nil, false, nil
	}
	c, err := cursor.Decode(r.From)
	if err != nil {
		return nil, false, err
	}
	if at, err = c.Within(r.Range); err != nil {
		return nil, false, err
	}
	h.metrics.resumes(1)
	if lost, err = h.ofAnotherLife(ctx, at); lost {
		at = nil
	}
	return at, lost, err
}

// admit counts the watch.
func (h *Hub) admit(ctx context.Context, r *api.WatchRequest) (*watcher, error) {
	w := newWatcher(ctx, h, r)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		w.cancel()
		return nil, closing()
	case len(h.watchers) >= MaxWatchers:
		w.cancel()
		e := api.Errorf(api.CodeUnavailable, "this node has %d watches, which is its limit; watch at another node", MaxWatchers)
		e.Op, e.RetryAfter = "watch", time.Second
		return nil, e
	}
	h.watchers[w] = true
	return w, nil
}

// join finds the source for a watcher at the position, or makes one.
func (h *Hub) join(w *watcher, at *cursor.Cursor) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return closing()
	}
	s := h.findLocked(viewKey{w.request.Range, w.request.KeysOnly}, at)
	if s == nil {
		s = h.openLocked(viewKey{w.request.Range, w.request.KeysOnly}, at)
	}
	s.watchers++
	s.used = time.Now()
	h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened && s.of == at.Range {
		s.wanted = append(s.wanted, at)
	}
	w.source, w.view = s, s.viewLocked(viewKey{w.request.Range, w.request.KeysOnly})
	return nil
}

// findLocked returns a source that has the range and does not hold up a watch from the position: the one of just this range, or a wider one.
func (h *Hub) findLocked(k viewKey, at *cursor.Cursor) *source {
	if s := h.sources[k]; s != nil && !s.holdsUp(at) {
		return s
	}
	for _, s := range h.sources {
		if s.of.ContainsRange(k.of) && (k.keysOnly || !s.keysOnly) && !s.holdsUp(at) {
			return s
		}
	}
	return nil
}

// openLocked starts a source. If there are many already, it is one for the whole directory of the range.
func (h *Hub) openLocked(k viewKey, at *cursor.Cursor) *source {
	widened := false
	if dir, ok := directory(k.of); ok && h.upstreams.Load() >= MaxUpstreams && !h.refused[dir] {
		if wider := widen(at, dir); wider != nil {
			k.of, at, widened = dir, wider, true
		}
	}
	s := &source{hub: h, of: k.of, keysOnly: k.keysOnly, first: 1, views: map[viewKey]*view{}, wanted: []*cursor.Cursor{at}}
	ctx, cancel := context.WithCancel(h.ctx)
	s.end = cancel
	h.sources[k] = s
	h.backgroundLocked(func() {
		defer cancel()
		var err error
		defer func() {
			h.remove(s, widened && !passing(err))
			s.fail(err)
		}()
		defer h.cfg.Faults.Catch("watch", &err)
		err = s.run(ctx)
	})
	return s
}

// remove takes a source out of those that watchers join. refused: its directory is not to be tried again.
func (h *Hub) remove(s *source, refused bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if refused {
		if len(h.refused) >= MaxUpstreams {
			clear(h.refused)
		}
		h.refused[s.of] = true
	}
	if k := (viewKey{s.of, s.keysOnly}); h.sources[k] == s {
		delete(h.sources, k)
	}
}

// part lets a watcher go. A source without watchers ends.
func (h *Hub) part(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
	s := w.source
	if s == nil {
		return
	}
	if s.watchers--; s.watchers == 0 {
		if k := (viewKey{s.of, s.keysOnly}); h.sources[k] == s {
			delete(h.sources, k)
		}
		s.end()
	}
}

// shrink makes the rings of the sources that were joined longest ago smaller, until all together are within their limit.
func (h *Hub) shrink() {
	h.mu.Lock()
	all := make([]*source, 0, len(h.sources))
	for _, s := range h.sources {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *source) int { return a.used.Compare(b.used) })
	h.mu.Unlock()
	for _, s := range all {
		if h.ringBytes.Load() <= MaxRingsBytes {
			return
		}
		s.mu.Lock()
		s.trimLocked(s.bytes / 2)
		s.mu.Unlock()
	}
}

// sweep ends the watches that take nothing, and takes the turn from those that catch up and take nothing, until the hub closes.
func (h *Hub) sweep() {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-h.ctx.Done():
			return
		}
		h.mu.Lock()
		all := h.watchersLocked()
		h.mu.Unlock()
		for _, w := range all {
			w.sweep()
		}
	}
}

// directory returns the range of the first two segments that all keys of r share. It is false if they do not share them, or r is that
// range.
func directory(r api.Range) (api.Range, bool) {
	slashes := 0
	for i := range len(r.Start) {
		if r.Start[i] != '/' {
			continue
		}
		if slashes++; slashes == 2 {
			dir := api.PrefixRange(r.Start[:i+1])
			return dir, dir != r && dir.ContainsRange(r)
		}
	}
	return r, false
}

// widen makes the position of a range that of its directory, of which the same pieces have all keys. It is nil if they have not.
func widen(at *cursor.Cursor, dir api.Range) *cursor.Cursor {
	wider := &cursor.Cursor{Range: dir}
	for _, p := range at.Pieces {
		if p.Range != at.Range {
			return nil
		}
		p.Range = dir
		wider.Pieces = append(wider.Pieces, p)
	}
	return wider
}

// List lists through the node's Lister, and says in the result from where a watch of the range continues.
func (h *Hub) List(ctx context.Context, r *words.ListRequest) (*words.ListResult, error) {
	return h.list(ctx, r)
}
