package httpd

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/api/wire"
)

const (
	// MaxCallBytes bounds one call of a stream: what is larger comes as a request of its own, which reserves its memory before
	// it is read.
	MaxCallBytes = 256 << 10
	// maxWaitingBytes bounds the answers that wait for one stream's client.
	maxWaitingBytes = 1 << 20
)

// getCalls turns the connection into a stream of calls (package wire), as the SDK asks for. It answers when that is over.
func getCalls(x *exchange) error {
	if !strings.EqualFold(x.R.Header.Get("Upgrade"), wire.Protocol) {
		h := x.W.Header()
		h.Set("Upgrade", wire.Protocol)
		h.Set("Connection", "Upgrade")
		return door.WithStatus(http.StatusUpgradeRequired, api.Errorf(api.CodeInvalid, "this path takes an Upgrade to %s; single requests go to /v1/kv", wire.Protocol))
	}
	if err := x.Check(x.Base); err != nil {
		return err
	}
	place, refusal := x.AdmitStream(x.Base)
	if refusal != nil {
		return x.TurnAway(refusal)
	}
	defer place.Leave()
	conn, buffered, err := http.NewResponseController(x.W).Hijack()
	if err != nil {
		return door.WithStatus(http.StatusUpgradeRequired, api.Errorf(api.CodeInvalid, "an Upgrade to %s needs a connection of HTTP/1.1", wire.Protocol))
	}
	x.Status = http.StatusSwitchingProtocols
	s := &callStream{Conn: conn, from: buffered.Reader}
	if _, err := s.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + wire.Protocol +
		"\r\nEdgehold-Node: " + string(x.Node) + "\r\n\r\n")); err != nil {
		_ = conn.Close() // the client has gone
		return nil
	}
	judged := newJudged(x)
	defer judged.close()
	_ = wire.Serve(x.Base, s, wire.ServerConfig{ // a client that speaks something else is cut off
		Store: calls{x.Backend, x.Store.Noting(nil)}, Workers: x.Workers, Enter: judged.enter, Drain: judged.drain, Faults: x.Faults,
		MaxMessageBytes: MaxCallBytes, MaxCalls: x.MaxStreamCalls, MaxAnswerBytes: maxWaitingBytes,
	})
	return nil
}

// judged lets the calls of one stream in. The principal is judged at each call: when its token is not known any more, the call is
// refused, those under way are answered, and the stream ends.
type judged struct {
	*exchange
	drain chan struct{} // closed when the stream is to end
	once  sync.Once
	over  chan struct{} // closed by close
	wait  sync.WaitGroup
}

func newJudged(x *exchange) *judged {
	j := &judged{exchange: x, drain: make(chan struct{}), over: make(chan struct{})}
	if draining := x.Closing().Done(); draining != nil {
		j.wait.Go(func() {
			select {
			case <-draining:
				j.end()
			case <-j.over:
			}
		})
	}
	return j
}

func (j *judged) end() { j.once.Do(func() { close(j.drain) }) }

// close ends what newJudged has started.
func (j *judged) close() {
	close(j.over)
	j.wait.Wait()
}

func (j *judged) enter(a wire.Asked) (*admission.Ticket, *api.Error) {
	if err := j.Check(j.Base); err != nil {
		if api.CodeOf(err) == api.CodeUnauthenticated {
			j.end()
		}
		return nil, api.AsError(err)
	}
	return j.enterCall(a)
}

// callStream is the connection of a stream, with what had been read of it already, and with a bound on how long the client
// may take to accept what is written.
type callStream struct {
	net.Conn
	from *bufio.Reader
}

func (s *callStream) Read(b []byte) (int, error) { return s.from.Read(b) }

func (s *callStream) Write(b []byte) (int, error) {
	_ = s.SetWriteDeadline(time.Now().Add(door.WriteTimeout)) // a connection without deadlines has none to set
	return s.Conn.Write(b)
}

// enterCall lets a call of a stream in as a request.
func (x *exchange) enterCall(a wire.Asked) (*admission.Ticket, *api.Error) {
	return x.Admit(x.Base, front.Ask{Key: a.Key, Writes: a.Writes, Consistency: a.Consistency, Bytes: a.Bytes})
}

// calls is the Store of a stream: it measures calls, and its errors are as clients may see them.
type calls struct {
	*front.Backend
	store front.Caller
}

func (c calls) Read(ctx context.Context, q *api.ReadRequest, out *api.ReadResult) error {
	began := time.Now()
	ctx, span := c.trace(ctx, "calls read")
	defer span.End()
	err := c.store.Read(ctx, q, out)
	took := time.Since(began)
	if c.IsSlow(began, took) {
		var n front.Note
		n.NoteRead(q, out, err)
		c.Slow(ctx, front.Labels{Front: callsFront, Route: "read"}, &n, began, took)
	}
	return c.done(took, span, "read", err, false)
}

func (c calls) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	began := time.Now()
	ctx, span := c.trace(ctx, "calls write")
	defer span.End()
	res, err := c.store.Do(ctx, t)
	took := time.Since(began)
	if c.IsSlow(began, took) {
		var n front.Note
		n.NoteTxn(t, res, err)
		c.Slow(ctx, front.Labels{Front: callsFront, Route: "write"}, &n, began, took)
	}
	return res, c.done(took, span, "write", err, true)
}

// trace begins the span of a call, if chance has it traced. A client that traces a call sends it as a request of its own.
func (c calls) trace(ctx context.Context, name string) (context.Context, trace.Span) {
	if c.Tracer == nil {
		return ctx, trace.Span{}
	}
	ctx, span := c.Tracer.Serve(ctx, name, nil)
	span.Set(trace.Front, callsFront)
	return ctx, span
}

// done measures a call and explains its error.
func (c calls) done(took time.Duration, span trace.Span, route string, err error, writes bool) error {
	status := http.StatusOK
	if err != nil {
		e := door.Explain(err, writes)
		if e.Code == api.CodeInternal {
			c.Log("call failed", "kind", route, "error", err)
		}
		if e.Code == api.CodeUnavailable { // a client of a stream knows whether a key that it gives may be an old one
			e.Unknown = false
		}
		err, status = e, e.Code.HTTPStatus()
		span.Fail(string(e.Code))
	}
	c.Observe(front.Labels{Front: callsFront, Route: route, Status: door.StatusText(status)}, took.Seconds())
	return err
}
