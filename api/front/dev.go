package front

import (
	"context"

	"github.com/edgehold/edgehold/api"
)

// HasDev reports whether the node is one of a planet whose faults can be chosen.
func (b *Backend) HasDev() bool { return b.dev != nil }

// DevStatus implements api.Dev. It needs [Observe].
func (c Caller) DevStatus(ctx context.Context) (*api.DevStatus, error) {
	if err := c.May("dev", Observe, ""); err != nil {
		return nil, err
	}
	return c.backend.dev.DevStatus(ctx)
}

// CutRegions implements api.Dev. It needs [Operate].
func (c Caller) CutRegions(ctx context.Context, a, b api.RegionID) (*api.DevStatus, error) {
	if err := c.May("cut", Operate, string(a)+" "+string(b)); err != nil {
		return nil, err
	}
	return c.backend.dev.CutRegions(ctx, a, b)
}

// HealRegions implements api.Dev. It needs [Operate].
func (c Caller) HealRegions(ctx context.Context, a, b api.RegionID) (*api.DevStatus, error) {
	if err := c.May("heal", Operate, string(a)+" "+string(b)); err != nil {
		return nil, err
	}
	return c.backend.dev.HealRegions(ctx, a, b)
}

// StopNode implements api.Dev. It needs [Operate].
func (c Caller) StopNode(ctx context.Context, node api.NodeID) (*api.DevStatus, error) {
	if err := c.May("stop", Operate, string(node)); err != nil {
		return nil, err
	}
	return c.backend.dev.StopNode(ctx, node)
}

// StartNode implements api.Dev. It needs [Operate].
func (c Caller) StartNode(ctx context.Context, node api.NodeID) (*api.DevStatus, error) {
	if err := c.May("start", Operate, string(node)); err != nil {
		return nil, err
	}
	return c.backend.dev.StartNode(ctx, node)
}
