package lock

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// directory is what a node knows of one lock: its entries, by one watch for all that wait at the node. A change wakes the waiter
// that is first now, and waiters whose own entry has gone, but no others. It is safe for concurrent use.
type directory struct {
	name   string
	cancel context.CancelFunc

	mu      sync.Mutex
	refs    int                  // guarded by the service's mu: waiters that have joined
	linger  *time.Timer          // guarded by the service's mu: ends the directory; nil while there are waiters
	live    bool                 // guarded by mu, as all below: entries are all there are, but for what is under way here
	entries []place              // oldest first
	waiters map[string][]*waiter // by ID
}

// waiter is one request that waits.
type waiter struct {
	id   string
	wake chan struct{} // holds one element if there is something to see

	version api.Version // guarded by the directory's mu, as all below: of its entry
	seen    bool        // the entry was among the entries
}

func newWaiter(id string, v api.Version) *waiter {
	return &waiter{id: id, version: v, wake: make(chan struct{}, 1)}
}

func (w *waiter) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// add adds a waiter and wakes it if it is first already.
func (d *directory) add(w *waiter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiters[w.id] = append(d.waiters[w.id], w)
	d.look(w)
}

func (d *directory) remove(w *waiter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rest := slices.DeleteFunc(d.waiters[w.id], func(x *waiter) bool { return x == w })
	if d.waiters[w.id] = rest; len(rest) == 0 {
		delete(d.waiters, w.id)
	}
}

// moved says that the waiter's entry has another version now.
func (d *directory) moved(w *waiter, v api.Version) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.version != v {
		w.version, w.seen = v, false
	}
	d.look(w)
}

// look notes whether the waiter's entry is among the entries, and wakes it if it is first or has gone. The caller holds mu.
func (d *directory) look(w *waiter) {
	if !d.live {
		return
	}
	at := slices.IndexFunc(d.entries, func(p place) bool { return p.id == w.id && p.version == w.version })
	if at == 0 || at < 0 && w.seen {
		w.rouse()
	}
	w.seen = w.seen || at >= 0
}

// state returns what is known of the waiter's entry: whether it is first, whether it has gone, and whether anything is known.
func (d *directory) state(w *waiter) (first, gone, live bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := slices.IndexFunc(d.entries, func(p place) bool { return p.id == w.id && p.version == w.version })
	return d.live && at == 0, d.live && at < 0 && w.seen, d.live
}

// holder returns the oldest entry that is known.
func (d *directory) holder() (place, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.live || len(d.entries) == 0 {
		return place{}, false
	}
	return d.entries[0], true
}

// follow watches the directory until ctx ends. A watch that breaks begins again; meanwhile waiters ask the store themselves.
func (d *directory) follow(ctx context.Context, watcher api.Watcher) {
	for pause := watchPause; ctx.Err() == nil; pause = min(2*pause, watchPauseMost) {
		if d.watch(ctx, watcher) {
			pause = watchPause
		}
		d.lost()
		wait(ctx, pause)
	}
}

const (
	watchPause     = 100 * time.Millisecond
	watchPauseMost = 5 * time.Second
)

// watch follows one stream to its end, and reports whether anything came.
func (d *directory) watch(ctx context.Context, watcher api.Watcher) (began bool) {
	stream, err := watcher.Watch(ctx, &api.WatchRequest{Range: api.PrefixRange(Directory(d.name)), List: true})
	if err != nil {
		return false
	}
	defer func() { _ = stream.Close() }() // a watch has no error to close with
	for {
		b, err := stream.Next()
		if err != nil {
			return began
		}
		began = true
		d.apply(b)
	}
}

// lost says that nothing is known any more.
func (d *directory) lost() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
}

// forget drops what is known, and wakes the waiters if there was anything: until it is known again, they ask the store. The caller
// holds mu.
func (d *directory) forget() {
	d.entries = nil
	if !d.live {
		return
	}
	d.live = false
	for _, all := range d.waiters {
		for _, w := range all {
			w.rouse()
		}
	}
}

// apply takes one batch of the watch.
func (d *directory) apply(b *api.WatchBatch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b.Reset || b.Gap != nil {
		d.forget()
	}
	was := d.head()
	for i := range b.Events {
		d.change(&b.Events[i])
	}
	if b.Ready && !d.live {
		d.live = true
		for _, all := range d.waiters {
			for _, w := range all {
				d.look(w)
			}
		}
		return
	}
	if now := d.head(); now != was {
		for _, w := range d.waiters[now.id] {
			d.look(w)
		}
	}
}

// head returns the oldest entry; the zero place if there is none.
func (d *directory) head() place {
	if len(d.entries) == 0 {
		return place{}
	}
	return d.entries[0]
}

// change takes one event. The caller holds mu.
func (d *directory) change(e *api.Event) {
	id := idOf(Directory(d.name), e.Key)
	if id == "" {
		return
	}
	at := slices.IndexFunc(d.entries, func(p place) bool { return p.id == id })
	if at >= 0 && d.entries[at].version.Compare(e.Version) >= 0 {
		return // a repetition
	}
	if at >= 0 {
		d.entries = slices.Delete(d.entries, at, at+1)
	}
	if e.Kind == api.EventPut {
		owner, _ := parseValue(e.Value)
		at, _ := slices.BinarySearchFunc(d.entries, e.Version, func(p place, v api.Version) int { return p.version.Compare(v) })
		d.entries = slices.Insert(d.entries, at, place{id: id, version: e.Version, owner: owner})
	}
	for _, w := range d.waiters[id] {
		d.look(w)
	}
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
