package front

import (
	"context"

	"github.com/edgehold/edgehold/api"
)

// HasSettings reports whether the node answers about settings.
func (b *Backend) HasSettings() bool { return b.settings != nil }

// Settings lists all settings. It needs [Observe].
func (c Caller) Settings(ctx context.Context) ([]api.Setting, error) {
	if err := c.May("settings", Observe, ""); err != nil {
		return nil, err
	}
	return c.backend.settings.Settings(ctx)
}

// Setting returns one setting. It needs [Observe].
func (c Caller) Setting(ctx context.Context, name string) (*api.Setting, error) {
	if err := c.May("settings", Observe, name); err != nil {
		return nil, err
	}
	return c.backend.settings.Setting(ctx, name)
}

// SetSetting gives a setting a value. It needs [Administer].
func (c Caller) SetSetting(ctx context.Context, name, value string, force bool) (*api.Setting, error) {
	if err := c.May("set", Administer, name); err != nil {
		return nil, err
	}
	return c.backend.settings.SetSetting(WithPrincipal(ctx, c.principal), name, value, force)
}

// UnsetSetting gives a setting its default again. It needs [Administer].
func (c Caller) UnsetSetting(ctx context.Context, name string) (*api.Setting, error) {
	if err := c.May("unset", Administer, name); err != nil {
		return nil, err
	}
	return c.backend.settings.UnsetSetting(WithPrincipal(ctx, c.principal), name)
}

// ClusterLevel returns the level of the cluster. It needs [Observe].
func (c Caller) ClusterLevel(ctx context.Context) (*api.ClusterLevel, error) {
	if err := c.May("level", Observe, ""); err != nil {
		return nil, err
	}
	return c.backend.settings.ClusterLevel(ctx)
}
