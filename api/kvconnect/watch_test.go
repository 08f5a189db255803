package kvconnect

import (
	"context"
	"encoding/binary"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
)

// watching is a watch of a client within a bubble, where time passes only when all wait.
type watching struct {
	*client
	header http.Header
	status int
	end    context.CancelFunc
	over   sync.WaitGroup

	mu   sync.Mutex
	text []byte
	err  error // of writes
}

func (w *watching) Header() http.Header    { return w.header }
func (w *watching) WriteHeader(status int) { w.status = status }
func (w *watching) Flush()                 {}
func (w *watching) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, b...)
	return len(b), w.err
}

func (c *client) watch(ctx context.Context, keys ...string) *watching {
	c.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var message []byte
	for _, key := range keys {
		message = appendMessage(message, 1, func(b []byte) []byte { return appendBytes(b, 1, []byte(key)) })
	}
	r := httptest.NewRequest(http.MethodPost, "/kvconnect/app/eventual/watch", strings.NewReader(string(message))).WithContext(ctx)
	r.Header.Set("X-Denokv-Version", "3")
	r.Header.Set("X-Denokv-Database-Id", c.db.id())
	w := &watching{client: c, header: http.Header{}, end: cancel}
	w.over.Go(func() { c.h.ServeHTTP(w, r) })
	synctest.Wait()
	return w
}

// close ends the watch, as a client does that goes away.
func (w *watching) close() { w.end(); w.over.Wait() }

// seen is what a message says of a key.
type seen struct {
	changed, exists bool
	got
}

// told returns the messages that have come since the last call. A message without keys is a ping.
func (w *watching) told() (messages [][]seen) {
	w.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.text) > 0 {
		size := binary.LittleEndian.Uint32(w.text)
		body := w.text[4 : 4+size]
		w.text = w.text[4+size:]
		var keys []seen
		err := eachField(body, "WatchOutput", func(f *field) (bool, error) {
			if f.number == 1 {
				return f.typ == protowire.VarintType && f.varint == 1, nil
			}
			var s seen
			err := eachField(f.bytes, "WatchKeyOutput", func(f *field) (bool, error) {
				if f.number == 1 {
					s.changed = f.varint == 1
				} else {
					s.exists, s.got = true, decodeEntry(f.bytes)
				}
				return true, nil
			})
			keys = append(keys, s)
			return true, err
		})
		if err != nil {
			w.Fatal(err)
		}
		messages = append(messages, keys)
	}
	return messages
}

// wantOne wants one message, and returns it.
func (w *watching) wantOne() []seen {
	w.Helper()
	messages := w.told()
	if len(messages) != 1 {
		w.Fatalf("%d messages: %v", len(messages), messages)
	}
	return messages[0]
}

// TestWatch: a watch sends all keys at first, then what changes of them, all of one write at once, and nothing of other keys. It ends with
// its client.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		first := c.do(putInt(k("a"), 1), put(k("other"), "x"))
		w := c.watch(t.Context(), k("a"), k("b"))
		defer w.close()
		if m := w.wantOne(); w.status != 200 || w.header.Get("Content-Type") != "application/octet-stream" ||
			m[0] != (seen{true, true, got{k("a"), le64(1), encodingLE64, first}}) || m[1] != (seen{changed: true}) {
			t.Errorf("at first: %d %v %v", w.status, w.header, m)
		}
		c.do(put(k("other"), "y"), putInt(k("c"), 1))
		if m := w.told(); len(m) > 0 {
			t.Errorf("of other keys: %v", m)
		}
		stamp := c.do(put(k("a"), "v8"), putInt(k("b"), 2))
		if m := w.wantOne(); m[0] != (seen{true, true, got{k("a"), "v8", encodingV8, stamp}}) || m[1] != (seen{true, true, got{k("b"), le64(2), encodingLE64, stamp}}) {
			t.Errorf("of one write: %v", m)
		}
		c.do(del(k("a")))
		if m := w.wantOne(); m[0] != (seen{changed: true}) || m[1] != (seen{}) {
			t.Errorf("of a delete: %v", m)
		}
		stamp = c.do(sum(k("b"), 5))
		if m := w.wantOne(); m[0] != (seen{}) || m[1] != (seen{true, true, got{k("b"), le64(7), encodingLE64, stamp}}) {
			t.Errorf("of a sum: %v", m)
		}
		time.Sleep(pingInterval + time.Second)
		if m := w.wantOne(); len(m) != 0 {
			t.Errorf("a ping is %v", m)
		}
		x := putInt(k("a"), 9)
		x.expireAt = time.Now().Add(time.Second).UnixMilli()
		c.do(x)
		if m := w.wantOne(); m[0].value != le64(9) {
			t.Errorf("of a key that expires: %v", m)
		}
		time.Sleep(2 * time.Second)
		if m := w.wantOne(); m[0] != (seen{changed: true}) {
			t.Errorf("of a key that has expired: %v", m)
		}
	})
}

// TestWatchEndsWithTheNode: a watch ends when its server closes, so that its client goes on elsewhere, and when its client does not take
// what is written.
func TestWatchEndsWithTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		closing, drain := context.WithCancel(t.Context())
		w := c.watch(door.WithClosing(t.Context(), closing), k("a"))
		w.wantOne()
		drain()
		w.over.Wait()
		if m := w.told(); len(m) > 0 {
			t.Errorf("at its end it said %v", m)
		}
		gone := c.watch(t.Context(), k("a"))
		gone.wantOne()
		gone.mu.Lock()
		gone.err = http.ErrBodyNotAllowed
		gone.mu.Unlock()
		c.do(put(k("a"), "x"))
		gone.over.Wait()
	})
}

// TestWatchOfAFault: a fault in what follows the changes ends the watch alone.
func TestWatchOfAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gaps{batches: make(chan *api.WatchBatch)}
		c := newClient(t, func(f *front.Config) { f.Watcher = g })
		w := c.watch(t.Context(), k("a"))
		w.wantOne()
		g.batches <- nil // no stream has such a batch
		w.over.Wait()
		if m := w.told(); len(m) > 0 {
			t.Errorf("at its end it said %v", m)
		}
	})
}

// gaps is a Watcher of a stream that a test makes.
type gaps struct {
	api.Watcher
	batches chan *api.WatchBatch
	ctx     context.Context
}

func (g *gaps) Watch(ctx context.Context, _ *api.WatchRequest) (api.WatchStream, error) {
	g.ctx = ctx
	return g, nil
}

func (g *gaps) Close() error { return nil }

func (g *gaps) Next() (*api.WatchBatch, error) {
	select {
	case b, ok := <-g.batches:
		if !ok {
			return nil, api.Errorf(api.CodeDenied, "revoked")
		}
		return b, nil
	case <-g.ctx.Done():
		return nil, g.ctx.Err()
	}
}

// TestWatchBatches: half a batch is not sent, what is missing is read again, what was read already is not sent again, and the watch ends
// when its rights do.
func TestWatchBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gaps{batches: make(chan *api.WatchBatch)}
		c := newClient(t, func(c *front.Config) { c.Watcher = g })
		c.do(put(k("a"), "1"), put(k("b"), "1"))
		w := c.watch(t.Context(), k("a"), k("b"))
		w.wantOne()
		newer := api.Version{Epoch: 1, Index: 1000}
		event := func(key, value string, v api.Version) api.Event {
			return api.Event{Kind: api.EventPut, Key: c.db.data([]byte(key)), Value: []byte(value), Version: v}
		}
		g.batches <- &api.WatchBatch{Events: []api.Event{event(k("a"), "old", api.Version{Epoch: 1, Index: 0})}, Cursor: "1"}
		if m := w.told(); len(m) > 0 {
			t.Errorf("of what was read: %v", m)
		}
		g.batches <- &api.WatchBatch{Events: []api.Event{event(k("a"), "2", newer)}}
		if m := w.told(); len(m) > 0 {
			t.Errorf("of half a batch: %v", m)
		}
		g.batches <- &api.WatchBatch{Events: []api.Event{event(k("b"), "2", newer)}, Cursor: "2"}
		if m := w.wantOne(); m[0].value != "2" || m[1].value != "2" {
			t.Errorf("of a whole batch: %v", m)
		}
		for range 1100 { // so that the reference store is beyond those versions
			c.do(put(k("b"), "3"))
		}
		g.batches <- &api.WatchBatch{Gap: &api.Gap{}, Cursor: "3"}
		if m := w.wantOne(); m[1].value != "3" || m[0].changed {
			t.Errorf("after a gap: %v", m)
		}
		c.do(put(k("a"), "4"))
		elided := event(k("a"), "", api.Version{Epoch: 1, Index: math.MaxUint32})
		if g, _ := c.get(k("a")); g.stamp != "" {
			v, _ := versionOf([]byte(g.stamp))
			elided.Version = v
		}
		elided.Elided, elided.Value = true, nil
		g.batches <- &api.WatchBatch{Events: []api.Event{elided}, Cursor: "4"}
		if m := w.wantOne(); m[0].value != "4" {
			t.Errorf("of a value that was left out: %v", m)
		}
		close(g.batches)
		w.over.Wait()
	})
}
