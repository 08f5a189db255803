package peer

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/transport/rpc"
)

// Stream is messages in both directions between two nodes. Make it with [NewStream].
type Stream[Up, Down any] struct{ row Row }

// NewStream declares a stream: its name, and who may open it. It panics if one is missing. The handler bounds how many are open.
func NewStream[Up, Down any](name string, who Who) Stream[Up, Down] {
	return Stream[Up, Down]{Row{Name: name, Share: None, Who: who, Stream: true}.check()}
}

// ServerEnd is the end of a stream at the node that answers. Recv and Send belong to one goroutine each. Both end soon after the
// handler has returned.
type ServerEnd[Up, Down any] interface {
	Recv() (*Up, error)
	Send(m *Down) error
}

// ClientEnd is the end of a stream at the node that opened it. Send is safe for concurrent use, and waits while the other side
// does not read; Recv belongs to one goroutine. Both fail with CodeUnavailable once the stream has ended.
type ClientEnd[Up, Down any] interface {
	Send(m *Up) error
	Recv() (*Down, error)
	Close()
}

// streamHandler is a stream at a server.
type streamHandler[Up, Down any] struct {
	row    Row
	server *Server
	serve  func(context.Context, ServerEnd[Up, Down]) error
}

func (h streamHandler[Up, Down]) about() Row { return h.row }

func (h streamHandler[Up, Down]) handle(ctx context.Context, from Caller, end ServerEnd[Up, Down]) (err error) {
	defer h.server.cfg.Faults.Catch(h.row.Name, &err)
	if refusal := h.server.enter(h.row, from); refusal != nil {
		e := *refusal
		return &e
	}
	defer h.server.leave(h.row)
	return h.serve(ctx, end)
}

// Handle has the server answer the stream, which ends when serve returns. See [Method.Handle].
func (x Stream[Up, Down]) Handle(s *Server, serve func(context.Context, ServerEnd[Up, Down]) error) {
	h := streamHandler[Up, Down]{x.row, s, serve}
	s.add(x.row, h)
	rpc.Stream(s.rpc, x.row.Name, func(st *rpc.ServerStream[Up, Down]) error {
		return h.handle(st.Context(), callerOf(st.Context()), st)
	})
}

// Open opens a stream to the node, which ends with ctx. That the node is there shows only when something comes down.
func (x Stream[Up, Down]) Open(ctx context.Context, r *Remote) (ClientEnd[Up, Down], error) {
	if r.self {
		return x.openPipe(ctx, r.pool)
	}
	c, err := r.connection()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	st, err := rpc.Open[Up, Down](ctx, c, x.row.Name)
	if err != nil {
		cancel()
		return nil, Certain(x.row.Name, err)
	}
	return &wireEnd[Up, Down]{name: x.row.Name, stream: st, ctx: ctx, cancel: cancel, sending: make(chan struct{}, 1)}, nil
}

// wireEnd is the end of a stream to another node.
type wireEnd[Up, Down any] struct {
	name    string
	stream  *rpc.ClientStream[Up, Down]
	ctx     context.Context
	cancel  context.CancelFunc
	sending chan struct{} // held while a message is sent: the stream takes one at a time
}

func (x *wireEnd[Up, Down]) Send(m *Up) error {
	if x.ctx.Err() != nil {
		return streamOver()
	}
	select {
	case x.sending <- struct{}{}:
	case <-x.ctx.Done():
		return streamOver()
	}
	defer func() { <-x.sending }()
	return Certain(x.name, x.stream.Send(m))
}

func (x *wireEnd[Up, Down]) Recv() (*Down, error) {
	m, err := x.stream.Recv()
	return m, Certain(x.name, err)
}

func (x *wireEnd[Up, Down]) Close() { x.cancel() }

// pipe is a stream of a node to itself: both ends of it.
type pipe[Up, Down any] struct {
	up   chan *Up
	down chan *Down
	ctx  context.Context // ends with either end
	end  context.CancelFunc
}

// openPipe opens a stream to this node's own server.
func (x Stream[Up, Down]) openPipe(ctx context.Context, p *Pool) (ClientEnd[Up, Down], error) {
	s := p.cfg.Server
	h, err := found[streamHandler[Up, Down]](s, x.row)
	if err != nil {
		return nil, err
	}
	both := &pipe[Up, Down]{up: make(chan *Up, 1), down: make(chan *Down)}
	both.ctx, both.end = context.WithCancel(ctx)
	stop := context.AfterFunc(p.ctx, both.end)
	started := p.start(func() {
		defer stop()
		defer both.end()
		_ = h.handle(both.ctx, s.self(), pipeServer[Up, Down]{both}) // the other end sees that it is over
	})
	if !started {
		both.end()
		return nil, errClosed()
	}
	return pipeClient[Up, Down]{both}, nil
}

// pass sends or receives on a pipe's channel until the pipe ends.
func pass[T any](ctx context.Context, to chan<- T, m T) error {
	if ctx.Err() != nil {
		return streamOver()
	}
	select {
	case to <- m:
		return nil
	case <-ctx.Done():
		return streamOver()
	}
}

func take[T any](ctx context.Context, from <-chan *T) (*T, error) {
	select {
	case m := <-from:
		return m, nil
	case <-ctx.Done():
		return nil, streamOver()
	}
}

type pipeClient[Up, Down any] struct{ *pipe[Up, Down] }

func (x pipeClient[Up, Down]) Send(m *Up) error     { return pass(x.ctx, x.up, m) }
func (x pipeClient[Up, Down]) Recv() (*Down, error) { return take(x.ctx, x.down) }
func (x pipeClient[Up, Down]) Close()               { x.end() }

type pipeServer[Up, Down any] struct{ *pipe[Up, Down] }

func (x pipeServer[Up, Down]) Recv() (*Up, error) { return take(x.ctx, x.up) }
func (x pipeServer[Up, Down]) Send(m *Down) error { return pass(x.ctx, x.down, m) }

func streamOver() *api.Error { return api.Errorf(api.CodeUnavailable, "the stream is over") }
