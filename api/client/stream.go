package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/wire"
)

const (
	// maxStreamedValue bounds a value that shares a stream with other calls. A larger value is sent as an HTTP request of its
	// own, so that it does not delay other calls.
	maxStreamedValue = 64 << 10
	// plainFirst is how long a node that refuses streams gets plain requests before it is asked for a stream again.
	plainFirst = time.Minute
	// openTimeout bounds the opening of a stream.
	openTimeout = 5 * time.Second
	callsPath   = "/v1/calls"
)

// streamed is a node's stream. The first call that needs it opens it. If it has ended, the next call opens a new one.
type streamed struct {
	mu         sync.Mutex
	now        *opening  // guarded by mu: the newest; nil before the first
	plainUntil time.Time // guarded by mu: no stream until then
}

// opening is a stream that is being opened. It is open once ready is closed.
type opening struct {
	ready  chan struct{}
	client *wire.Client // nil if there is none
	node   api.NodeID   // the node at the other end
	err    error        // why there is none; nil if the node refuses streams
}

func (o *opening) over() bool {
	select {
	case <-o.ready:
	default:
		return false
	}
	if o.client == nil {
		return true
	}
	select {
	case <-o.client.Done():
		return true
	default:
		return false
	}
}

// end closes the stream and ends the calls on it.
func (s *streamed) end() {
	s.mu.Lock()
	o := s.now
	s.mu.Unlock()
	if o != nil {
		o.end()
	}
}

func (o *opening) end() {
	<-o.ready
	if o.client != nil {
		_ = o.client.Close() // its error has no meaning here
	}
}

// upgrader returns an HTTP client for Upgrades that connects like the given one. It returns nil if that is impossible.
func upgrader(given *http.Client) *http.Client {
	t, ok := given.Transport.(*http.Transport)
	if !ok || t.Protocols != nil && !t.Protocols.HTTP1() {
		return nil
	}
	t = t.Clone()
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true) // only HTTP/1.1 has Upgrades
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{} // those that Clone prepared speak HTTP/2
	if t.TLSClientConfig != nil {
		t.TLSClientConfig.NextProtos = slices.DeleteFunc(slices.Clone(t.TLSClientConfig.NextProtos), func(p string) bool { return p == "h2" })
	}
	return &http.Client{Transport: t, CheckRedirect: given.CheckRedirect}
}

// stream returns the node's stream. It returns nil without an error if calls to the node are sent as plain requests.
func (n *network) stream(ctx context.Context, until time.Time, e *endpoint) (*opening, error) {
	o := n.opening(e)
	if o == nil {
		return nil, nil
	}
	if err := o.wait(ctx, until); err != nil {
		return nil, err
	}
	if o.client == nil {
		return nil, o.err
	}
	return o, nil
}

// wait returns nil once the stream is open or cannot be opened. It returns an error if ctx ends or until passes first.
func (o *opening) wait(ctx context.Context, until time.Time) error {
	select {
	case <-o.ready: // the usual case
		return nil
	default:
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	select {
	case <-o.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// opening returns the node's current stream, or a new one that is being opened.
func (n *network) opening(e *endpoint) *opening {
	s := &e.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.upgrades == nil || n.ctx.Err() != nil || time.Now().Before(s.plainUntil) {
		return nil
	}
	if s.now != nil && !s.now.over() {
		return s.now
	}
	old, o := s.now, &opening{ready: make(chan struct{})}
	s.now = o
	n.opens.Go(func() {
		defer close(o.ready)
		if old != nil {
			old.end()
		}
		if o.err = n.open(e, o); o.err == nil && o.client == nil {
			s.mu.Lock()
			s.plainUntil = time.Now().Add(plainFirst)
			s.mu.Unlock()
		}
	})
	return o
}

// open asks the node for a stream. If it returns nil without setting o.client, the node refuses streams.
func (n *network) open(e *endpoint, o *opening) error {
	life, end := context.WithCancel(n.ctx) // of the request in whose body the stream lives
	late := time.AfterFunc(openTimeout, end)
	q := &call{op: "open", method: http.MethodGet, path: callsPath, raw: callsPath, untimed: true, header: func(h http.Header) {
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", wire.Protocol)
	}}
	req, err := n.request(life, e, q, openTimeout)
	if err != nil {
		end()
		return err
	}
	res, err := n.upgrades.Do(req)
	if err != nil {
		end()
		return err
	}
	conn, ok := res.Body.(io.ReadWriteCloser)
	if res.StatusCode != http.StatusSwitchingProtocols || !ok || !strings.EqualFold(res.Header.Get("Upgrade"), wire.Protocol) {
		_ = res.Body.Close() // not a stream
		end()
		return nil
	}
	if !late.Stop() {
		_ = conn.Close()
		return context.DeadlineExceeded
	}
	o.node = api.NodeID(res.Header.Get("Edgehold-Node"))
	o.client = wire.NewClient(&ended{conn, end}, wire.ClientConfig{Share: serverTimeout})
	return nil
}

// ended is a stream's connection. Closing it also ends its request.
type ended struct {
	io.ReadWriteCloser
	end context.CancelFunc
}

func (s *ended) Close() error {
	defer s.end()
	return s.ReadWriteCloser.Close()
}

// attemptOn sends the call over a stream. ctx is the context of the call; until bounds the attempt.
func (n *network) attemptOn(ctx context.Context, until time.Time, s *opening, e *endpoint, q *call) (*answer, *failure) {
	a := &answer{node: s.node}
	var err error
	if q.read != nil {
		a.read = new(api.ReadResult)
		err = s.client.ReadBy(ctx, until, q.read, a.read)
	} else {
		t := *q.txn
		if q.id != nil {
			t.ID = q.id().request
		}
		a.txn, err = s.client.DoBy(ctx, until, &t)
	}
	if errors.Is(err, wire.ErrBroken) || errors.Is(err, wire.ErrLate) {
		return nil, n.endpoints.unanswered(ctx, e, q, err, api.CodeOf(err) == api.CodeAmbiguous)
	}
	return n.endpoints.judged(e, e.base.Host, q, a, err)
}

// judged returns the result of an attempt that a stream or a Store answered.
func (es *endpoints) judged(e *endpoint, node string, q *call, a *answer, err error) (*answer, *failure) {
	switch {
	case err == nil && q.answeredBy(a):
		es.answered(e)
		return a, nil
	case err == nil && q.writes:
		return nil, &failure{err: api.Errorf(api.CodeAmbiguous, "%s did not say what came of each step", node), verdict: elsewhere}
	case err == nil:
		return nil, &failure{err: api.Errorf(api.CodeInternal, "%s did not answer what was asked", node), verdict: elsewhere}
	}
	known := *api.AsError(err)
	return nil, es.refused(e, judge(q, &known))
}

// answeredBy reports whether the answer has everything that was requested.
func (q *call) answeredBy(a *answer) bool {
	if q.direct != nil || q.locking != nil {
		return true
	}
	if a.read != nil {
		return len(a.read.Entries) == len(q.read.Keys)
	}
	want := len(q.txn.Then)
	if !a.txn.Committed {
		if want = len(q.txn.Else); want == 0 {
			want = len(q.txn.If) // the current state of the keys of the conditions
		}
	}
	return len(a.txn.Entries) == want
}
