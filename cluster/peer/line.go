package peer

import (
	"context"
	"net"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/transport/rpc"
)

// line is the way to another node: a connection for calls of all kinds, and one for what must cost little.
type line struct {
	mu     sync.Mutex
	client *rpc.Client // nil until the first call
	calls  *calls      // nil until the first small one
	closed bool
}

func newRemote(p *Pool, t target) *Remote {
	r := &Remote{pool: p, target: t, self: t.node == p.cfg.Self}
	r.confirms = confirms{remote: r, max: p.cfg.MaxFrames, waiting: map[question]*pending{}}
	return r
}

// connection is the client of the node's connection, which dials when it is needed.
func (r *Remote) connection() (*rpc.Client, error) {
	l := &r.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed()
	}
	if l.client == nil {
		c, err := rpc.NewClient(rpc.ClientConfig{Dial: r.dial})
		if err != nil {
			return nil, &api.Error{Code: api.CodeUnavailable, Hint: "no connection can be made", Err: err}
		}
		l.client = c
	}
	return l.client, nil
}

func (r *Remote) dial(ctx context.Context) (net.Conn, error) {
	if r.target.node != "" {
		return r.pool.cfg.Dial(ctx, r.target.node)
	}
	return r.pool.cfg.DialAddress(ctx, r.target.address)
}

// close ends the connection and all that is under way on it.
func (r *Remote) close() {
	l := &r.line
	l.mu.Lock()
	l.closed = true
	client, calls := l.client, l.calls
	l.client, l.calls = nil, nil
	l.mu.Unlock()
	if client != nil {
		if err := client.Close(); err != nil {
			r.pool.cfg.Logger.Debug("close of a connection", "node", r.target.node, "error", err)
		}
	}
	if calls != nil {
		calls.end()
	}
}

// call carries a request to the node: by its connection, or, where it is this node, by the same way into the server.
func call[Req, Resp any](ctx context.Context, r *Remote, m method[Req, Resp], q *Req) (*Resp, error) {
	if r.self {
		return m.handle(ctx, r.pool.cfg.Server, q)
	}
	c, err := r.connection()
	if err != nil {
		return nil, err
	}
	return rpc.Call[Req, Resp](ctx, c, m.name, q)
}

// Register adds the methods to an RPC server, which must not serve yet.
func (s *Server) Register(to *rpc.Server) {
	register(s, to, methodDo)
	register(s, to, methodList)
	register(s, to, methodOpenSession)
	register(s, to, methodCloseSession)
	register(s, to, methodRelease)
	register(s, to, methodPrepare)
	register(s, to, methodCommitLast)
	register(s, to, methodDecide)
	register(s, to, methodOutcome)
	register(s, to, methodResolve)
	register(s, to, methodConfirm)
	register(s, to, methodPoll)
	register(s, to, methodMap)
	register(s, to, methodPropose)
	register(s, to, methodReport)
	register(s, to, methodIndex)
	register(s, to, methodIntroduce)
	register(s, to, methodCede)
	register(s, to, methodAdopt)
	rpc.Stream(to, methodLeases, func(st *rpc.ServerStream[leaseUp, words.LeaseEvent]) error {
		return s.serveLeases(st.Context(), st)
	})
}

func register[Req, Resp any](s *Server, to *rpc.Server, m method[Req, Resp]) {
	rpc.Unary(to, m.name, func(ctx context.Context, q *Req) (*Resp, error) { return m.handle(ctx, s, q) })
}

// OpenLeases opens a lease stream to the node, which ends with ctx. That the node is there shows only when something comes
// down.
func (r *Remote) OpenLeases(ctx context.Context, h Hello) (words.LeaseStream, error) {
	if r.self {
		return r.pool.openPipe(ctx, h)
	}
	c, err := r.connection()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	st, err := rpc.Open[leaseUp, words.LeaseEvent](ctx, c, methodLeases)
	if err != nil {
		cancel()
		return nil, certain("leases", err)
	}
	x := &leaseStream{stream: st, ctx: ctx, cancel: cancel, turn: make(chan struct{}, 1)}
	if err := x.send(&leaseUp{Hello: &h}); err != nil {
		cancel()
		return nil, err
	}
	return x, nil
}

// leaseStream is the holder's end of a stream to another node.
type leaseStream struct {
	stream *rpc.ClientStream[leaseUp, words.LeaseEvent]
	ctx    context.Context
	cancel context.CancelFunc
	turn   chan struct{} // held by the one who sends: the stream takes one message at a time
}

var _ words.LeaseStream = (*leaseStream)(nil)

func (x *leaseStream) SendKeepAlive(k *words.KeepAlive) error { return x.send(&leaseUp{KeepAlive: k}) }
func (x *leaseStream) SendAck(a *words.RevokeAck) error       { return x.send(&leaseUp{Ack: a}) }

func (x *leaseStream) send(up *leaseUp) error {
	if x.ctx.Err() != nil {
		return streamOver()
	}
	select {
	case x.turn <- struct{}{}:
	case <-x.ctx.Done():
		return streamOver()
	}
	defer func() { <-x.turn }()
	return certain("leases", x.stream.Send(up))
}

func (x *leaseStream) Recv() (words.LeaseEvent, error) {
	e, err := x.stream.Recv()
	if err != nil {
		return words.LeaseEvent{}, certain("leases", err)
	}
	return *e, nil
}

func (x *leaseStream) Close() error {
	x.cancel()
	return nil
}
