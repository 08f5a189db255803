package local

import (
	"context"
	"net"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
)

// place is a node of the planet, which runs or does not. Its fields are guarded by the planet's mutex.
type place struct {
	own   cluster.Config
	node  *cluster.Node // nil if it is stopped or starting
	state api.DevState
	done  chan struct{} // of the last change: closed when that has ended
	err   error         // of the last change, once it has ended
}

// startNodeTimeout bounds the opening of a node, which goes on if its caller gives up.
const startNodeTimeout = time.Minute

// transition is how a node comes from one state to another.
type transition struct {
	from, during, to api.DevState
	// do carries it out and returns the node that runs afterwards. A transition that fails ends in the state or.
	do func(p *Planet, x *place) (*cluster.Node, error)
	or api.DevState
}

var (
	stopping = transition{api.DevUp, api.DevStopping, api.DevStopped, func(_ *Planet, x *place) (*cluster.Node, error) {
		return nil, x.node.Close()
	}, api.DevStopped}
	starting = transition{api.DevStopped, api.DevStarting, api.DevUp, func(p *Planet, x *place) (*cluster.Node, error) {
		ctx, cancel := context.WithTimeout(p.ctx, startNodeTimeout)
		defer cancel()
		return x.open(ctx)
	}, api.DevStopped}
)

// StopNode stops a node as [api.Dev] does. CodeUnavailable if the planet is being closed.
func (p *Planet) StopNode(ctx context.Context, node api.NodeID) error {
	return p.change(ctx, node, &stopping)
}

// StartNode starts a node that was stopped, as [api.Dev] does. CodeUnavailable if the planet is being closed.
func (p *Planet) StartNode(ctx context.Context, node api.NodeID) error {
	return p.change(ctx, node, &starting)
}

// change carries a transition out, unless that has been done or is under way, and waits for it within ctx. It goes on if ctx ends;
// Close waits for it.
func (p *Planet) change(ctx context.Context, node api.NodeID, t *transition) error {
	x, done, err := p.begin(node, t)
	if done == nil || err != nil {
		return err
	}
	select {
	case <-done:
		p.mu.Lock()
		defer p.mu.Unlock()
		return x.err
	case <-ctx.Done():
		return api.Errorf(api.CodeAmbiguous, "node %s is still %s, and goes on with that", node, t.during)
	}
}

// begin begins a transition. done is closed when that has ended; nil: the node has made it before.
func (p *Planet) begin(node api.NodeID, t *transition) (x *place, done <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x, err = p.find(node); err != nil {
		return nil, nil, err
	}
	switch {
	case p.closing:
		return nil, nil, api.Errorf(api.CodeUnavailable, "the planet is being closed")
	case x.state == t.to:
		return x, nil, nil
	case x.state == t.from:
		x.state, x.done = t.during, make(chan struct{})
		p.changes.Go(func() { p.carryOut(x, t) })
	case x.state != t.during:
		return nil, nil, api.Errorf(api.CodeConflict, "node %s is %s: wait until that is over", node, x.state)
	}
	return x, x.done, nil
}

// carryOut makes a transition. Only it writes to the place's node and configuration meanwhile.
func (p *Planet) carryOut(x *place, t *transition) {
	node, err := t.do(p, x)
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.node, x.err, x.state = node, err, t.to; err != nil {
		x.state = t.or
	}
	close(x.done)
}

// find returns the place of a node; mu held.
func (p *Planet) find(node api.NodeID) (*place, error) {
	for i := range p.nodes {
		if p.nodes[i].Node == node && i < len(p.places) {
			return p.places[i], nil
		}
	}
	return nil, api.Errorf(api.CodeNotFound, "the planet has no node %.100q", node)
}

// open opens a node that was closed, at the addresses that it had.
func (x *place) open(ctx context.Context) (*cluster.Node, error) {
	l, err := again(ctx, x.own.Listener)
	if err != nil {
		return nil, err
	}
	x.own.Listener = l
	if x.own.ConsulListener != nil {
		consul, err := again(ctx, x.own.ConsulListener)
		if err != nil {
			_ = l.Close() // the first error matters more
			return nil, err
		}
		x.own.ConsulListener = consul
	}
	return cluster.Open(ctx, x.own)
}

// again listens at the address of a listener that was closed.
func again(ctx context.Context, closed net.Listener) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", closed.Addr().String())
	if err != nil {
		return nil, &api.Error{Code: api.CodeUnavailable, Op: "listen", Hint: "the node's port is taken by another program", Err: err}
	}
	return l, nil
}

// running returns the nodes that run.
func (p *Planet) running() (all []*cluster.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.places {
		if x.node != nil {
			all = append(all, x.node)
		}
	}
	return all
}

// server returns a server that runs. CodeUnavailable if none does.
func (p *Planet) server() (*cluster.Node, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.places {
		if x.state == api.DevUp && x.own.Role == api.RoleServer {
			return x.node, nil
		}
	}
	return nil, api.Errorf(api.CodeUnavailable, "no server of the planet runs")
}
