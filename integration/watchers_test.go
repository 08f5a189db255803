package integration

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/integration/history"
)

// watchers are clients that watch a planet under faults. Each goes from node to node, with the last cursor that it was given: when its
// stream breaks, and now and then without need.
type watchers struct {
	planet  *planet
	instant func() time.Duration // the clock of the history
	cancel  context.CancelFunc
	done    sync.WaitGroup
	all     []*planetWatcher
}

// planetWatcher is one client that watches.
type planetWatcher struct {
	*watchers
	rand *rand.Rand

	mu      sync.Mutex
	watch   history.Watch
	over    []*history.Watch        // those before, after which it began anew
	newest  map[api.Key]api.Version // of what it was told, since it began
	ready   bool                    // it was told that it has begun
	cursor  api.Cursor
	streams int
}

// watchAll starts watchers: of everything from now, of everything with a list, and of one region with only the newest event of a key.
func watchAll(p *planet, seed uint64, instant func() time.Duration) *watchers {
	ctx, cancel := context.WithCancel(context.Background())
	ws := &watchers{planet: p, instant: instant, cancel: cancel}
	one := api.PrefixRange(api.Key(regions[seed%3] + "/"))
	for i, w := range []history.Watch{
		{Name: "of everything"}, {Name: "with a list", List: true}, {Name: "collapsed", Range: one, Collapse: true},
	} {
		w.Whole = true
		x := &planetWatcher{watchers: ws, watch: w, rand: rand.New(rand.NewPCG(seed, 0x3a7c+uint64(i))), newest: map[api.Key]api.Version{}}
		ws.all = append(ws.all, x)
		ws.done.Go(func() {
			for ctx.Err() == nil {
				x.stream(ctx)
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	return ws
}

// stream follows one stream at a random node until it breaks, or for a while.
func (w *planetWatcher) stream(ctx context.Context) {
	n := w.planet.hosts[w.rand.IntN(len(w.planet.hosts))].running()
	if n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(2+w.rand.IntN(30))*time.Second)
	defer cancel()
	w.mu.Lock()
	if w.watch.List && w.cursor != "" && w.rand.IntN(2) == 0 {
		w.beginAnewLocked()
	}
	r := &api.WatchRequest{Range: w.watch.Range, Collapse: w.watch.Collapse, From: w.cursor, List: w.watch.List && w.cursor == ""}
	if w.cursor == "" { // it begins, or begins anew
		w.watch.Begun, w.watch.Batches, w.ready = now(), nil, false
		clear(w.newest)
	}
	w.streams++
	w.mu.Unlock()
	s, err := n.Watcher().Watch(ctx, r)
	if err != nil {
		if c := api.CodeOf(err); c == api.CodeInvalid || c == api.CodeTooLarge {
			w.planet.t.Errorf("a watch was refused: %v", err)
		}
		return
	}
	defer func() { _ = s.Close() }() // a watch has no error to close with
	for continued := r.From != ""; ; continued = false {
		b, err := s.Next()
		if err != nil {
			return
		}
		w.told(b, continued)
	}
}

// beginAnewLocked ends the watch, which must have been ready: what had applied when it began must have been listed.
func (w *planetWatcher) beginAnewLocked() {
	ended := w.watch
	ended.Until = ended.Begun
	w.over = append(w.over, &ended)
	w.cursor, w.watch.Batches = "", nil
}

func (w *planetWatcher) told(b *api.WatchBatch, continued bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watch.Batches = append(w.watch.Batches, history.Told{WatchBatch: *b, At: w.instant(), Continued: continued})
	if b.Reset {
		w.ready = false
		clear(w.newest)
	}
	w.ready = w.ready || b.Ready
	if b.Cursor != "" {
		w.cursor = b.Cursor
	}
	for _, e := range b.Events {
		if e.Version.Compare(w.newest[e.Key]) > 0 {
			w.newest[e.Key] = e.Version
		}
	}
}

// behind reports whether something that has become visible has not been told. A list whose pages have all of it is behind until the watch
// says that it has passed them.
func (w *planetWatcher) behind() bool {
	want := w.planet.changes.newest(w.watch.Range)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ready {
		return true
	}
	for k, e := range want {
		told := w.newest[k]
		if absent := w.watch.List && told.IsZero() && e.Kind != api.EventPut; !absent && told.Compare(e.Version) < 0 {
			return true
		}
	}
	return false
}

// stop waits until the watchers have been told all that has become visible so far, for 30 s at most, and ends them. The faults must be
// over.
func (ws *watchers) stop() []*history.Watch {
	until := now()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		done := true
		for _, w := range ws.all {
			done = done && !w.behind()
		}
		if done {
			break
		}
	}
	ws.cancel()
	ws.done.Wait()
	var all []*history.Watch
	for _, w := range ws.all {
		w.watch.Until = until
		all = append(append(all, w.over...), &w.watch)
	}
	return all
}

// judge hands what the watchers were told to its judges. It returns how many events were told, and over how many streams.
func (ws *watchers) judge(t *testing.T, all []*history.Watch, acked []history.Op) (events, streams int) {
	changed, err := ws.planet.changes.all()
	if err != nil {
		t.Error(err)
	}
	if n, err := history.Kept(acked, changed); err != nil || n == 0 {
		t.Errorf("of %d acknowledged writes: %v", n, err)
	}
	for _, w := range all {
		n, err := history.Watched(w, changed, acked)
		if err != nil {
			t.Error(err)
		}
		events += n
	}
	for _, w := range ws.all {
		streams += w.streams
	}
	return events, streams
}
