package consul

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// query answers a query: at once, or, if it names an index, as soon as its answer has a higher one or the wait is over. keys are those
// that the answer is made of, the sessions aside.
//
// A query that names an index of elsewhere, which is higher than all there are, waits for the next change.
func (f *frontend) query(q *request, keys api.Range, find func(context.Context) (*answer, error)) error {
	a, err := find(q.exchange.Ctx)
	if err == nil && q.index > 0 && a.index <= q.index {
		a, err = f.block(q, keys, a, find)
	}
	if err != nil {
		return err
	}
	q.meta(a)
	return a.send()
}

// waitSpread is the part of its wait, as Consul has it, by which a query waits for longer at most: what began together does not end so.
const waitSpread = 16

// block waits until the answer has another index than now has, and returns it. It is no request in flight meanwhile: the watches of a
// node have a limit of their own. So it keeps no answer, which may be large, and finds it anew when the wait is over, or at once if the
// node closes. To find an answer it is let in again, since one change may wake all that wait.
func (f *frontend) block(q *request, keys api.Range, now *answer, find func(context.Context) (*answer, error)) (*answer, error) {
	x := q.exchange
	ctx, cancel := context.WithTimeout(x.Base, q.wait+rand.N(q.wait/waitSpread+1))
	defer cancel()
	defer context.AfterFunc(x.Closing(), cancel)()
	w := &watches{store: q.store, ctx: ctx, cancel: cancel, news: make(chan struct{}, 1)}
	defer w.close()
	if err := w.open(api.WatchRequest{Range: keys, KeysOnly: true}, nil); err != nil && ctx.Err() == nil {
		return nil, err
	}
	l := &looks{request: q, find: find}
	defer l.end()
	first, holders := now.index, now.holders
	for {
		if err := w.follow(holders); err != nil && ctx.Err() == nil {
			return nil, err
		}
		next, err := l.look(ctx)
		if ctx.Err() != nil {
			return l.look(x.Base)
		}
		if err != nil || next.index > q.index || next.index > first {
			return next, err
		}
		if next.index < first && q.consistency != api.Stale {
			return next, nil // keys were removed by other means: the client begins anew
		}
		if holders = next.holders; slices.ContainsFunc(holders, func(id string) bool { return !w.follows(id) }) {
			continue // the end of a session that took a lock just now is to be seen
		}
		l.rest()
		select {
		case <-w.news:
		case <-ctx.Done():
			return l.look(x.Base)
		}
		if err := w.failed(); err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
}

// looks are what a blocking query does again and again: it finds its answer, as a request in flight, and rests.
type looks struct {
	*request
	find func(context.Context) (*answer, error)
	over func() // ends the stream, which begins with the first rest
	out  bool   // it is no request in flight
}

// look finds the answer within the time of one request. The request is in flight from then on. An error may say that there is no room.
func (l *looks) look(ctx context.Context) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, api.DefaultTimeout)
	defer cancel()
	if l.out {
		if err := l.exchange.LetInAgain(ctx, l.ask()); err != nil {
			return nil, err
		}
		l.out = false
	}
	return l.find(ctx)
}

// rest gives the place of the request back.
func (l *looks) rest() {
	l.out = true
	if l.over == nil {
		l.over = l.exchange.Open()
		return
	}
	l.exchange.Leave()
}

func (l *looks) end() {
	if l.over != nil {
		l.over()
	}
}

// watches are the watches of one blocking query: of its keys, and of the sessions if some hold locks.
type watches struct {
	store interface {
		Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error)
	}
	ctx    context.Context
	cancel context.CancelFunc
	news   chan struct{} // has an element if the answer may have changed
	tasks  sync.WaitGroup

	sessions bool // they are watched

	mu      sync.Mutex
	err     error           // guarded by mu: why a watch has ended
	holders map[string]bool // guarded by mu: the sessions whose end matters
}

// open begins a watch. of reports whether an event matters; nil: each does.
func (w *watches) open(r api.WatchRequest, of func(*api.Event) bool) error {
	ctx, cancel := context.WithCancel(w.ctx)
	late := time.AfterFunc(api.DefaultTimeout, cancel)
	stream, err := w.store.Watch(ctx, &r)
	if !late.Stop() && err == nil {
		_ = stream.Close() // it has ended
		err = api.Errorf(api.CodeUnavailable, "the watch did not begin in time")
	}
	if err != nil {
		cancel()
		return err
	}
	w.tasks.Go(func() {
		defer cancel()
		defer func() { _ = stream.Close() }() // a watch has no error to close with
		w.read(stream, of)
	})
	return nil
}

// read wakes the watches for each batch of a stream, until the stream ends.
func (w *watches) read(stream api.WatchStream, of func(*api.Event) bool) {
	for {
		b, err := stream.Next()
		if err != nil {
			w.mu.Lock()
			w.err = err
			w.mu.Unlock()
			w.tell()
			return
		}
		if b.Gap != nil || b.Reset || slices.ContainsFunc(b.Events, func(e api.Event) bool { return of == nil || of(&e) }) {
			w.tell()
		}
	}
}

func (w *watches) tell() {
	select {
	case w.news <- struct{}{}:
	default: // the last one has not been taken yet
	}
}

// follow watches the sessions from now on, if there are any.
func (w *watches) follow(ids []string) error {
	w.mu.Lock()
	w.holders = map[string]bool{}
	for _, id := range ids {
		w.holders[id] = true
	}
	w.mu.Unlock()
	if len(ids) == 0 || w.sessions {
		return nil
	}
	w.sessions = true
	return w.open(api.WatchRequest{Range: api.PrefixRange(sessions), KeysOnly: true}, func(e *api.Event) bool {
		return e.Kind != api.EventPut && w.follows(string(e.Key[len(sessions):]))
	})
}

func (w *watches) follows(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holders[id]
}

func (w *watches) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// close ends the watches and waits for them.
func (w *watches) close() {
	w.cancel()
	w.tasks.Wait()
}
