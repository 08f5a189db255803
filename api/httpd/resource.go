package httpd

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// resource is what stands at a path.
type resource struct {
	name    string // in metrics
	allow   string
	methods map[string]func(*exchange) error
	params  []string // the query parameters it takes beside timeout
	probe   bool     // answered also under overload, and with any query; not counted as in flight
}

const keyPrefix = "/v1/kv/"

var (
	keyResource = &resource{
		name:   "kv",
		allow:  joinMethods(http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete),
		params: []string{"consistency", "max_stale"},
		methods: map[string]func(*exchange) error{
			http.MethodGet: getKey, http.MethodHead: getKey, http.MethodPut: putKey, http.MethodDelete: deleteKey,
		},
	}
	listResource      = reading("list", getList, "prefix", "start", "end", "limit", "reverse", "keys_only", "page", "consistency", "max_stale")
	clusterResource   = reading("cluster", getCluster)
	placementResource = &resource{
		name: "placement", allow: http.MethodPost,
		methods: map[string]func(*exchange) error{http.MethodPost: postPlacement},
	}
	txnResource = &resource{
		name: "txn", allow: http.MethodPost,
		methods: map[string]func(*exchange) error{http.MethodPost: postTxn},
	}
	// callsResource counts what comes by its streams, not the streams.
	callsResource = &resource{
		name: "calls", allow: http.MethodGet, probe: true,
		methods: map[string]func(*exchange) error{http.MethodGet: getCalls},
	}
	livezResource   = probe("livez", getLivez)
	readyzResource  = probe("readyz", getReadyz)
	metricsResource = probe("metrics", getMetrics)
)

// noMethod says which methods there are instead of the one asked for.
func (r *resource) noMethod(asked string) string {
	if upper := strings.ToUpper(asked); r.methods[upper] != nil {
		return "methods are written in capital letters: " + upper
	}
	return "the methods here are " + r.allow
}

func reading(name string, serve func(*exchange) error, params ...string) *resource {
	return &resource{
		name: name, allow: joinMethods(http.MethodGet, http.MethodHead), params: params,
		methods: map[string]func(*exchange) error{http.MethodGet: serve, http.MethodHead: serve},
	}
}

func probe(name string, serve func(*exchange) error) *resource {
	r := reading(name, serve)
	r.probe = true
	return r
}

// resource finds what stands at the path, nil where nothing does, and the key if it is a key's. It looks at the path as
// it was sent: only there do %2F and '/' differ, which they do before /v1/kv/ and not after it.
func (h *handler) resource(u *url.URL) (*resource, api.Key) {
	raw := u.RawPath // empty where it is exactly the default encoding of Path
	if raw == "" {
		raw = u.Path
	}
	if strings.HasPrefix(raw, keyPrefix) && strings.HasPrefix(u.Path, keyPrefix) {
		return keyResource, api.Key(u.Path[len(keyPrefix):])
	}
	switch raw {
	case "/v1/kv":
		return available(listResource, h.Lister != nil), ""
	case "/v1/txn":
		return txnResource, ""
	case "/v1/calls":
		return callsResource, ""
	case "/v1/cluster":
		return available(clusterResource, h.Admin != nil), ""
	case "/v1/cluster/placement":
		return available(placementResource, h.Admin != nil), ""
	case "/livez":
		return livezResource, ""
	case "/readyz":
		return readyzResource, ""
	case "/metrics":
		return available(metricsResource, h.Metrics != nil), ""
	}
	return nil, ""
}

func available(r *resource, ok bool) *resource {
	if !ok {
		return nil
	}
	return r
}
