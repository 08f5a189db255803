package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

// maxAdminAnswer bounds how much of an answer about the cluster is read.
const maxAdminAnswer = 16 << 20

// Status returns the state of the cluster as seen by the nearest node that answers. It is safe for concurrent use.
// [api.CodeUnavailable] means that no node answered in time.
func (c *Client) Status(ctx context.Context) (*api.Status, error) {
	q := &call{op: "status", method: http.MethodGet, path: "/v1/cluster", raw: "/v1/cluster", limit: maxAdminAnswer}
	var direct *api.Status
	q.direct = func(ctx context.Context, s api.Store) error {
		a, err := adminOf(s)
		if err == nil {
			direct, err = a.Status(ctx)
		}
		return err
	}
	a, err := c.run(ctx, q)
	if err != nil || direct != nil {
		return direct, err
	}
	var in struct {
		api.Status
		Ranges []struct {
			api.RangeStatus
			Start    *string `json:"start"`
			StartB64 []byte  `json:"start_base64"`
			End      *string `json:"end"`
			EndB64   []byte  `json:"end_base64"`
		} `json:"ranges"`
	}
	if err := json.Unmarshal(a.body, &in); err != nil {
		return nil, asRefused(q, &api.Error{Code: api.CodeInternal, Hint: "the status is not the JSON that it should be", Err: err})
	}
	s := in.Status
	for _, r := range in.Ranges {
		out := r.RangeStatus
		out.Start, out.End = api.Key(textBytes(r.Start, r.StartB64)), api.Key(textBytes(r.End, r.EndB64))
		s.Ranges = append(s.Ranges, out)
	}
	return &s, nil
}

// SetPlacement makes the region own every key that begins with prefix. The error is [api.CodeConflict] unless no such key exists,
// and [api.CodeAmbiguous] if the outcome is unknown. After any other error nothing was changed.
//
// A request for a placement carries no id. So once it may have taken effect it is not sent again.
func (c *Client) SetPlacement(ctx context.Context, prefix api.Key, region api.RegionID) error {
	return c.setPlacement(ctx, prefix, owner{Region: region}, func(ctx context.Context, a api.Admin) error { return a.SetPlacement(ctx, prefix, region) })
}

// SetPlacementGroup makes one group of a region own every key that begins with prefix, as the front for Consul needs of its keys in a
// cluster with several groups for each region. The error is [api.CodeConflict] unless no such key exists, [api.CodeInvalid] if there is
// no such group or it is one of several that divide the keys among themselves, and [api.CodeAmbiguous] if the outcome is unknown. After
// any other error nothing was changed. Like [Client.SetPlacement], it is not sent again once it may have taken effect.
func (c *Client) SetPlacementGroup(ctx context.Context, prefix api.Key, group api.GroupID) error {
	return c.setPlacement(ctx, prefix, owner{Group: group}, func(ctx context.Context, a api.Admin) error { return a.SetPlacementGroup(ctx, prefix, group) })
}

// owner is the region, or the group, that is to own keys.
type owner struct {
	Region api.RegionID `json:"region,omitempty"`
	Group  api.GroupID  `json:"group,omitempty"`
}

func (c *Client) setPlacement(ctx context.Context, prefix api.Key, to owner, direct func(context.Context, api.Admin) error) error {
	const path = "/v1/cluster/placement"
	q := &call{op: "placement", key: prefix, method: http.MethodPost, path: path, raw: path, limit: maxAdminAnswer, writes: true}
	body := struct {
		Prefix    *string `json:"prefix,omitempty"`
		PrefixB64 []byte  `json:"prefix_base64,omitempty"`
		owner
	}{owner: to}
	if text := string(prefix); utf8.ValidString(text) {
		body.Prefix = &text
	} else {
		body.PrefixB64 = []byte(prefix)
	}
	var err error
	if q.body, err = json.Marshal(body); err != nil {
		return asRefused(q, &api.Error{Code: api.CodeInvalid, Err: err})
	}
	q.header = jsonBody
	q.direct = func(ctx context.Context, s api.Store) error {
		a, err := adminOf(s)
		if err == nil {
			err = direct(ctx, a)
		}
		return err
	}
	_, err = c.run(ctx, q)
	return err
}

// Ready returns nil if the nearest node routes, serves and has caught up. Otherwise the error says what is missing. Ready asks
// only that node, and only once.
func (c *Client) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	q := &call{op: "ready", method: http.MethodGet, path: "/readyz", raw: "/readyz", limit: maxAdminAnswer, untimed: true}
	q.direct = func(ctx context.Context, s api.Store) error {
		a, err := adminOf(s)
		if err == nil {
			err = a.Ready(ctx)
		}
		return err
	}
	_, f := c.carrier.attempt(ctx, c.endpoints.all[0], q, c.timeout)
	if f == nil {
		return nil
	}
	return asRefused(q, f.err)
}

// Fetch sends a GET for a path of the API, such as "/v1/kv?prefix=a&limit=10", and returns the body of the answer as the node
// sent it. It asks the nearest node that answers. It is for tools that print the body. A body is at most 16 MiB. The error is
// [api.CodeInvalid] if pathAndQuery is not a path.
func (c *Client) Fetch(ctx context.Context, pathAndQuery string) ([]byte, error) {
	q := &call{op: "fetch", method: http.MethodGet, limit: maxAdminAnswer}
	raw, query, _ := strings.Cut(pathAndQuery, "?")
	var err1, err2 error
	q.raw = raw
	q.path, err1 = url.PathUnescape(raw)
	q.query, err2 = url.ParseQuery(query)
	if err1 != nil || err2 != nil || !strings.HasPrefix(raw, "/") {
		return nil, asRefused(q, api.Errorf(api.CodeInvalid, "%q is not a path", pathAndQuery))
	}
	a, err := c.run(ctx, q)
	if err != nil {
		return nil, err
	}
	return a.body, nil
}
