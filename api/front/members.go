package front

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Orders reports whether the node takes orders about nodes and groups.
func (b *Backend) Orders() bool { return b.members != nil }

// Drain implements api.Members. It needs [Operate].
func (c Caller) Drain(ctx context.Context, node api.NodeID, limit time.Duration) (*api.Progress, error) {
	if err := c.May("drain", Operate, string(node)); err != nil {
		return nil, err
	}
	return c.backend.members.Drain(ctx, node, limit)
}

// Undrain implements api.Members. It needs [Operate].
func (c Caller) Undrain(ctx context.Context, node api.NodeID) (*api.Progress, error) {
	if err := c.May("undrain", Operate, string(node)); err != nil {
		return nil, err
	}
	return c.backend.members.Undrain(ctx, node)
}

// Leave implements api.Members. It needs [Administer].
func (c Caller) Leave(ctx context.Context, node api.NodeID, force bool) (*api.Progress, error) {
	if err := c.May("leave", Administer, string(node)); err != nil {
		return nil, err
	}
	return c.backend.members.Leave(ctx, node, force)
}

// Remove implements api.Members. It needs [Administer].
func (c Caller) Remove(ctx context.Context, node api.NodeID, force bool) (*api.Progress, error) {
	if err := c.May("remove", Administer, string(node)); err != nil {
		return nil, err
	}
	return c.backend.members.Remove(ctx, node, force)
}

// Replace implements api.Members. It needs [Administer].
func (c Caller) Replace(ctx context.Context, node, by api.NodeID, force bool) (*api.Progress, error) {
	if err := c.May("replace", Administer, string(node)+" by "+string(by)); err != nil {
		return nil, err
	}
	return c.backend.members.Replace(ctx, node, by, force)
}

// Transfer implements api.Members. It needs [Operate].
func (c Caller) Transfer(ctx context.Context, group api.GroupID, to api.NodeID) (*api.Progress, error) {
	if err := c.May("transfer", Operate, string(group)); err != nil {
		return nil, err
	}
	return c.backend.members.Transfer(ctx, group, to)
}

// RemoveRegion implements api.Members. It needs [Administer].
func (c Caller) RemoveRegion(ctx context.Context, region api.RegionID) (*api.Progress, error) {
	if err := c.May("region remove", Administer, string(region)); err != nil {
		return nil, err
	}
	return c.backend.members.RemoveRegion(ctx, region)
}
