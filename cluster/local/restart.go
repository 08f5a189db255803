package local

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Restart closes a node, and opens it again with the same name, address and folder. It returns when all nodes that run are ready,
// within ctx. CodeNotFound if the planet has no such node.
func (p *Planet) Restart(ctx context.Context, node api.NodeID) error {
	if err := p.StopNode(ctx, node); err != nil {
		return err
	}
	if err := p.StartNode(ctx, node); err != nil {
		return err
	}
	return p.ready(ctx)
}

// SetPolicy makes a policy for tokens, or changes one, and waits until every node judges by it; see [api.Access].
func (p *Planet) SetPolicy(ctx context.Context, policy api.Policy) error {
	n, err := p.server()
	if err != nil {
		return err
	}
	_, err = n.SetPolicy(ctx, policy, 10*time.Second)
	return err
}
