package client

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/lock"
)

// call is one request. It does not depend on the node that it is sent to.
type call struct {
	op     string
	key    api.Key // the key concerned, if there is one
	method string
	path   string // decoded; "" means the path of the key
	raw    string // the same path as it is sent
	query  url.Values
	header func(h http.Header) // sets the header fields of the call's request; nil if there are none
	body   []byte
	// render makes the body of a call that is sent as an HTTP request, if the body is not always needed. size is then the
	// approximate size of its content. It is nil if body is set.
	render func() []byte
	size   int
	limit  int64 // of the answer's body
	// writes means that the call may change something. once means that it takes effect once even if it is sent twice.
	writes, once bool
	// telling means that the result of the write is in the body of the answer, not only in its header.
	telling bool
	// hasty means that the call fails after one round of all nodes, if no node can carry it out now and none may have done so.
	hasty bool
	// fickle means that a refusal because of what a key holds says nothing about another attempt of the same write.
	fickle bool
	// id returns the id of each attempt. It is sent as an Idempotency-Key or, on a stream, as it is. It is nil if there is no id.
	id func() identity
	// given means that the caller chose an opaque id, so that the write may have been sent before.
	given bool
	// trace is what the node needs to continue the span of the call; nil if there is none, or it is not sampled.
	trace http.Header
	// untimed means that the path takes no timeout parameter.
	untimed bool
	// whole means that an attempt gets all the time that is left, as it may wait for that long.
	whole bool
	// read or txn is the same call in the form that a stream or a Store takes. Both are nil if it has no such form.
	read *api.ReadRequest
	txn  *api.Txn
	// direct carries out a call that is neither a read nor a transaction on a Store in this process, and keeps the answer. It is
	// nil if such a Store cannot carry out the call.
	direct func(ctx context.Context, s api.Store) error
	// locking carries out a call about a lock in this process, and keeps the answer.
	locking func(ctx context.Context, s *lock.Service) error
}

// identity is the id of a write in both its forms.
type identity struct {
	request api.RequestID
	key     string // "" if the key is the text of request
}

func (i identity) header() string {
	if i.key != "" {
		return i.key
	}
	return i.request.IdempotencyKey()
}

// answer is the answer of a node.
type answer struct {
	status int
	header http.Header
	body   []byte
	// An answer over a stream or from a Store has one of these instead, and the node that answered, if known.
	read *api.ReadResult
	txn  *api.TxnResult
	node api.NodeID
}

// carrier carries out attempts of calls, over the network or on a Store in this process.
type carrier interface {
	// attempt carries out the call once at the node. The node gets at most budget for it.
	attempt(ctx context.Context, e *endpoint, q *call, budget time.Duration) (*answer, *failure)
	// watch begins a watch at the node, which gets at most budget to begin. ctx is that of the watch.
	watch(ctx context.Context, e *endpoint, of *call, r *api.WatchRequest, budget time.Duration) (api.WatchStream, *failure)
	// close closes open connections and ends the attempts under way. attempt must not be called after close.
	close()
}

// verdict says what to do after a failed attempt.
type verdict uint8

const (
	final     verdict = iota // another attempt would give the same result
	elsewhere                // this node cannot carry out the call; another may
	again                    // the cause may be temporary
)

// failure is the result of an attempt that got no answer or a refusal.
type failure struct {
	err     *api.Error
	verdict verdict
	answer  *answer // the refusal, if there was one
}

// attempt sends the call to one node, and once again if the node does not know the token and there is another one. The node gets at
// most budget for each.
func (n *network) attempt(ctx context.Context, e *endpoint, q *call, budget time.Duration) (*answer, *failure) {
	token := n.tokens.current()
	a, f := n.send(ctx, e, q, budget)
	if f == nil || f.err.Code != api.CodeUnauthenticated {
		return a, f
	}
	another, first := n.tokens.renew(token)
	if !another {
		return a, f
	}
	if first {
		e.stream.end() // it was opened with the old one
	}
	return n.send(ctx, e, q, budget)
}

// send sends the call to one node. The node gets at most budget for it.
func (n *network) send(ctx context.Context, e *endpoint, q *call, budget time.Duration) (*answer, *failure) {
	until := time.Now().Add(budget)
	if (q.read != nil || q.txn != nil) && q.bytes() <= maxStreamedValue && q.trace == nil { // streams carry no traces
		s, err := n.stream(ctx, until, e)
		if err != nil {
			return nil, n.endpoints.unanswered(ctx, e, q, err, false)
		}
		if s != nil {
			return n.attemptOn(ctx, until, s, e, q)
		}
	}
	bounded, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var sent sentTrace
	if q.writes {
		bounded = sent.watch(bounded)
	}
	req, err := n.request(bounded, e, q, budget)
	if err != nil {
		return nil, &failure{err: &api.Error{Code: api.CodeInvalid, Err: err}, verdict: final}
	}
	res, err := n.http.Do(req)
	if err != nil {
		return nil, n.endpoints.unanswered(ctx, e, q, err, q.writes && !sent.certainlyNot(err))
	}
	defer func() { _ = res.Body.Close() }() // the body was read to its end, or the connection is broken
	body, err := io.ReadAll(io.LimitReader(res.Body, q.limit+1))
	success := res.StatusCode/100 == 2 || res.StatusCode == http.StatusNotModified
	if success && q.writes && !q.telling {
		err = nil // the result is in the header
	}
	a := &answer{status: res.StatusCode, header: res.Header, body: body}
	switch {
	case err != nil:
		return nil, n.endpoints.unanswered(ctx, e, q, err, q.writes)
	case int64(len(body)) > q.limit && q.telling && success:
		return nil, &failure{err: api.Errorf(api.CodeAmbiguous, "it was carried out, but its answer is longer than %d bytes", q.limit), verdict: final}
	case int64(len(body)) > q.limit && q.read != nil && success:
		return nil, &failure{err: api.Errorf(api.CodeTooLarge, "answer of over %d bytes, the limit: read fewer keys at once", q.limit), verdict: final}
	case int64(len(body)) > q.limit:
		return nil, &failure{err: api.Errorf(api.CodeInternal, "%s answered more than %d bytes", e.base.Host, q.limit), verdict: elsewhere}
	case success:
		n.endpoints.answered(e)
		return a, nil
	}
	return nil, n.endpoints.refused(e, refusal(q, e, a))
}

// bytes returns the approximate size of what the call sends.
func (q *call) bytes() int {
	if q.render != nil {
		return q.size
	}
	return len(q.body)
}

// refused records what a refusal says about the node's health.
func (es *endpoints) refused(e *endpoint, f *failure) *failure {
	switch {
	case f.err.Code == api.CodeLimited: // the token is over its rate; the node works
	case f.verdict == again:
		es.failed(e, time.Now(), true)
	case f.verdict == final:
		es.answered(e)
	}
	return f
}

// unanswered returns the failure of an attempt that got no answer because the connection failed or the time was up.
func (es *endpoints) unanswered(ctx context.Context, e *endpoint, q *call, err error, unknown bool) *failure {
	f := &failure{err: &api.Error{Code: api.CodeUnavailable, Hint: "no answer from " + e.base.Host, Err: err}, verdict: again}
	if hint := distrusted(err); hint != "" {
		f.err.Hint, f.verdict = e.base.Host+": "+hint, elsewhere
	}
	if unknown {
		f.err.Code = api.CodeAmbiguous
	}
	if ctx.Err() == nil {
		es.failed(e, time.Now(), false)
	}
	if unknown && !q.once {
		f.verdict = final
	}
	return f
}

// distrusted returns what to do about a node that could not prove to be one that this client trusts; "" if that is not the cause.
func distrusted(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its certificate is signed by an authority that is not known here: give --ca DATA/identity/roots.pem of a server (Config.CA)"
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return "its certificate is for other names than " + e.Host + ": start the node with that name in --names"
	}
	return ""
}

// request renders the call as an HTTP request for the node.
func (n *network) request(ctx context.Context, e *endpoint, q *call, budget time.Duration) (*http.Request, error) {
	var body io.Reader
	if q.body == nil && q.render != nil {
		q.body = q.render()
	}
	if q.body != nil {
		body = bytes.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, e.base.String(), body)
	if err != nil {
		return nil, err
	}
	path, raw := q.path, q.raw
	if path == "" {
		path, raw = keyPath+string(q.key), keyPath+escapeKey(q.key)
	}
	u := e.base
	u.RawPath = u.EscapedPath() + raw // RawPath is what is sent, byte for byte; Path must match it
	u.Path += path
	query := url.Values{}
	maps.Copy(query, q.query)
	if !q.untimed && !query.Has("timeout") {
		query.Set("timeout", serverTimeout(budget).String())
	}
	u.RawQuery = query.Encode()
	req.URL = &u
	if q.header != nil {
		q.header(req.Header)
	}
	req.Header.Set("User-Agent", n.config.UserAgent)
	if token := n.tokens.current(); token != "" {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	maps.Copy(req.Header, q.trace)
	if q.id != nil {
		req.Header.Set("Idempotency-Key", q.id().header())
	}
	return req, nil
}

func jsonBody(h http.Header) { h.Set("Content-Type", "application/json") }

// serverTimeout returns the part of the budget that the node gets. It is less than the budget, so that the node's answer, which
// says more than the client's own timeout would, still arrives in time.
func serverTimeout(budget time.Duration) time.Duration {
	return min(api.MaxTimeout, max(time.Millisecond, (budget-min(budget/5, 500*time.Millisecond)).Truncate(time.Millisecond)))
}

// sentTrace finds out whether any part of a request may have left this process.
type sentTrace struct{ asked, got atomic.Bool }

func (s *sentTrace) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { s.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { s.got.Store(true) },
	})
}

// certainlyNot reports whether the request was certainly not sent, because a connection was requested and none was obtained. If
// the transport reports nothing about connections, only an error of dialling counts.
func (s *sentTrace) certainlyNot(err error) bool {
	if s.asked.Load() {
		return !s.got.Load()
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
