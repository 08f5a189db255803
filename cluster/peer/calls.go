package peer

import (
	"context"
	"io"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/wire"
	"github.com/edgehold/edgehold/transport/rpc"
)

// maxSharedBytes bounds a request that shares the stream with others; a larger one goes as a request of its own, so that
// it holds nobody up.
const maxSharedBytes = 64 << 10

// calls is the stream that small reads and transactions share on their way to another node. It is opened by the first call
// that needs it, and anew when it has broken.
type calls struct {
	ready  chan struct{} // closed when it is open, or cannot be opened
	client *wire.Client  // set before ready is closed; nil where err is set
	err    error         // likewise
}

// over tells whether a new stream is needed.
func (c *calls) over() bool {
	select {
	case <-c.ready:
	default:
		return false
	}
	if c.client == nil {
		return true
	}
	select {
	case <-c.client.Done():
		return true
	default:
		return false
	}
}

// shared returns the stream to the node, opened.
func (r *Remote) shared(ctx context.Context) (*wire.Client, error) {
	c, err := r.stream()
	if err != nil {
		return nil, err
	}
	select {
	case <-c.ready:
		return c.client, c.err
	case <-ctx.Done():
		return nil, &api.Error{Code: api.CodeUnavailable, Hint: "the node could not be reached in time", Err: ctx.Err()}
	}
}

// stream is the present stream, or a new one that is being opened.
func (r *Remote) stream() (*calls, error) {
	l := &r.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed()
	}
	if l.calls != nil && !l.calls.over() {
		return l.calls, nil
	}
	old, c := l.calls, &calls{ready: make(chan struct{})}
	started := r.pool.start(func() {
		if old != nil {
			old.end()
		}
		c.client, c.err = r.openCalls()
		close(c.ready)
	})
	if !started {
		return nil, errClosed()
	}
	l.calls = c
	return c, nil
}

// end ends the stream once it has been opened, and what is under way on it.
func (c *calls) end() {
	<-c.ready
	if c.client != nil {
		_ = c.client.Close() // it has nothing to tell
	}
}

func (r *Remote) openCalls() (*wire.Client, error) {
	conn, err := r.connection()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.pool.ctx)
	st, err := rpc.Open[frame, frame](ctx, conn, methodCalls)
	if err != nil {
		cancel()
		return nil, certain("open", err)
	}
	return wire.NewClient(&frames{stream: st, close: cancel}, wire.ClientConfig{}), nil
}

// serveCalls answers the calls on a stream, each as if it had come by itself, until the stream breaks or the server closes.
func (s *Server) serveCalls(ctx context.Context, st frameStream) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed()
	}
	// Not awaited here: what it is blocked in ends only when this returns. Close waits for it.
	s.wg.Go(func() {
		defer cancel()
		if err := wire.Serve(ctx, &frames{stream: st, close: cancel}, wire.ServerConfig{
			Store: served{s}, Workers: s.cfg.Workers, Enter: s.enterCall, Leave: s.leaveCall,
		}); err != nil {
			s.cfg.Logger.Debug("a stream of calls has ended", "error", err)
		}
	})
	s.mu.Unlock()
	<-ctx.Done()
	return api.Errorf(api.CodeUnavailable, "the stream of calls is over")
}

// enterCall and leaveCall count a call of a stream as a request: what there is no room for is refused before a worker has
// been woken for it.
func (s *Server) enterCall(int64) error {
	if !s.requests.enter() {
		s.metrics.refused(1, methodCalls)
		return overload(s.requests.what)
	}
	return nil
}

func (s *Server) leaveCall(int64) { s.requests.leave() }

// served is the server as a Store, for calls that have been counted already.
type served struct{ *Server }

func (s served) Read(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
	return s.read(ctx, q)
}

func (s served) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	return s.do(ctx, t)
}

// frame is a piece of the bytes of package wire.
type frame struct {
	Bytes []byte `cbor:"1,keyasint"`
}

// frameStream is either end of a stream of frames.
type frameStream interface {
	Send(f *frame) error
	Recv() (*frame, error)
}

// frames makes a connection of a stream of frames. One goroutine reads and one writes.
type frames struct {
	stream frameStream
	close  func()
	rest   []byte // of the newest frame
}

var _ io.ReadWriteCloser = (*frames)(nil)

// maxFrameBytes bounds a frame: a long message goes in pieces.
const maxFrameBytes = 1 << 20

func (p *frames) Write(b []byte) (n int, err error) {
	for n < len(b) {
		piece := b[n:min(n+maxFrameBytes, len(b))]
		if err := p.stream.Send(&frame{piece}); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

func (p *frames) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		f, err := p.stream.Recv()
		if err != nil {
			return 0, err
		}
		p.rest = f.Bytes
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *frames) Close() error {
	p.close()
	return nil
}
