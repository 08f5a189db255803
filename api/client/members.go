package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/edgehold/edgehold/api"
)

var _ api.Members = (*Client)(nil)

// orderBody is what an order says.
type orderBody struct {
	For   string     `json:"for,omitempty"`
	Force bool       `json:"force,omitempty"`
	By    api.NodeID `json:"by,omitempty"`
	To    api.NodeID `json:"to,omitempty"`
}

// Drain implements [api.Members] at the nearest server.
func (c *Client) Drain(ctx context.Context, node api.NodeID, limit time.Duration) (*api.Progress, error) {
	var b orderBody
	if limit != 0 {
		b.For = limit.String()
	}
	return c.order(ctx, "drain", "nodes", string(node), b, func(ctx context.Context, m api.Members) (*api.Progress, error) {
		return m.Drain(ctx, node, limit)
	})
}

// Undrain implements [api.Members] at the nearest server.
func (c *Client) Undrain(ctx context.Context, node api.NodeID) (*api.Progress, error) {
	return c.order(ctx, "undrain", "nodes", string(node), orderBody{}, func(ctx context.Context, m api.Members) (*api.Progress, error) {
		return m.Undrain(ctx, node)
	})
}

// Leave implements [api.Members] at the nearest server.
func (c *Client) Leave(ctx context.Context, node api.NodeID, force bool) (*api.Progress, error) {
	return c.order(ctx, "leave", "nodes", string(node), orderBody{Force: force}, func(ctx context.Context, m api.Members) (*api.Progress, error) {
		return m.Leave(ctx, node, force)
	})
}

// Remove implements [api.Members] at the nearest server.
func (c *Client) Remove(ctx context.Context, node api.NodeID, force bool) (*api.Progress, error) {
	return c.order(ctx, "remove", "nodes", string(node), orderBody{Force: force}, func(ctx context.Context, m api.Members) (*api.Progress, error) {
		return m.Remove(ctx, node, force)
	})
}

// Replace implements [api.Members] at the nearest server.
func (c *Client) Replace(ctx context.Context, node, by api.NodeID, force bool) (*api.Progress, error) {
	return c.order(ctx, "replace", "nodes", string(node), orderBody{By: by, Force: force}, func(ctx context.Context, m api.Members) (*api.Progress, error) {
		return m.Replace(ctx, node, by, force)
	})
}

// Transfer implements [api.Members] at the nearest server.
func (c *Client) Transfer(ctx context.Context, group api.GroupID, to api.NodeID) (*api.Progress, error) {
	return c.order(ctx, "transfer", "groups", string(group), orderBody{To: to}, func(ctx context.Context, m api.Members) (*api.Progress, error) {
		return m.Transfer(ctx, group, to)
	})
}

// RemoveRegion implements [api.Members] at the nearest server.
func (c *Client) RemoveRegion(ctx context.Context, region api.RegionID) (*api.Progress, error) {
	return c.order(ctx, "remove", "regions", string(region), orderBody{}, func(ctx context.Context, m api.Members) (*api.Progress, error) {
		return m.RemoveRegion(ctx, region)
	})
}

// order gives an order about one of the things of that kind.
func (c *Client) order(
	ctx context.Context, op, kind, of string, body orderBody, direct func(context.Context, api.Members) (*api.Progress, error),
) (*api.Progress, error) {
	path := "/v1/cluster/" + kind + "/"
	q := &call{op: op, method: http.MethodPost, path: path + of + "/" + op, raw: path + url.PathEscape(of) + "/" + op,
		limit: maxAdminAnswer, writes: true, header: jsonBody}
	var err error
	if q.body, err = json.Marshal(body); err != nil {
		return nil, asRefused(q, &api.Error{Code: api.CodeInvalid, Err: err})
	}
	out := new(api.Progress)
	q.direct = func(ctx context.Context, s api.Store) (err error) {
		m, ok := s.(api.Members)
		if !ok {
			return api.Errorf(api.CodeInvalid, "this Store takes no orders about nodes")
		}
		out, err = direct(ctx, m)
		return err
	}
	return out, c.into(ctx, q, out)
}
