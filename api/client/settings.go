package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/edgehold/edgehold/api"
)

var _ api.Settings = (*Client)(nil)

const (
	settingsPath = "/v1/cluster/settings"
	levelPath    = "/v1/cluster/level"
)

// Settings lists the settings of the cluster, in order of name.
func (c *Client) Settings(ctx context.Context) ([]api.Setting, error) {
	q := &call{op: "settings", method: http.MethodGet, path: settingsPath, raw: settingsPath, limit: maxAdminAnswer}
	var out struct {
		Settings []api.Setting `json:"settings"`
	}
	q.direct = onSettings(func(ctx context.Context, s api.Settings) (err error) {
		out.Settings, err = s.Settings(ctx)
		return err
	})
	return out.Settings, c.into(ctx, q, &out)
}

// Setting returns one setting. The error is [api.CodeNotFound] if there is none of that name.
func (c *Client) Setting(ctx context.Context, name string) (*api.Setting, error) {
	return c.setting(ctx, settingCall("settings", http.MethodGet, name), func(ctx context.Context, s api.Settings) (*api.Setting, error) {
		return s.Setting(ctx, name)
	})
}

// SetSetting gives a setting a value. The error is [api.CodeNotFound] if there is none of that name, [api.CodeInvalid] with the bound
// for a value that it does not take, [api.CodeConflict] if the cluster cannot take it now, and [api.CodeAmbiguous] if the outcome is
// unknown: the same call may be made again.
func (c *Client) SetSetting(ctx context.Context, name, value string, force bool) (*api.Setting, error) {
	q := settingCall("set", http.MethodPut, name)
	q.writes, q.header = true, jsonBody
	body := struct {
		Value string `json:"value"`
		Force bool   `json:"force,omitempty"`
	}{value, force}
	var err error
	if q.body, err = json.Marshal(body); err != nil {
		return nil, asRefused(q, &api.Error{Code: api.CodeInvalid, Err: err})
	}
	return c.setting(ctx, q, func(ctx context.Context, s api.Settings) (*api.Setting, error) {
		return s.SetSetting(ctx, name, value, force)
	})
}

// UnsetSetting gives a setting its default again. The errors are those of SetSetting.
func (c *Client) UnsetSetting(ctx context.Context, name string) (*api.Setting, error) {
	q := settingCall("unset", http.MethodDelete, name)
	q.writes = true
	return c.setting(ctx, q, func(ctx context.Context, s api.Settings) (*api.Setting, error) { return s.UnsetSetting(ctx, name) })
}

// ClusterLevel returns the level of the cluster, and which nodes keep it from rising.
func (c *Client) ClusterLevel(ctx context.Context) (*api.ClusterLevel, error) {
	q := &call{op: "level", method: http.MethodGet, path: levelPath, raw: levelPath, limit: maxAdminAnswer}
	out := new(api.ClusterLevel)
	q.direct = onSettings(func(ctx context.Context, s api.Settings) (err error) {
		out, err = s.ClusterLevel(ctx)
		return err
	})
	if err := c.into(ctx, q, out); err != nil {
		return nil, err
	}
	return out, nil
}

func settingCall(op, method, name string) *call {
	return &call{op: op, method: method, path: settingsPath + "/" + name, raw: settingsPath + "/" + url.PathEscape(name), limit: maxAdminAnswer}
}

// setting carries out a call whose answer is one setting.
func (c *Client) setting(ctx context.Context, q *call, f func(context.Context, api.Settings) (*api.Setting, error)) (*api.Setting, error) {
	out := new(api.Setting)
	q.direct = onSettings(func(ctx context.Context, s api.Settings) (err error) {
		out, err = f(ctx, s)
		return err
	})
	if err := c.into(ctx, q, out); err != nil {
		return nil, err
	}
	return out, nil
}

// onSettings calls f with the settings of a Store in this process.
func onSettings(f func(context.Context, api.Settings) error) func(context.Context, api.Store) error {
	return func(ctx context.Context, s api.Store) error {
		settings, ok := s.(api.Settings)
		if !ok {
			return api.Errorf(api.CodeInvalid, "this store has no settings")
		}
		return f(ctx, settings)
	}
}
