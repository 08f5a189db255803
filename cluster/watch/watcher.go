package watch

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/cursor"
	"github.com/edgehold/edgehold/cluster/words"
)

// watcher is one watch. It keeps its position and takes from the ring of its source; or, when that no longer has what comes next, from
// a merge of its own until it has.
type watcher struct {
	hub     *Hub
	request api.WatchRequest
	ctx     context.Context
	cancel  context.CancelFunc
	stop    func() bool // of the watch over the caller's ctx
	source  *source
	view    *view

	mu    sync.Mutex // held during Next
	err   error      // why the watch ended
	gone  bool       // it has let go of everything
	idle  time.Time  // when it took last
	quiet time.Time  // when it was told something last
	gaps  []api.Gap  // delivered before Ready
	ready bool       // it was told that it has begun

	at   *cursor.Cursor // all up to here has been told, but for what out leaves out
	out  *filter
	next uint64 // the round of the ring to take, if attached
	done int    // how many parts of it, or of own.round, were taken
	// attached means that the ring has all that comes after at.
	attached bool
	own      *catchUp // nil if attached
}

func newWatcher(ctx context.Context, h *Hub, r *api.WatchRequest) *watcher {
	now := time.Now()
	w := &watcher{hub: h, request: *r, idle: now, quiet: now}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w
}

// begin joins a source at the position.
func (w *watcher) begin(at *cursor.Cursor) error {
	if _, err := at.Encode(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone { // else what joins now would never leave
		return w.err
	}
	w.at = at
	if err := w.hub.join(w, at); err != nil {
		return err
	}
	w.stop = context.AfterFunc(w.ctx, func() { w.leave(ended(w.ctx)) })
	return nil
}

// Close implements [api.WatchStream].
func (w *watcher) Close() error {
	w.leave(&api.Error{Code: api.CodeUnavailable, Op: "watch", Hint: "the watch was closed"})
	return nil
}

// leave ends the watch and lets go of what it holds. The first error is why it ended.
func (w *watcher) leave(err error) {
	w.cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaveLocked(err)
}

func (w *watcher) leaveLocked(err error) {
	if w.gone {
		return
	}
	w.gone, w.err = true, err
	w.cancel()
	if w.stop != nil {
		w.stop()
	}
	w.endOwn()
	if s := w.source; s != nil {
		s.mu.Lock()
		s.leaveLocked(w.view)
		s.mu.Unlock()
	}
	w.hub.part(w)
}

// sweep ends the watch if it has taken nothing for long, and its turn to catch up earlier.
func (w *watcher) sweep() {
	if !w.mu.TryLock() {
		return // it takes
	}
	defer w.mu.Unlock()
	switch d := time.Since(w.idle); {
	case d >= MaxWatchIdle:
		w.leaveLocked(&api.Error{Code: api.CodeUnavailable, Op: "watch", RetryAfter: time.Second,
			Hint: "the watch took nothing for 30 seconds and was closed; continue from the last cursor, and take faster"})
	case d >= catchUpIdle:
		w.endOwn()
	}
}

// Next implements [api.WatchStream].
func (w *watcher) Next() (*api.WatchBatch, error) { return w.await(-1) }

// await returns the next batch. If there is none for as long as that, it returns nil; a negative time is as long as it takes.
func (w *watcher) await(most time.Duration) (*api.WatchBatch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = time.Now()
	defer func() { w.idle = time.Now() }()
	until := w.quiet.Add(progressEvery)
	if most >= 0 {
		until = w.idle.Add(most)
	}
	var timer *time.Timer
	for {
		b, changed, err := w.step()
		if b != nil || err != nil {
			return w.told(b, err)
		}
		left := time.Until(until)
		if left <= 0 {
			if most >= 0 && time.Since(w.quiet) < progressEvery {
				return nil, nil
			}
			b, err := w.progress()
			w.yieldTurn()
			return w.told(b, err)
		}
		if timer == nil {
			timer = time.NewTimer(left)
			defer timer.Stop()
		}
		w.sleep(changed, timer.C)
	}
}

// told notes that the watcher is told something, or ends.
func (w *watcher) told(b *api.WatchBatch, err error) (*api.WatchBatch, error) {
	if err != nil {
		w.leaveLocked(err)
		return nil, w.err
	}
	w.quiet = time.Now()
	return b, nil
}

// step returns the next batch if it is there; if not, a channel that is closed when it may be.
func (w *watcher) step() (*api.WatchBatch, <-chan struct{}, error) {
	switch {
	case w.gone:
		return nil, nil, w.err
	case w.ctx.Err() != nil:
		return nil, nil, ended(w.ctx)
	case w.hub.ctx.Err() != nil:
		return nil, nil, closing()
	case len(w.gaps) > 0:
		b := &api.WatchBatch{Gap: &w.gaps[0]}
		w.gaps = w.gaps[1:]
		return b, nil, nil
	case !w.ready && !w.request.List:
		w.ready = true
		text, err := w.at.Part(w.request.Range).Encode()
		return &api.WatchBatch{Ready: true, Cursor: text}, nil, err
	}
	if w.own != nil {
		b, err := w.takeOwn()
		if b != nil || err != nil || w.own != nil {
			return b, nil, err
		}
	}
	return w.take()
}

// sleep waits until there may be something to take, the watch ends, or the timer fires.
func (w *watcher) sleep(changed <-chan struct{}, timer <-chan time.Time) {
	turn, rounds := w.own.waits()
	select {
	case <-changed:
	case <-turn:
		w.own.start(w)
	case r, ok := <-rounds:
		w.own.took(r, ok)
	case <-timer:
	case <-w.ctx.Done():
	case <-w.hub.ctx.Done():
	}
}

// take takes from the ring.
func (w *watcher) take() (*api.WatchBatch, <-chan struct{}, error) {
	s := w.source
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil && s.of != w.request.Range && !passing(s.err):
		return nil, nil, errWiderEnded() // what was refused is the wider range
	case s.err != nil:
		return nil, nil, s.err
	case !s.opened:
		return nil, w.view.changed, nil
	case !w.attached && !w.attachLocked():
		w.own = w.hub.catchUp()
		return nil, nil, nil
	}
	for {
		n, some := w.view.wantedFrom(w.next)
		switch {
		case w.next <= w.view.lost:
			w.attached = false
			w.own = w.hub.catchUp()
			return nil, nil, nil
		case !some:
			w.next, w.done = s.nextLocked(), 0
			w.moveTo(s.at)
			return nil, w.view.changed, nil
		case n > w.next: // what lies between has nothing for the range, and may have left the ring
			w.next, w.done = n, 0
			w.moveTo(s.ring[n-s.first].before)
		}
		b, err := w.takeRoundLocked(s.ring[w.next-s.first])
		if b != nil || err != nil {
			return b, nil, err
		}
	}
}

func errWiderEnded() error {
	return &api.Error{Code: api.CodeUnavailable, Op: "watch", RetryAfter: time.Second,
		Hint: "the feed of a wider range, which this watch shared, has ended; continue from the last cursor"}
}

// attachLocked finds the place of the watcher in the ring, if it is there.
func (w *watcher) attachLocked() bool {
	s := w.source
	if w.out != nil && w.out.passed != nil {
		return false
	}
	at := w.at.Part(w.request.Range)
	next, ok := s.placeLocked(at)
	if !ok {
		return false
	}
	start := s.at
	if next < s.nextLocked() {
		start = s.ring[next-s.first].before
	}
	out := &filter{passed: at}
	if w.out != nil {
		out.pages = w.out.pages
	}
	w.attached, w.next, w.done, w.out = true, next, 0, out
	w.moveTo(start)
	return true
}

// moveTo notes the position of the stream.
func (w *watcher) moveTo(at *cursor.Cursor) {
	if w.at != at || w.out != nil {
		w.at = at
		w.out = w.out.moved(at, w.request.Range)
	}
}

// takeRoundLocked takes the next part that the watcher is to be told. It returns nil when the round has none left.
func (w *watcher) takeRoundLocked(r *round) (b *api.WatchBatch, err error) {
	n := w.next
	if w.request.Collapse && w.out == nil && (n < w.source.nextLocked()-1 || w.done < len(r.parts)-1) {
		return w.collapseLocked()
	}
	var shared []*api.WatchBatch
	if w.out == nil {
		if shared, err = w.view.batches(n, r); err != nil {
			return nil, err
		}
	}
	for b == nil && err == nil && w.done < len(r.parts) {
		p := &r.parts[w.done]
		if w.done++; shared != nil {
			b = shared[w.done-1]
		} else {
			b, err = w.view.batch(p, w.out)
		}
		if p.at != nil {
			w.moveTo(p.at)
		}
	}
	if w.done == len(r.parts) {
		w.next, w.done = n+1, 0
		w.moveTo(r.after)
	}
	return w.withCursor(b), err
}

// withCursor gives a batch of its own the watcher's position, if nothing is left out any more.
func (w *watcher) withCursor(b *api.WatchBatch) *api.WatchBatch {
	if b != nil && b.Cursor == "" && w.out == nil {
		b.Cursor, _ = w.at.Part(w.request.Range).Encode() // without one the batch is not whole
	}
	return b
}

// progress is what a watcher is told to which nothing happens.
func (w *watcher) progress() (b *api.WatchBatch, err error) {
	asOf := w.own.asOf()
	b = &api.WatchBatch{Age: math.MaxInt64}
	s := w.source
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.attached && w.at == s.at {
		asOf = s.asOf
	}
	if w.out == nil {
		b.Cursor, err = w.view.cursorOf(w.at)
	}
	if !asOf.IsZero() {
		b.Age = words.AgeOf(asOf)
	}
	return b, err
}
