package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/codec"
)

// ErrBroken is wrapped by every error whose cause is the connection and not the other side.
var ErrBroken = errors.New("the connection is over")

// ErrLate is wrapped by every error of a call whose time was up on this side, or that its caller has given up.
var ErrLate = errors.New("the caller does not wait for the answer any more")

var errOver = &api.Error{Code: api.CodeUnavailable, Hint: "not sent", Err: ErrBroken}

// ClientConfig sets the limits of a Client. A zero field means the default given there.
type ClientConfig struct {
	// MaxCalls bounds the calls under way. One more is refused with CodeUnavailable at once. 0 means 16,384.
	MaxCalls int
	// MaxBytes bounds the messages that wait to be sent. A call over it is refused in the same way. 0 means 16 MiB.
	MaxBytes int
	// Silence is how long the calls under way, each of which may be shorter, may wait without any message arriving. After that
	// the end of one of them is treated as the end of the connection. 0 means 3 s.
	Silence time.Duration
	// Share returns how much of a call's remaining time the other side gets. If it is nil, the other side gets all of it.
	Share func(left time.Duration) time.Duration
}

// Client sends calls over one connection. If the connection breaks, a transaction that may have been sent returns CodeAmbiguous
// and any other call returns CodeUnavailable. Both errors wrap [ErrBroken]. A Client does not reconnect; see Done. It is safe for
// concurrent use.
type Client struct {
	cfg  ClientConfig
	conn io.ReadWriteCloser
	out  *outbox
	got  atomic.Uint64 // messages received

	mu    sync.Mutex
	asked time.Time        // guarded by mu: when the first call since the newest message began
	heard uint64           // guarded by mu: got at that time
	last  uint64           // guarded by mu: the newest id
	calls map[uint64]*call // guarded by mu: those under way
	deaf  bool             // guarded by mu: the other side takes no new calls
	cause error            // guarded by mu: why the connection is over; nil while it is not

	ended sync.Pool     // of calls
	done  chan struct{} // closed when no new calls are taken
	loops sync.WaitGroup
}

var _ api.Store = (*Client)(nil)

// call is one call under way.
type call struct {
	number uint64        // of its message in the outbox
	done   chan struct{} // gets one value, from what removes the call from calls
	// out is the caller's memory for the result of a read. It is nil for a transaction. The goroutine that has removed the call
	// from calls fills it, and the caller waits for that.
	out *api.ReadResult
	// nodes means that the call is between nodes: its answer may have an envelope, and its error says how many tries it used.
	nodes bool
	// Set before done gets its value:
	txn      *api.TxnResult
	envelope []byte
	tries    uint64 // used by the other side
	err      error
}

// newCall reuses a call that has ended, if there is one, because making its channel costs more than all the rest.
func (c *Client) newCall(out *api.ReadResult, nodes bool) *call {
	x, _ := c.ended.Get().(*call)
	if x == nil {
		x = &call{done: make(chan struct{}, 1)}
	}
	x.out, x.nodes = out, nodes
	return x
}

// release makes a call that is not in calls available for reuse.
func (c *Client) release(x *call) {
	*x = call{done: x.done}
	c.ended.Put(x)
}

// NewClient returns a Client that uses the connection. The Client owns the connection from then on. Close the Client when it is
// no longer needed.
func NewClient(conn io.ReadWriteCloser, cfg ClientConfig) *Client {
	if cfg.MaxCalls == 0 {
		cfg.MaxCalls = DefaultMaxCalls
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 16 << 20
	}
	if cfg.Share == nil {
		cfg.Share = func(left time.Duration) time.Duration { return left }
	}
	if cfg.Silence == 0 {
		cfg.Silence = 3 * time.Second
	}
	c := &Client{cfg: cfg, conn: conn, out: newOutbox(cfg.MaxBytes), calls: map[uint64]*call{}, done: make(chan struct{})}
	c.loops.Go(func() { c.over(c.out.run(conn)) })
	c.loops.Go(func() { c.over(c.receive()) })
	return c
}

// Done returns a channel that is closed when the Client takes no new calls: the connection is over, or the other side has said
// goodbye.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the connection and every call on it, and waits until the Client's goroutines have ended.
func (c *Client) Close() error {
	c.over(errors.New("closed here"))
	c.loops.Wait()
	return nil
}

// Read sends a read to the other side and waits for the result.
func (c *Client) Read(ctx context.Context, q *api.ReadRequest, out *api.ReadResult) error {
	return c.ReadBy(ctx, time.Time{}, q, out)
}

// ReadBy is like Read but ends at until at the latest. That costs less than a context with a deadline. If until is zero, only ctx
// bounds the call.
func (c *Client) ReadBy(ctx context.Context, until time.Time, q *api.ReadRequest, out *api.ReadResult) error {
	x := c.newCall(out, false)
	defer c.release(x)
	return c.read(ctx, until, x, q, nil)
}

// ReadIn is like Read, between nodes: the request has an envelope. answer is the envelope of the answer. It is empty if the
// answer has none.
func (c *Client) ReadIn(ctx context.Context, e Envelope, q *api.ReadRequest, out *api.ReadResult) (answer []byte, err error) {
	x := c.newCall(out, true)
	defer c.release(x)
	err = c.read(ctx, time.Time{}, x, q, e)
	return x.envelope, err
}

func (c *Client) read(ctx context.Context, until time.Time, x *call, q *api.ReadRequest, e Envelope) error {
	return c.run(ctx, until, x, kindRead, func(w *codec.Writer) {
		c.putTimeout(ctx, until, w)
		codec.PutReadRequest(w, q)
		putNodes(ctx, w, e)
	})
}

// Do sends a transaction to the other side and waits for the result.
func (c *Client) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	return c.DoBy(ctx, time.Time{}, t)
}

// DoBy is like Do but ends at until at the latest, as ReadBy does.
func (c *Client) DoBy(ctx context.Context, until time.Time, t *api.Txn) (*api.TxnResult, error) {
	return c.do(ctx, until, t, nil)
}

// DoIn is like Do, between nodes: the request has an envelope.
func (c *Client) DoIn(ctx context.Context, e Envelope, t *api.Txn) (*api.TxnResult, error) {
	return c.do(ctx, time.Time{}, t, e)
}

func (c *Client) do(ctx context.Context, until time.Time, t *api.Txn, e Envelope) (*api.TxnResult, error) {
	x := c.newCall(nil, e != nil)
	defer c.release(x)
	err := c.run(ctx, until, x, kindDo, func(w *codec.Writer) {
		c.putTimeout(ctx, until, w)
		codec.PutTxn(w, t)
		putNodes(ctx, w, e)
	})
	if err != nil {
		return nil, err
	}
	return x.txn, nil
}

// putTimeout writes how much time is left. 0 means that there is no bound.
func (c *Client) putTimeout(ctx context.Context, until time.Time, w *codec.Writer) {
	left := time.Duration(0)
	if own, ok := ctx.Deadline(); ok && (until.IsZero() || own.Before(until)) {
		until = own
	}
	if !until.IsZero() {
		left = max(c.cfg.Share(time.Until(until)), time.Microsecond)
	}
	w.Uint(uint64(left.Microseconds()))
}

// run sends a call and waits for its answer.
func (c *Client) run(ctx context.Context, until time.Time, x *call, k kind, body func(w *codec.Writer)) error {
	began := time.Now()
	if own, ok := ctx.Deadline(); ok && !own.After(until) {
		until = time.Time{} // ctx ends the call, and the caller must find ctx ended
	}
	err := ctx.Err()
	if err == nil && !until.IsZero() && !began.Before(until) {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return &api.Error{Code: api.CodeUnavailable, Hint: "the caller's time was up", Err: fmt.Errorf("%w: %w", ErrLate, err)}
	}
	id, err := c.begin(x, k, began, body)
	if err != nil {
		return err
	}
	var late <-chan time.Time
	if !until.IsZero() {
		bound := time.NewTimer(time.Until(until))
		defer bound.Stop()
		late = bound.C
	}
	select {
	case <-x.done:
		admission.Spend(ctx, x.tries)
		return x.err
	case <-late:
		err = context.DeadlineExceeded
	case <-ctx.Done():
		err = ctx.Err()
	}
	if c.silent(began) {
		c.over(errors.New("the other side is silent"))
	}
	return c.leave(err, id, x)
}

// silent reports whether the end of a call that began at that time shows that the other side is gone. A call with less time than
// a round trip takes shows nothing.
func (c *Client) silent(began time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.Load() == c.heard && time.Since(c.asked) >= c.cfg.Silence && time.Since(began) >= c.cfg.Silence/8
}

// begin adds the call to calls and its message to the outbox.
func (c *Client) begin(x *call, k kind, now time.Time, body func(w *codec.Writer)) (id uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cause != nil || c.deaf:
		return 0, errOver
	case len(c.calls) >= c.cfg.MaxCalls:
		return 0, overload("%d calls are under way on the connection, the limit", c.cfg.MaxCalls)
	}
	c.last++
	n, err := c.out.tryAdd(k, c.last, body)
	if err != nil {
		return 0, err
	}
	x.number = n
	c.calls[c.last] = x
	if got := c.got.Load(); c.asked.IsZero() || got != c.heard {
		c.asked, c.heard = now, got
	}
	return c.last, nil
}

func overload(format string, args ...any) *api.Error {
	e := api.Errorf(api.CodeUnavailable, format, args...)
	e.RetryAfter = retryAfter
	return e
}

// retryAfter is the RetryAfter of calls that are refused because of load.
const retryAfter = 100 * time.Millisecond

// leave ends the wait of a caller whose time is up.
func (c *Client) leave(cause error, id uint64, x *call) error {
	c.mu.Lock()
	_, under := c.calls[id]
	delete(c.calls, id)
	c.mu.Unlock()
	if !under { // the answer came at the same moment
		<-x.done
		return x.err
	}
	_, _ = c.out.tryAdd(kindCancel, id, nil) // optional: without it the other side's own deadline ends the call
	e := &api.Error{Code: api.CodeAmbiguous, Hint: "no answer came in time", Err: fmt.Errorf("%w: %w", ErrLate, cause)}
	if x.out != nil {
		e.Code = api.CodeUnavailable
	}
	return e
}

// receive reads answers from the connection until it ends.
func (c *Client) receive() error {
	in := newInbox(c.conn, MaxMessageBytes)
	for {
		m, err := in.next()
		if err != nil {
			return err
		}
		c.got.Add(1)
		if err := c.answered(m); err != nil {
			return err
		}
	}
}

// answered passes an answer to its caller, if the caller still waits.
func (c *Client) answered(m *message) error {
	switch m.kind {
	case kindGoodbye:
		c.goodbye()
		return m.end()
	case kindRefused:
		return c.refused(m)
	}
	c.mu.Lock()
	x := c.calls[m.id]
	delete(c.calls, m.id)
	c.mu.Unlock()
	if x == nil {
		return nil
	}
	defer func() { x.done <- struct{}{} }()
	switch {
	case m.kind == kindError:
		x.err = m.body.Error()
		if x.nodes {
			x.tries = m.body.Uint()
		}
	case m.kind == kindResult && x.out != nil:
		m.body.ReadResult(x.out)
		if x.nodes {
			x.envelope = bytes.Clone(m.body.Rest())
		}
	case m.kind == kindResult:
		x.txn = new(api.TxnResult)
		m.body.TxnResult(x.txn)
	default:
		m.body.Fail("an unknown kind of message")
	}
	err := m.end()
	if err != nil {
		x.err = c.unknown(x, err)
	}
	return err
}

// refused ends the calls that a message refuses.
func (c *Client) refused(m *message) error {
	reason, ids := readRefused(m)
	if err := m.end(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if x := c.calls[id]; x != nil {
			delete(c.calls, id)
			own := *reason
			x.err = &own
			x.done <- struct{}{}
		}
	}
	return nil
}

// goodbye stops new calls.
func (c *Client) goodbye() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop()
}

func (c *Client) stop() {
	if !c.deaf {
		c.deaf = true
		close(c.done)
	}
}

// over ends the connection and every call on it, once.
func (c *Client) over(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	if cause == nil {
		cause = io.EOF
	}
	c.cause = cause
	c.stop()
	c.out.close()
	_ = c.conn.Close() // the connection is not used again, so its error does not matter
	for id, x := range c.calls {
		delete(c.calls, id)
		x.err = c.unknown(x, cause)
		x.done <- struct{}{}
	}
}

// unknown returns the error of a call that got no answer.
func (c *Client) unknown(x *call, cause error) error {
	code := api.CodeAmbiguous
	if x.out != nil || !c.out.gone(x.number) {
		code = api.CodeUnavailable
	}
	return &api.Error{Code: code, Hint: "no answer came", Err: errors.Join(ErrBroken, cause)}
}
