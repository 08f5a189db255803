package transport

import (
	"maps"
	"sync"
)

// Links are the open connections between nodes whose other end was identified: those that a [Port] has accepted, and those that a
// [Dialer] has made. Safe for concurrent use.
type Links struct {
	keep func(peer any) bool

	mu   sync.Mutex
	open map[link]any // with what is known of the other end
}

// link is a connection that can be cut below TLS, so that nothing waits for the other end.
type link interface{ cut() }

// NewLinks returns Links without a connection. keep reports whether a connection may stay open whose other end is known as peer; it must not block.
func NewLinks(keep func(peer any) bool) *Links {
	return &Links{keep: keep, open: map[link]any{}}
}

// Review asks again about each connection, and cuts those that may not stay.
func (l *Links) Review() {
	l.mu.Lock()
	all := maps.Clone(l.open)
	l.mu.Unlock()
	for c, peer := range all {
		if !l.keep(peer) {
			c.cut()
		}
	}
}

// add counts a connection until drop, and reports whether it may stay. It asks after it has counted: a Review that does not see the
// connection has ended before that.
func (l *Links) add(c link, peer any) bool {
	if l == nil || peer == nil {
		return true
	}
	l.mu.Lock()
	l.open[c] = peer
	l.mu.Unlock()
	return l.keep(peer)
}

func (l *Links) drop(c link) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// Len counts the connections.
func (l *Links) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}
