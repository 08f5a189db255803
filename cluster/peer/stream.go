package peer

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/transport/rpc"
)

// Stream is messages in both directions between two nodes. Make it with [NewStream].
type Stream[Up, Down any] struct{ row Row }

// NewStream declares a stream: its name, and which callers may open it. It panics if one is missing. The handler bounds how many are open.
func NewStream[Up, Down any](name string, who Who) Stream[Up, Down] {
	return Stream[Up, Down]{Row{Name: name, Class: admission.Free, Who: who, Stream: true}.check()}
}

// PerNode is the stream with at most n of one node open; one more ends with CodeUnavailable.
func (x Stream[Up, Down]) PerNode(n int) Stream[Up, Down] {
	x.row.PerNode = n
	return x
}

// End is one end of a stream: In comes, Out is sent. Recv belongs to one goroutine. Both fail with CodeUnavailable once the stream
// has ended.
type End[In, Out any] interface {
	Recv() (*In, error)
	Send(m *Out) error
}

// ServerEnd is the end at the node that answers. Send belongs to one goroutine. The stream ends soon after the handler has
// returned.
type ServerEnd[Up, Down any] interface{ End[Up, Down] }

// ClientEnd is the end at the node that opened the stream. Send is safe for concurrent use, and waits while the other side does
// not read.
type ClientEnd[Up, Down any] interface {
	End[Down, Up]
	Close()
}

// Handle has the server answer the stream, which ends when serve returns. See [Method.Handle].
func (x Stream[Up, Down]) Handle(s *Server, serve func(context.Context, ServerEnd[Up, Down]) error) {
	s.add(x.row, serve)
	rpc.Stream(s.rpc, x.row.Name, func(st *rpc.ServerStream[Up, Down]) error {
		return x.handle(st.Context(), s, identityOf(st.Context()), serve, st)
	})
}

// handle is the way to what answers, from a socket or from this node itself.
func (x Stream[Up, Down]) handle(
	ctx context.Context, s *Server, from Identity, serve func(context.Context, ServerEnd[Up, Down]) error, end ServerEnd[Up, Down],
) (err error) {
	defer s.cfg.Faults.Catch(x.row.Name, &err)
	place, err := s.admit(ctx, x.row, from, "")
	if err != nil {
		return err
	}
	defer place.Leave()
	leave, err := s.one(x.row, from.Caller().Node)
	if err != nil {
		return err
	}
	defer leave()
	return serve(words.WithCaller(ctx, from), end)
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

// openPipe opens a stream to this node's own server.
func (x Stream[Up, Down]) openPipe(ctx context.Context, p *Pool) (ClientEnd[Up, Down], error) {
	s := p.cfg.Server
	serve, err := found[func(context.Context, ServerEnd[Up, Down]) error](s, x.row)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	stop := context.AfterFunc(p.ctx, end)
	up, down := make(chan *Up, 1), make(chan *Down)
	started := p.start(func() {
		defer stop()
		defer end()
		_ = x.handle(ctx, s, s.cfg.Own, serve, pipeEnd[Up, Down]{ctx, end, up, down}) // the other end sees that it is over
	})
	if !started {
		end()
		return nil, errClosed()
	}
	return pipeEnd[Down, Up]{ctx, end, down, up}, nil
}

// pipeEnd is one end of a stream of a node to itself.
type pipeEnd[In, Out any] struct {
	ctx context.Context // ends with either end
	end context.CancelFunc
	in  <-chan *In
	out chan<- *Out
}

func (x pipeEnd[In, Out]) Recv() (*In, error) {
	select {
	case m := <-x.in:
		return m, nil
	case <-x.ctx.Done():
		return nil, streamOver()
	}
}

func (x pipeEnd[In, Out]) Send(m *Out) error {
	if x.ctx.Err() != nil {
		return streamOver()
	}
	select {
	case x.out <- m:
		return nil
	case <-x.ctx.Done():
		return streamOver()
	}
}

func (x pipeEnd[In, Out]) Close() { x.end() }

func streamOver() *api.Error { return api.Errorf(api.CodeUnavailable, "the stream is over") }
