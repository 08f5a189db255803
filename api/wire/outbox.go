package wire

import (
	"io"
	"runtime"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// outbox collects messages while earlier ones are being sent.
type outbox struct {
	max int // bytes that may wait

	mu     sync.Mutex
	change sync.Cond    // of anything below, by mu
	w      codec.Writer // guarded by mu: what waits
	added  uint64       // guarded by mu: messages so far
	taken  uint64       // guarded by mu: of these, handed to the connection
	closed bool         // guarded by mu
}

func newOutbox(limit int) *outbox {
	o := &outbox{max: limit}
	o.change.L = &o.mu
	return o
}

// run sends messages until the connection fails or the outbox is closed and empty.
func (o *outbox) run(to io.Writer) error {
	var spare []byte
	for {
		b := o.take(spare)
		if len(b) == 0 {
			return nil
		}
		if _, err := to.Write(b); err != nil {
			return err
		}
		if spare = b[:0]; cap(b) > maxKeptBytes {
			spare = nil
		}
	}
}

// take waits for messages and returns all of them. It returns none if the outbox is closed.
func (o *outbox) take(spare []byte) []byte {
	o.mu.Lock()
	for len(o.w.B) == 0 && !o.closed {
		o.change.Wait()
	}
	o.mu.Unlock()
	runtime.Gosched() // lets goroutines woken by the same packet add their messages first
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.w.B
	o.w.B, o.taken = spare, o.added
	o.change.Broadcast()
	return b
}

// tryAdd adds a message and returns its number. An error means that nothing was added, because the outbox is closed or full or
// the message is too long.
func (o *outbox) tryAdd(k kind, id uint64, body func(w *codec.Writer)) (n uint64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return 0, errOver
	case len(o.w.B) >= o.max:
		return 0, overload("%d bytes wait to be sent, the limit", o.max)
	}
	return o.append(k, id, body)
}

// add waits for room and adds a message. It does nothing if the outbox is closed. An error means that the message is too long.
func (o *outbox) add(k kind, id uint64, body func(w *codec.Writer)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.w.B) >= o.max && !o.closed {
		o.change.Wait()
	}
	if o.closed {
		return nil
	}
	_, err := o.append(k, id, body)
	return err
}

func (o *outbox) append(k kind, id uint64, body func(w *codec.Writer)) (uint64, error) {
	before, whole := len(o.w.B), false
	defer func() {
		if !whole { // too long, or body panicked: keep only the messages before it
			o.w.B = o.w.B[:before]
		}
	}()
	putMessage(&o.w, k, id, body)
	if size := len(o.w.B) - before - lengthBytes; size > MaxMessageBytes {
		return 0, api.Errorf(api.CodeTooLarge, "message of %d bytes is over the limit of %d bytes", size, MaxMessageBytes)
	}
	whole = true
	o.added++
	if before == 0 {
		o.change.Broadcast()
	}
	return o.added, nil
}

// close makes run return once it has sent what waits. Nothing can be added after close.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.change.Broadcast()
}

// gone reports whether message n has been handed to the connection, so that it may arrive.
func (o *outbox) gone(n uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return n <= o.taken
}
