package local

import (
	"context"
	"net"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
)

// Restart closes a node, and opens it again with the same name, address and folder. It returns when the node is ready, within ctx.
// CodeNotFound if the planet has no such node. No other method of the planet may be called meanwhile.
func (p *Planet) Restart(ctx context.Context, node api.NodeID) error {
	for i := range p.running {
		if p.nodes[i].Node == node {
			return p.restart(ctx, i)
		}
	}
	return api.Errorf(api.CodeNotFound, "the planet has no node %s", node)
}

func (p *Planet) restart(ctx context.Context, i int) error {
	own := &p.configs[i]
	address := own.Listener.Addr().String()
	if err := p.running[i].Close(); err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	own.Listener = l
	n, err := cluster.Open(ctx, *own)
	if err != nil {
		return err
	}
	p.running[i] = n
	return p.ready(ctx)
}

// SetPolicy makes a policy for tokens, or changes one, and waits until every node judges by it; see [api.Access].
func (p *Planet) SetPolicy(ctx context.Context, policy api.Policy) error {
	_, err := p.running[0].SetPolicy(ctx, policy, 10*time.Second)
	return err
}
