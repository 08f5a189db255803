package region

import (
	"time"

	"github.com/edgehold/edgehold/api"
)

// turn is that of a transaction or write which waits for the intents of others, with the keys that it is to write and to read,
// sorted. While it waits, and until it has had its answer, no younger transaction locks them: else those that come one after
// the other, each of which may lock what the one before it has left or shares with it, would keep an older one waiting for ever.
type turn struct {
	ref           api.TxnRef
	written, read []api.Key
	waits         bool // it is in lead.turns
}

// turnOf is a turn that has not been waited for yet. One without an age is as old as this call.
func turnOf(ref api.TxnRef, written, read []api.Key) *turn {
	if ref.Age == 0 {
		ref.Age = uint64(max(time.Now().UnixNano(), 1))
	}
	return &turn{ref: ref, written: written, read: read}
}

// queue keeps younger transactions off the keys until endTurn.
func (r *Region) queue(l *lead, t *turn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.turns[t], t.waits = struct{}{}, true
}

func (r *Region) endTurn(l *lead, t *turn) {
	if !t.waits {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(l.turns, t)
}

// olderTurn finds an older one that waits to write what t reads or writes, or to read what t writes.
func (r *Region) olderTurn(l *lead, t *turn) (key api.Key, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for o := range l.turns {
		if !o.ref.Older(t.ref) {
			continue
		}
		if k, ok := common(o.written, t.read); ok { // what is written counts as read, too
			return k, true
		}
		if k, ok := common(o.read, t.written); ok {
			return k, true
		}
	}
	return "", false
}

// common is the first key that both lists have.
func common(a, b []api.Key) (api.Key, bool) {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == b[0]:
			return a[0], true
		case a[0] < b[0]:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return "", false
}
