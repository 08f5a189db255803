package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/edgehold/edgehold/api"
)

var _ api.Slow = (*Client)(nil)

// SlowRequests returns the slowest requests of the last minutes and the keys that are asked for most, as the nodes remember them: the
// nearest node that answers if node is "", every node if it is [api.EveryNode], else the node of that name. Keys that the token may not
// list are left out. The error is [api.CodeNotFound] if there is no node of that name.
func (c *Client) SlowRequests(ctx context.Context, node api.NodeID) (*api.SlowReport, error) {
	const path = "/v1/cluster/slow"
	q := &call{op: "slow", method: http.MethodGet, path: path, raw: path, limit: maxAdminAnswer}
	if node != "" {
		q.query = url.Values{"node": {string(node)}}
	}
	var direct *api.SlowReport
	q.direct = func(ctx context.Context, s api.Store) (err error) {
		from, ok := s.(api.Slow)
		if !ok {
			return api.Errorf(api.CodeInvalid, "this store remembers no slow requests")
		}
		direct, err = from.SlowRequests(ctx, node)
		return err
	}
	a, err := c.run(ctx, q)
	if err != nil || direct != nil {
		return direct, err
	}
	var in slowAnswer
	if err := json.Unmarshal(a.body, &in); err != nil {
		return nil, asRefused(q, &api.Error{Code: api.CodeInternal, Hint: "the answer is not the JSON that it should be", Err: err})
	}
	return in.report(), nil
}

// slowAnswer is the answer in JSON.
type slowAnswer struct {
	Nodes []api.SlowNode `json:"nodes"`
	Slow  []struct {
		api.SlowRequest
		keyOrBytes
	} `json:"slow"`
	Hot []struct {
		api.HotKey
		keyOrBytes
	} `json:"hot"`
}

// keyOrBytes is a key in JSON.
type keyOrBytes struct {
	Text   *string `json:"key"`
	Base64 []byte  `json:"key_base64"`
}

func (k *keyOrBytes) key() api.Key { return api.Key(textBytes(k.Text, k.Base64)) }

func (in *slowAnswer) report() *api.SlowReport {
	out := &api.SlowReport{Nodes: in.Nodes}
	for i := range in.Slow {
		x := in.Slow[i].SlowRequest
		x.Key = in.Slow[i].key()
		out.Slow = append(out.Slow, x)
	}
	for i := range in.Hot {
		x := in.Hot[i].HotKey
		x.Key = in.Hot[i].key()
		out.Hot = append(out.Hot, x)
	}
	return out
}
