package client

import (
	"bytes"
	"context"
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
)

// call is one request, whatever node it is sent to.
type call struct {
	op     string
	key    api.Key // that the call is about, if one
	method string
	path   string // decoded; "" is that of the key
	raw    string // the same, as it is sent
	query  url.Values
	header func(h http.Header) // sets what the call's request has in its header; nil: nothing
	body   []byte
	// render makes the body of a call that goes as a request of its own, where that is not needed always; size is then about
	// what it has in it. nil where body is there.
	render func() []byte
	size   int
	limit  int64 // of the answer's body
	// writes: the call may change something. once: sent twice it takes effect once.
	writes, once bool
	// telling: the answer to the write tells more than its header does.
	telling bool
	// hasty: where no node can carry the call out now, and none may have done, that is told after one round of them all.
	hasty bool
	// fickle: that the write was refused for what a key holds says nothing about another attempt of it.
	fickle bool
	// id gives the id of each attempt, as an Idempotency-Key or, on a stream, as it is; nil where there is none.
	id func() identity
	// given: the id is an opaque one of the caller's, under which the write may have been sent before.
	given bool
	// untimed: the path takes no timeout parameter.
	untimed bool
	// read or txn is the same call as a stream or a Store carries it; both are nil if none does.
	read *api.ReadRequest
	txn  *api.Txn
	// direct is the same call as a Store of this process carries it, if that is neither a read nor a transaction; it keeps the
	// answer. nil: such a Store cannot carry it.
	direct func(ctx context.Context, s api.Store) error
}

// identity is the id of a write in both its forms.
type identity struct {
	request api.RequestID
	key     string // "" where it is that of the request
}

func (i identity) header() string {
	if i.key != "" {
		return i.key
	}
	return i.request.IdempotencyKey()
}

// answer is what a node answered.
type answer struct {
	status int
	header http.Header
	body   []byte
	// Of a stream or a Store there is one of these instead, and which node answered, if that is known.
	read *api.ReadResult
	txn  *api.TxnResult
	node api.NodeID
}

// carrier carries attempts of calls: over the network, or to a Store of this process.
type carrier interface {
	// attempt carries the call out once, at the node, which gets at most budget of time for it.
	attempt(ctx context.Context, e *endpoint, q *call, budget time.Duration) (*answer, *failure)
	// close ends what is open, with the attempts under way. No attempt follows.
	close()
}

// verdict tells what to do after a failed attempt.
type verdict uint8

const (
	final     verdict = iota // asking again gives the same
	elsewhere                // this node cannot; another may
	again                    // it may pass
)

// failure is an attempt that gave no answer.
type failure struct {
	err     *api.Error
	verdict verdict
	answer  *answer // the refusal, where one came
}

// attempt sends the call to one node, which gets at most budget of time for it.
func (n *network) attempt(ctx context.Context, e *endpoint, q *call, budget time.Duration) (*answer, *failure) {
	until := time.Now().Add(budget)
	if (q.read != nil || q.txn != nil) && q.bytes() <= maxStreamedValue {
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
	defer func() { _ = res.Body.Close() }() // read to its end, or broken anyway
	body, err := io.ReadAll(io.LimitReader(res.Body, q.limit+1))
	success := res.StatusCode/100 == 2 || res.StatusCode == http.StatusNotModified
	if success && q.writes && !q.telling {
		err = nil // all that matters stands in the header
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

// bytes is about how much the call carries.
func (q *call) bytes() int {
	if q.render != nil {
		return q.size
	}
	return len(q.body)
}

// refused notes what a refusal says about the node.
func (es *endpoints) refused(e *endpoint, f *failure) *failure {
	switch f.verdict {
	case again:
		es.failed(e, time.Now(), true)
	case final:
		es.answered(e)
	}
	return f
}

// unanswered is the failure of a connection, or of time.
func (es *endpoints) unanswered(ctx context.Context, e *endpoint, q *call, err error, unknown bool) *failure {
	f := &failure{err: &api.Error{Code: api.CodeUnavailable, Hint: "no answer from " + e.base.Host, Err: err}, verdict: again}
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

// request renders the call for the node.
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
	u.RawPath = u.EscapedPath() + raw // both forms: what is sent is RawPath, byte for byte
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
	if n.config.Token != "" {
		req.Header.Set("Authorization", "Bearer "+n.config.Token)
	}
	if q.id != nil {
		req.Header.Set("Idempotency-Key", q.id().header())
	}
	return req, nil
}

func jsonBody(h http.Header) { h.Set("Content-Type", "application/json") }

// serverTimeout is what of the budget the node gets, so that its answer, which knows more than our giving up, still
// arrives in time.
func serverTimeout(budget time.Duration) time.Duration {
	return min(api.MaxTimeout, max(time.Millisecond, (budget-min(budget/5, 500*time.Millisecond)).Truncate(time.Millisecond)))
}

// sentTrace finds out whether any of a request can have left this process.
type sentTrace struct{ asked, got atomic.Bool }

func (s *sentTrace) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { s.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { s.got.Store(true) },
	})
}

// certainlyNot holds where a connection was wanted and none was had. A carrier that tells nothing about connections is
// believed only if it says that dialling failed.
func (s *sentTrace) certainlyNot(err error) bool {
	if s.asked.Load() {
		return !s.got.Load()
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
