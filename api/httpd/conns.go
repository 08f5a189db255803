package httpd

import (
	"bytes"
	"container/list"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
)

const (
	// idleGrace is how long a connection must have been idle before another one takes its place: a client that has just been
	// answered may have sent its next request.
	idleGrace = time.Second
	// refusalDelay is how long a connection over the bound waits for its refusal, so that a client that connects again at once
	// does so once a second; maxDelayed bounds those that wait. One more is refused at once.
	refusalDelay = time.Second
	maxDelayed   = 1024
	// refusalTimeout bounds each step of a refusal.
	refusalTimeout = time.Second
	// MaxRefusals bounds the connections over the bound that are being refused, the delayed ones among them; one more is closed
	// without an answer.
	MaxRefusals = maxDelayed + 256
)

// conns is a listener that bounds the connections that are open at once. For one over the bound it closes the connection
// that has been idle for the longest time, or refuses the new one. It always accepts.
type conns struct {
	net.Listener
	max int

	mu   sync.Mutex
	open map[net.Conn]*list.Element // guarded by mu: nil for one that is not idle
	idle *list.List                 // guarded by mu: of idleConn, the longest idle first

	refusing atomic.Int64 // connections in refuse
	refusals sync.WaitGroup
	draining <-chan struct{} // closed when refusals are delayed no more
}

type idleConn struct {
	net.Conn
	since time.Time
}

func newConns(l net.Listener, limit int, draining <-chan struct{}) *conns {
	return &conns{Listener: l, max: limit, open: map[net.Conn]*list.Element{}, idle: list.New(), draining: draining}
}

// Accept returns the next connection that is within the bound.
func (l *conns) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || l.admit(c) {
			return c, err
		}
		l.refuse(c)
	}
}

// admit reports whether there is room for c, and counts it if so.
func (l *conns) admit(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.max && !l.closeIdle() {
		return false
	}
	l.open[c] = nil
	return true
}

// closeIdle closes the connection that has been idle for the longest time; false if none has been idle for long enough. The
// caller holds mu.
func (l *conns) closeIdle() bool {
	oldest := l.idle.Front()
	if oldest == nil || time.Since(oldest.Value.(idleConn).since) < idleGrace {
		return false
	}
	c := l.idle.Remove(oldest).(idleConn).Conn
	delete(l.open, c)
	_ = c.Close() // it is not used any more
	return true
}

// observe follows the states of the server's connections. A connection that a handler has taken over is counted by that
// handler.
func (l *conns) observe(c net.Conn, s http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, known := l.open[c]
	if !known {
		return
	}
	if at != nil {
		l.idle.Remove(at)
	}
	switch s {
	case http.StateIdle:
		l.open[c] = l.idle.PushBack(idleConn{c, time.Now()})
	case http.StateHijacked, http.StateClosed:
		delete(l.open, c)
	default:
		l.open[c] = nil
	}
}

// stream takes a connection out of the count, until the function that it returns is called. It does not block.
func (l *conns) stream(c net.Conn) (over func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.open[c]; !known {
		return func() {}
	}
	delete(l.open, c)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open[c] = nil
	}
}

// refuse answers 503, after refusalDelay unless too many others wait, and closes the connection.
func (l *conns) refuse(c net.Conn) {
	n := l.refusing.Add(1)
	if n > MaxRefusals {
		l.refusing.Add(-1)
		_ = c.Close() // there is no time for an answer
		return
	}
	l.refusals.Go(func() {
		defer l.refusing.Add(-1)
		defer func() { _ = c.Close() }()
		if n <= maxDelayed {
			l.delay()
		}
		_ = c.SetDeadline(time.Now().Add(refusalTimeout)) // without deadlines, the client's patience bounds it
		request := readHeader(c)                          // a connection that is closed with bytes unread may lose its answer
		if len(request) > 0 {
			_ = c.SetDeadline(time.Now().Add(refusalTimeout))
			_, _ = c.Write(refusal(request, l.max)) // the client may have gone
		}
	})
}

func (l *conns) delay() {
	t := time.NewTimer(refusalDelay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.draining:
	}
}

// readHeader reads until the end of a request's header has come, for as long as the connection's deadline allows.
func readHeader(c net.Conn) []byte {
	request, n := make([]byte, 4<<10), 0
	for n < len(request) && !bytes.Contains(request[:n], []byte("\r\n\r\n")) {
		more, err := c.Read(request[n:])
		n += more
		if err != nil {
			break
		}
	}
	return request[:n]
}

// refusal is the answer to a connection over the bound, whose first bytes are request.
func refusal(request []byte, limit int) []byte {
	e := api.Errorf(api.CodeUnavailable, "%d connections are open, the limit", limit)
	e.RetryAfter = door.StayAway
	header := bytes.ToLower(request)
	// A request with an Idempotency-Key may have been sent, and carried out, before.
	e.Unknown = !bytes.Contains(header, []byte("\r\n\r\n")) || bytes.Contains(header, []byte("\r\nidempotency-key:"))
	body := problemOf(e, http.StatusServiceUnavailable).json()
	return append(fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: %d\r\n"+
		"Content-Type: application/problem+json\r\nRetry-After: %s\r\nX-Content-Type-Options: nosniff\r\n\r\n", len(body), door.RetryAfter(e)), body...)
}

// wait waits for the refusals under way, a few times refusalTimeout at most. Accept must have ended.
func (l *conns) wait() { l.refusals.Wait() }

var _ net.Listener = (*conns)(nil)
