package watch

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// listing is a watch that first lists its range. List and watch go side by side: between two pages the watch takes what is there, so
// that a long list needs no long history.
type listing struct {
	w     *watcher
	pages *pages            // nil once the watch has passed all of them
	until time.Time         // until then the watch takes what is there before the next page is read; zero: the page is next
	rest  []*api.WatchBatch // of the page, still to be delivered
}

func newListing(w *watcher) *listing {
	l := &listing{w: w}
	l.restart()
	return l
}

// restart lists from the beginning.
func (l *listing) restart() {
	r := l.w.request.Range
	l.pages, l.until, l.rest = &pages{of: r, next: r.Start}, time.Time{}, nil
	l.w.list(l.pages)
}

// Close implements [api.WatchStream].
func (l *listing) Close() error { return l.w.Close() }

// Next implements [api.WatchStream].
func (l *listing) Next() (*api.WatchBatch, error) {
	for {
		b, err := l.step()
		switch {
		case err != nil:
			l.w.leave(err)
			return nil, err
		case b == nil:
		case b.Gap != nil:
			l.restart()
			return &api.WatchBatch{Reset: true}, nil
		default:
			return b, nil
		}
	}
}

// step returns what is next, or nil if it has to be called again.
func (l *listing) step() (*api.WatchBatch, error) {
	switch {
	case l.pages == nil:
		return l.w.Next()
	case len(l.rest) > 0:
		return l.take()
	case l.until.IsZero() && !l.pages.all:
		return l.page()
	case !l.pages.all:
		return l.between()
	}
	b, err := l.w.pass(l.pages)
	if b != nil || err != nil {
		l.pages = nil
		return b, err
	}
	return l.w.await(settlePoll)
}

// page reads and delivers the next page.
func (l *listing) page() (*api.WatchBatch, error) {
	r := &l.w.request
	q := words.ListRequest{ListRequest: api.ListRequest{
		Range: api.Range{Start: l.pages.next, End: r.Range.End}, Limit: api.MaxListLimit, KeysOnly: r.KeysOnly,
	}}
	res, err := l.w.hub.cfg.Lister.List(l.w.ctx, &q)
	if err != nil {
		return nil, err
	}
	if err := l.w.add(l.pages, res); err != nil {
		return nil, err
	}
	l.until = time.Now().Add(settleTime)
	if len(res.Entries) == 0 {
		return nil, nil
	}
	l.rest = batchesOf(res.Entries)
	return l.take()
}

// take tells what comes next of the page.
func (l *listing) take() (*api.WatchBatch, error) {
	if err := l.w.takes(); err != nil {
		return nil, err
	}
	b := l.rest[0]
	l.rest = l.rest[1:]
	return b, nil
}

// batchesOf returns a page as events, in batches of about roundBytes: a watcher that is slow, but not idle, takes one in time.
func batchesOf(entries []api.Entry) (all []*api.WatchBatch) {
	size := 0
	for _, e := range entries {
		if len(all) == 0 || size >= roundBytes {
			all, size = append(all, &api.WatchBatch{}), 0
		}
		b := all[len(all)-1]
		b.Events = append(b.Events, api.Event{Kind: api.EventPut, Key: e.Key, Version: e.Version, Value: e.Value, TTL: e.TTL})
		size += len(e.Key) + len(e.Value) + eventBytes
	}
	return all
}

// between takes what the watch has before the next page is read. If the watch is behind, it gets some time.
func (l *listing) between() (*api.WatchBatch, error) {
	b, err := l.w.await(0)
	if b != nil || err != nil {
		return b, err
	}
	if !l.w.behind() && time.Now().Before(l.until) {
		l.until = time.Now()
	}
	left := time.Until(l.until)
	if left <= 0 {
		l.until = time.Time{}
		return nil, nil
	}
	return l.w.await(min(left, settlePoll))
}

// takes notes that the watcher takes something, or returns why the watch has ended.
func (w *watcher) takes() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = time.Now()
	w.quiet = w.idle
	return w.err
}

// list makes the watch leave out what the pages of a list have.
func (w *watcher) list(p *pages) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready = true
	if w.out == nil {
		w.out = &filter{}
	}
	w.out.pages = p
}

// add adds a page to those that the watch leaves out.
func (w *watcher) add(p *pages, res *words.ListResult) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := p.add(res); err != nil {
		return err
	}
	p.moved(w.at)
	return nil
}

// behind reports whether the watch does not take from the end of the ring.
func (w *watcher) behind() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.attached || w.out != nil && w.out.passed != nil
}

// pass returns the batch that says that the list is complete, once the watch has passed all its pages. Until then it returns nil.
func (w *watcher) pass(p *pages) (*api.WatchBatch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !p.moved(w.at) || w.out.passed != nil {
		return nil, nil
	}
	w.out = nil
	text, err := w.at.Part(w.request.Range).Encode()
	return &api.WatchBatch{Ready: true, Cursor: text}, err
}
