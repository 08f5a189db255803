package peer

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// pipe is a lease stream of a node to itself: both ends of it.
type pipe struct {
	up   chan *leaseUp
	down chan words.LeaseEvent
	ctx  context.Context // ends with either end
	end  context.CancelFunc
}

// openPipe opens a lease stream to this node's own server.
func (p *Pool) openPipe(ctx context.Context, h Hello) (words.LeaseStream, error) {
	x := &pipe{up: make(chan *leaseUp, 1), down: make(chan words.LeaseEvent)}
	x.ctx, x.end = context.WithCancel(ctx)
	stop := context.AfterFunc(p.ctx, x.end)
	x.up <- &leaseUp{Hello: &h}
	started := p.start(func() {
		defer stop()
		defer x.end()
		_ = p.cfg.Server.serveLeases(x.ctx, serverPipe{x}) // the holder sees that it is over
	})
	if !started {
		x.end()
		return nil, errClosed()
	}
	return clientPipe{x}, nil
}

type clientPipe struct{ *pipe }

var _ words.LeaseStream = clientPipe{}

func (x clientPipe) SendKeepAlive(k *words.KeepAlive) error { return x.send(&leaseUp{KeepAlive: k}) }
func (x clientPipe) SendAck(a *words.RevokeAck) error       { return x.send(&leaseUp{Ack: a}) }

func (x clientPipe) send(up *leaseUp) error {
	if x.ctx.Err() != nil {
		return streamOver()
	}
	select {
	case x.up <- up:
		return nil
	case <-x.ctx.Done():
		return streamOver()
	}
}

func (x clientPipe) Recv() (words.LeaseEvent, error) {
	select {
	case e := <-x.down:
		return e, nil
	case <-x.ctx.Done():
		return words.LeaseEvent{}, streamOver()
	}
}

func (x clientPipe) Close() error {
	x.end()
	return nil
}

type serverPipe struct{ *pipe }

func (x serverPipe) Recv() (*leaseUp, error) {
	select {
	case up := <-x.up:
		return up, nil
	case <-x.ctx.Done():
		return nil, streamOver()
	}
}

func (x serverPipe) Send(e *words.LeaseEvent) error {
	select {
	case x.down <- *e:
		return nil
	case <-x.ctx.Done():
		return streamOver()
	}
}

func streamOver() *api.Error { return api.Errorf(api.CodeUnavailable, "the lease stream is over") }
