package httpd

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

// eventWriter writes a watch as Server-Sent Events. It belongs to one goroutine.
type eventWriter struct {
	stream   *door.Stream
	keysOnly bool
	buf      []byte
}

// Clients of a stream that breaks come back after a time between leastRetry and mostRetry.
const (
	leastRetry = time.Second
	mostRetry  = 3 * time.Second
)

// retryField says how soon a client whose connection breaks comes back. Each stream has a time of its own: the clients of a node that stops
// do not all come back at once.
func retryField() string {
	after := leastRetry + rand.N(mostRetry-leastRetry)
	return "retry: " + strconv.FormatInt(after.Milliseconds(), 10) + "\n\n"
}

// begin says how soon a client whose connection breaks comes back. A list begins with a reset, so that a client whose list was cut
// off forgets what it had of it.
func (o *eventWriter) begin(list bool) {
	text := retryField()
	if list {
		text += "event: reset\ndata: {}\n\n"
	}
	_ = o.stream.Write([]byte(text)) // the next batch finds out whether the client has gone
}

// batch writes a batch and sends it. The cursor is the id of its last event, so that no client goes on from the middle of it. An
// error means that the client has gone, or takes nothing.
func (o *eventWriter) batch(shared *frames, b *api.WatchBatch) error {
	buf := o.buf[:0]
	open := false // whether the last event is to be ended
	single := func(name, data string) {
		if open {
			buf = append(buf, '\n')
		}
		buf, open = append(buf, "event: "+name+"\ndata: "+data+"\n"...), true
	}
	if b.Reset {
		single("reset", "{}")
	}
	if b.Gap != nil {
		single("gap", gapJSON(b.Gap))
	}
	var events []byte
	if len(b.Events) > 0 {
		if !guardIDLast {
			buf = append(append(append(buf, "id: "...), b.Cursor...), '\n')
		}
		if open {
			buf = append(buf, '\n')
		}
		events, open = shared.of(b.Events, o.keysOnly), true
	}
	before := len(buf)
	if b.Ready {
		single("ready", "{}")
	}
	switch {
	case open:
	case b.Cursor == "" && b.Age == 0:
		return nil
	default:
		single("progress", `{"age":`+strconv.FormatFloat(b.Age.Seconds(), 'f', 3, 64)+`}`)
	}
	if b.Cursor != "" {
		buf = append(append(append(buf, "id: "...), b.Cursor...), '\n')
	}
	buf = append(buf, '\n')
	o.buf = buf
	return o.stream.Write(o.buf[:before], events, o.buf[before:])
}

// end writes the last event: why the watch ends.
func (o *eventWriter) end(p *problem) error {
	return o.stream.Write([]byte("event: end\ndata: "), bytes.TrimSuffix(p.json(), []byte{'\n'}), []byte("\n\n"))
}

// gapJSON is the data of a gap: the bounds of the keys that it concerns, and why.
func gapJSON(g *api.Gap) string {
	b := append(appendText([]byte{'{'}, "start", []byte(g.Range.Start)), ',')
	b = append(appendText(b, "end", []byte(g.Range.End)), ',')
	return string(append(appendText(b, "reason", []byte(g.Reason)), '}'))
}

// appendEvents appends the events, the last one without the line that ends it.
func appendEvents(dst []byte, events []api.Event, keysOnly bool) []byte {
	for i := range events {
		if i > 0 {
			dst = append(dst, '\n')
		}
		dst = appendEvent(dst, &events[i], keysOnly)
	}
	return dst
}

func appendEvent(dst []byte, e *api.Event, keysOnly bool) []byte {
	if e.Kind == api.EventPut {
		dst = append(dst, "event: put\ndata: {"...)
	} else {
		dst = append(dst, "event: delete\ndata: {"...)
	}
	dst = appendText(dst, "key", []byte(e.Key))
	if e.Kind == api.EventPut && !keysOnly && !e.Elided {
		dst = appendText(append(dst, ','), "value", e.Value)
	}
	dst = appendText(append(dst, ','), "version", []byte(e.Version.String()))
	dst = appendTTL(dst, e.TTL)
	if e.Kind == api.EventExpire {
		dst = append(dst, `,"expired":true`...)
	}
	if e.Txn != 0 {
		dst = append(strconv.AppendUint(append(dst, `,"txn":"`...), e.Txn, 16), '"')
	}
	if e.Elided {
		dst = append(dst, `,"elided":true`...)
	}
	return append(dst, "}\n"...)
}

// maxFrameBytes and maxFrames bound the events that are kept as text because other watchers will need them too.
const (
	maxFrameBytes = 16 << 20
	maxFrames     = 4096
)

// frames has the events of the newest batches as text, so that a batch that many watch is rendered once. It is safe for concurrent
// use, and its zero value works.
type frames struct {
	mu    sync.Mutex
	known map[frameKey]*frame // guarded by mu
	order []*frame            // guarded by mu: oldest first
	bytes int                 // guarded by mu: of all in order
}

// frameKey identifies events by where they are: batches that many watch are shared, and never change.
type frameKey struct {
	first    *api.Event
	n        int
	keysOnly bool
}

type frame struct {
	key  frameKey
	size int  // guarded by frames.mu: of text, once it is counted
	left bool // guarded by frames.mu: it is not in frames any more
	once sync.Once
	text []byte // set by once
}

// of returns the events as text, which must not be changed.
func (f *frames) of(events []api.Event, keysOnly bool) []byte {
	at := f.at(frameKey{&events[0], len(events), keysOnly})
	at.once.Do(func() {
		at.text = appendEvents(make([]byte, 0, framesSize(events)), events, keysOnly)
		f.count(at, len(at.text))
	})
	return at.text
}

// at returns the place of some events, which may be new.
func (f *frames) at(key frameKey) *frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at := f.known[key]; at != nil {
		return at
	}
	if f.known == nil {
		f.known = map[frameKey]*frame{}
	}
	at := &frame{key: key}
	f.known[key] = at
	f.order = append(f.order, at)
	return at
}

// count notes the size of a frame, and forgets the oldest ones if there are too many.
func (f *frames) count(at *frame, size int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at.left {
		return
	}
	at.size = size
	f.bytes += size
	for len(f.order) > maxFrames || f.bytes > maxFrameBytes && len(f.order) > 1 {
		oldest := f.order[0]
		f.order[0], f.order = nil, f.order[1:]
		oldest.left = true
		f.bytes -= oldest.size
		delete(f.known, oldest.key)
	}
}

// framesSize is about how long events are as text.
func framesSize(events []api.Event) (n int) {
	for i := range events {
		n += len(events[i].Key) + len(events[i].Value) + 96
	}
	return n + n/16
}
