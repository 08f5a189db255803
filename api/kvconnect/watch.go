package kvconnect

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
)

// serveWatch answers a watch with a stream of messages, each after its size: first what the keys hold, then what has changed. Each shows
// one instant, later than the one before. A client that is too slow gets only the newest.
//
// The node watches the whole database, once for all its clients, since only so do changes of several keys come in one order. A client
// that can list and read only a part of the database has no watches.
func (s *server) serveWatch(x *door.Exchange, d database, body []byte) error {
	keys, err := parseWatch(body)
	if err != nil {
		return err
	}
	for i, k := range keys {
		if err := checkRead(k); err != nil {
			return err
		}
		keys[i] = slices.Clone(k) // the body, of which it is a part, need not live as long as the watch
	}
	if len(keys) == 0 {
		return api.Errorf(api.CodeInvalid, "a watch names no key")
	}
	x.About(d.data(keys[0]))
	ctx, cancel := context.WithCancel(x.Base)
	defer cancel()
	defer context.AfterFunc(x.Closing(), cancel)()
	w := &watch{x: x, backend: s.backend, database: d, keys: keys, at: map[api.Key][]place{}, ctx: ctx, news: make(chan struct{}, 1)}
	if err := w.open(); err != nil {
		return err
	}
	defer w.close()
	x.W.Header()["Content-Type"] = octetStream
	defer x.Open()()
	x.Reply(http.StatusOK, -1)
	s.backend.EndWatch(w.tell())
	return nil
}

// watch is one watch of a client. One goroutine follows the changes, another sends them.
type watch struct {
	x       *door.Exchange
	backend *front.Backend
	database
	keys   [][]byte
	at     map[api.Key][]place // where the keys of the store stand in rows
	ctx    context.Context     // ends with the client, and with the node
	stream api.WatchStream
	cancel context.CancelFunc // of the stream
	news   chan struct{}      // has an element if there may be something to send
	done   sync.WaitGroup

	mu      sync.Mutex
	next    []row // guarded by mu: what the keys hold after the events so far
	touched bool  // guarded by mu: next has something that rows have not
	rows    []row // guarded by mu: the same at the end of the last whole batch
	lost    bool  // guarded by mu: an event is missing, so that rows are to be read again
	err     error // guarded by mu: why the stream has ended
}

// place is one of the keys, and whether it is about its sibling.
type place struct {
	key  int
	meta bool
}

func (r *row) half(meta bool) *api.Entry {
	if meta {
		return &r.meta
	}
	return &r.data
}

// open begins to follow the changes of the keys, and reads what they hold, within the time of the request.
func (w *watch) open() error {
	for i, k := range w.keys {
		w.at[w.data(k)] = append(w.at[w.data(k)], place{i, false})
		w.at[w.meta(k)] = append(w.at[w.meta(k)], place{i, true})
	}
	ctx, cancel := context.WithCancel(w.ctx)
	stop := context.AfterFunc(w.x.Ctx, cancel)
	stream, err := w.x.Store.Watch(ctx, &api.WatchRequest{Range: api.PrefixRange(w.prefix())})
	if err != nil {
		stop()
		cancel()
		return err
	}
	if w.rows, err = readKeys(w.x.Ctx, w.x.Store, w.database, w.keys); err == nil && !stop() {
		err = api.Errorf(api.CodeUnavailable, "the watch did not begin in time")
	}
	if err != nil {
		stop()
		cancel()
		_ = stream.Close() // the first error matters more
		return err
	}
	w.stream, w.cancel, w.next = stream, cancel, slices.Clone(w.rows)
	w.done.Go(func() {
		if err := w.follow(); err != nil {
			w.end(err)
		}
	})
	return nil
}

// close ends what open has begun.
func (w *watch) close() {
	w.cancel()
	w.done.Wait()
	_ = w.stream.Close() // a watch that has ended has no more to say
}

// follow takes over what changes, until the stream ends, and returns why. A panic ends the watch alone.
func (w *watch) follow() (err error) {
	defer w.backend.Faults.Catch(routeWatch, &err)
	for {
		b, e := w.stream.Next()
		if e != nil {
			return e
		}
		if w.take(b) {
			w.wake()
		}
	}
}

// wake notes that there may be something to send.
func (w *watch) wake() {
	select {
	case w.news <- struct{}{}:
	default: // the last one has not been taken yet
	}
}

// end notes why the stream has ended.
func (w *watch) end(err error) {
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	w.wake()
}

// take takes a batch over, and reports whether there is something to send. Only the end of a whole batch is an instant that may be shown.
func (w *watch) take(b *api.WatchBatch) (news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = w.lost || b.Gap != nil
	for i := range b.Events {
		e := &b.Events[i]
		for _, p := range w.at[e.Key] {
			half := w.next[p.key].half(p.meta)
			if e.Version.Compare(half.Version) <= 0 {
				continue // what was read has it
			}
			*half = api.Entry{Key: e.Key, Value: e.Value, Version: e.Version, Exists: e.Kind == api.EventPut}
			w.lost, w.touched = w.lost || e.Elided, true
		}
	}
	if b.Cursor != "" {
		copy(w.rows, w.next)
		news, w.touched = w.touched, false
	}
	return news || w.lost
}

// now returns what the keys hold. While changes are missing, they are read again: older values must not be sent.
func (w *watch) now() ([]row, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.lost && w.err == nil {
		w.lost = false
		read, err := w.read()
		if err != nil {
			return nil, err
		}
		renew(w.next, read) // where the batch at hand is newer, it stays so
		renew(w.rows, read)
	}
	return slices.Clone(w.rows), w.err
}

// read reads what the keys hold, without the mutex, which the caller has.
func (w *watch) read() ([]row, error) {
	w.mu.Unlock()
	defer w.mu.Lock()
	ctx, cancel := context.WithTimeout(w.ctx, api.DefaultTimeout)
	defer cancel()
	return readKeys(ctx, w.x.Store, w.database, w.keys)
}

// renew makes rows, which show one instant but for what is missing, those of the later of that instant and the one that read shows.
func renew(rows, read []row) {
	for i := range read {
		for _, meta := range [2]bool{false, true} {
			if r, n := read[i].half(meta), rows[i].half(meta); r.Version.Compare(n.Version) >= 0 {
				*n = *r
			}
		}
	}
}

// tell writes messages until the watch ends, and returns why.
func (w *watch) tell() (why string) {
	out := w.x.NewStream()
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	var told []row
	for {
		rows, err := w.now()
		if err == nil {
			if told, err = w.write(out, told, rows); err != nil {
				return whyGone(err)
			}
		}
		if w.ctx.Err() != nil {
			return w.whyOver()
		}
		if err != nil {
			return string(door.Explain(err, false).Code)
		}
		select {
		case <-w.news:
		case <-ping.C:
			if err := out.Write(make([]byte, 4)); err != nil {
				return whyGone(err)
			}
		case <-w.ctx.Done():
			return w.whyOver()
		}
	}
}

// write writes a message with what rows have and told lacks, if there is any, and returns what has been sent now.
func (w *watch) write(out *door.Stream, told, rows []row) ([]row, error) {
	keys := make([]watchedKey, len(rows))
	changed := false
	for i := range rows {
		if told != nil && told[i].data.Version == rows[i].data.Version && told[i].data.Exists == rows[i].data.Exists {
			continue
		}
		keys[i], changed = watchedKey{true, rows[i].entry(w.keys[i])}, true
	}
	if !changed {
		return told, nil
	}
	message := encodeWatchOutput(keys)
	return rows, out.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(message))), message)
}

func whyGone(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "slow"
	}
	return "client"
}

func (w *watch) whyOver() string {
	if w.x.Closing().Err() != nil {
		return "closing"
	}
	return "client"
}
