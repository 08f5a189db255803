package httpd

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// kind is how a route is treated.
type kind string

const (
	// request is counted as in flight, and is refused under overload.
	request kind = "request"
	// probe is answered also under overload, and takes any query. It is not in flight.
	probe kind = "probe"
	// stream takes the connection over. It is not in flight either: what comes by it is.
	stream kind = "stream"
)

// body is what a route takes as its body. The zero value is none.
type body struct {
	what  string // as errors name it
	media string // its content type, which is not checked
	limit int64  // bytes
}

// route is one row of the API: what is answered at a path for a method. HEAD is served as GET.
type route struct {
	method   string
	path     string // {key} at its end, and {name} of a lock, is any bytes; any other {name} is one segment
	name     string // in metrics
	kind     kind
	right    front.Right // that the handler needs of the Caller
	body     body
	params   []string // of the query, beside timeout
	statuses []int    // of answers that are no errors
	serve    func(*exchange) error
	there    func(*handler) bool // whether the node has it; nil: always
	about    about               // what the document of OpenAPI says of it
}

const (
	keyPrefix  = "/v1/kv/"
	lockPrefix = "/v1/locks/"
)

var (
	readParams = []string{"consistency", "max_stale"}
	putParams  = []string{"consistency", "max_stale", "ttl", "keep_ttl"}
	listParams = []string{"prefix", "start", "end", "limit", "reverse", "keys_only", "page", "consistency", "max_stale"}
	waitParam  = []string{"wait"}
	value      = body{"value", "application/octet-stream", api.MaxValueBytes}
	txnJSON    = body{"body", "application/json", api.MaxTxnBodyBytes}
	ok         = []int{http.StatusOK}
)

// routes is the API. Whether a principal may do what a row does is decided by the Caller, key by key.
var routes = []route{
	{"GET", "/v1/kv/{key}", "kv", request, front.Read, body{}, readParams, []int{200, 304}, getKey, nil, aboutGetKey},
	{"PUT", "/v1/kv/{key}", "kv", request, front.Write, value, putParams, ok, putKey, nil, aboutPutKey},
	{"DELETE", "/v1/kv/{key}", "kv", request, front.Write, body{}, readParams, ok, deleteKey, nil, aboutDeleteKey},
	{"GET", "/v1/kv", "list", request, front.List, body{}, listParams, ok, getList, lists, aboutGetList},
	{"GET", "/v1/watch", "watch", request, front.List, body{}, watchParams, ok, getWatch, watches, aboutGetWatch},
	{"POST", "/v1/txn", "txn", request, front.Write, txnJSON, nil, ok, postTxn, nil, aboutPostTxn},
	{"POST", "/v1/locks/{name}", "lock", request, front.Write, lockJSON, nil, ok, postLock, locks, aboutPostLock},
	{"PUT", "/v1/locks/{name}", "lock", request, front.Write, lockJSON, nil, ok, putLock, locks, aboutPutLock},
	{"DELETE", "/v1/locks/{name}", "lock", request, front.Write, lockJSON, nil, ok, deleteLock, locks, aboutDeleteLock},
	{"GET", "/v1/locks/{name}", "lock", request, front.List, body{}, nil, ok, getLock, locks, aboutGetLock},
	{"GET", "/v1/calls", "calls", stream, front.None, body{}, nil, []int{101}, getCalls, nil, aboutGetCalls},
	{"GET", "/v1/cluster", "cluster", request, front.Observe, body{}, nil, ok, getCluster, admins, aboutGetCluster},
	{"GET", "/v1/cluster/live", "live", request, front.Observe, body{}, nil, ok, getLive, observed, aboutGetLive},
	{"GET", "/v1/cluster/slow", "slow", request, front.Observe, body{}, slowParams, ok, getSlow, hasSlow, aboutGetSlow},
	{"POST", "/v1/cluster/placement", "placement", request, front.Administer, placementJSON, nil, ok, postPlacement, admins, aboutPostPlacement},
	{"POST", "/v1/cluster/nodes/{node}/drain", "drain", request, front.Operate, orderJSON, nil, ok, postDrain, orders, aboutDrain},
	{"POST", "/v1/cluster/nodes/{node}/undrain", "undrain", request, front.Operate, orderJSON, nil, ok, postUndrain, orders, aboutUndrain},
	{"POST", "/v1/cluster/nodes/{node}/leave", "leave", request, front.Administer, orderJSON, nil, ok, postLeave, orders, aboutLeave},
	{"POST", "/v1/cluster/nodes/{node}/remove", "remove", request, front.Administer, orderJSON, nil, ok, postRemove, orders, aboutRemove},
	{"POST", "/v1/cluster/nodes/{node}/replace", "replace", request, front.Administer, orderJSON, nil, ok, postReplace, orders, aboutReplace},
	{"POST", "/v1/cluster/groups/{group}/transfer", "transfer", request, front.Operate, orderJSON, nil, ok, postTransfer, orders, aboutTransfer},
	{"POST", "/v1/cluster/regions/{region}/remove", "regionremove", request, front.Administer, orderJSON, nil, ok, postRemoveRegion, orders, aboutRemoveRegion},
	{"GET", "/v1/cluster/settings", "settings", request, front.Observe, body{}, nil, ok, getSettings, hasSettings, aboutGetSettings},
	{"GET", "/v1/cluster/settings/{name}", "setting", request, front.Observe, body{}, nil, ok, getSetting, hasSettings, aboutGetSetting},
	{"PUT", "/v1/cluster/settings/{name}", "setting", request, front.Administer, settingJSON, nil, ok, putSetting, hasSettings, aboutPutSetting},
	{"DELETE", "/v1/cluster/settings/{name}", "setting", request, front.Administer, body{}, nil, ok, deleteSetting, hasSettings, aboutDeleteSetting},
	{"GET", "/v1/cluster/level", "level", request, front.Observe, body{}, nil, ok, getLevel, hasSettings, aboutGetLevel},
	{"POST", "/v1/join", "join", request, front.None, joinJSON, nil, ok, postJoin, joins, aboutPostJoin},
	{"POST", "/v1/cluster/tokens", "jointokens", request, front.Administer, joinTokenJSON, nil, ok, postJoinToken, joinTokens, aboutPostJoinToken},
	{"GET", "/v1/cluster/tokens", "jointokens", request, front.Administer, body{}, nil, ok, getJoinTokens, joinTokens, aboutGetJoinTokens},
	{"DELETE", "/v1/cluster/tokens/{id}", "jointoken", request, front.Administer, body{}, nil, []int{204}, deleteJoinToken, joinTokens, aboutDeleteJoinToken},
	{"GET", "/v1/access/self", "self", request, front.None, body{}, nil, ok, getSelf, nil, aboutGetSelf},
	{"POST", "/v1/access/tokens", "tokens", request, front.Administer, accessTokenJSON, waitParam, ok, postAccessToken, tokens, aboutPostAccessToken},
	{"GET", "/v1/access/tokens", "tokens", request, front.Administer, body{}, []string{"seen_at"}, ok, getAccessTokens, tokens, aboutGetAccessTokens},
	{"GET", "/v1/access/tokens/{token}", "token", request, front.Administer, body{}, nil, ok, getAccessToken, tokens, aboutGetAccessToken},
	{"POST", "/v1/access/tokens/{token}", "token", request, front.Administer, accessTokenJSON, waitParam, ok, postRotateToken, tokens, aboutRotateToken},
	{"DELETE", "/v1/access/tokens/{token}", "token", request, front.Administer, body{}, waitParam, ok, deleteAccessToken, tokens, aboutDeleteAccessToken},
	{"GET", "/v1/access/policies", "policies", request, front.Administer, body{}, nil, ok, getPolicies, tokens, aboutGetPolicies},
	{"GET", "/v1/access/policies/{policy}", "policy", request, front.Administer, body{}, nil, ok, getPolicy, tokens, aboutGetPolicy},
	{"PUT", "/v1/access/policies/{policy}", "policy", request, front.Administer, policyJSON, waitParam, ok, putPolicy, tokens, aboutPutPolicy},
	{"DELETE", "/v1/access/policies/{policy}", "policy", request, front.Administer, body{}, []string{"wait", "force"}, ok, deletePolicy, tokens, aboutDeletePolicy},
	{"GET", "/v1/dev", "dev", request, front.Observe, body{}, nil, ok, getDev, dev, aboutGetDev},
	{"POST", "/v1/dev/cut", "dev", request, front.Operate, devJSON, nil, ok, postDevCut, dev, aboutDevCut},
	{"POST", "/v1/dev/heal", "dev", request, front.Operate, devJSON, nil, ok, postDevHeal, dev, aboutDevHeal},
	{"POST", "/v1/dev/nodes/{node}/stop", "dev", request, front.Operate, body{}, nil, ok, postDevStop, dev, aboutDevStop},
	{"POST", "/v1/dev/nodes/{node}/start", "dev", request, front.Operate, body{}, nil, ok, postDevStart, dev, aboutDevStart},
	{"GET", "/openapi.json", "openapi", probe, front.None, body{}, nil, ok, getOpenAPI, nil, aboutGetOpenAPI},
	{"GET", "/livez", "livez", probe, front.None, body{}, nil, ok, getLivez, nil, aboutGetLivez},
	{"GET", "/readyz", "readyz", probe, front.None, body{}, nil, ok, getReadyz, nil, aboutGetReadyz},
	{"GET", "/v1/debug", "debug", probe, front.Operate, body{}, nil, ok, getDebug, debugs, aboutGetDebug},
	{"GET", "/metrics", "metrics", probe, front.Observe, body{}, nil, ok, getMetrics, measures, aboutGetMetrics},
}

func lists(h *handler) bool    { return h.Lists() }
func watches(h *handler) bool  { return h.Watches() }
func admins(h *handler) bool   { return h.Admins() }
func observed(h *handler) bool { return h.Observed() }
func measures(h *handler) bool { return h.Metrics != nil }

// resource is what stands at a path: its routes by method.
type resource struct {
	name   string
	allow  string
	routes map[string]*route
}

// table holds the resources of a node.
type table struct {
	keys     *resource // of /v1/kv/{key}
	locks    *resource // of /v1/locks/{name}; nil if there are none
	exact    map[string]*resource
	patterns []pattern
}

// pattern is a path with segments in braces, which stand for one segment each.
type pattern struct {
	segments []string
	at       *resource
}

func newTable(h *handler) table {
	t := table{exact: map[string]*resource{}}
	for i := range routes {
		if r := &routes[i]; r.there == nil || r.there(h) {
			t.add(r)
		}
	}
	t.keys = t.exact[keyPrefix+"{key}"]
	delete(t.exact, keyPrefix+"{key}")
	t.locks = t.exact[lockPrefix+"{name}"]
	delete(t.exact, lockPrefix+"{name}")
	for path, at := range t.exact {
		if strings.Contains(path, "{") {
			t.patterns = append(t.patterns, pattern{strings.Split(path, "/"), at})
			delete(t.exact, path)
		}
	}
	return t
}

func (t *table) add(r *route) {
	at := t.exact[r.path]
	if at == nil {
		at = &resource{name: r.name, routes: map[string]*route{}}
		t.exact[r.path] = at
	}
	methods := []string{r.method}
	if r.method == http.MethodGet {
		methods = append(methods, http.MethodHead)
	}
	if r.kind == stream {
		methods = methods[:1]
	}
	for _, m := range methods {
		at.routes[m] = r
		at.allow = strings.TrimPrefix(at.allow+", "+m, ", ")
	}
}

// find returns what stands at the path, nil if nothing does, the key if it is a key's, and what stands for the segments in braces.
// The name of a lock is a key too. It looks at the path as it was sent: only there do %2F and '/' differ, which they do before
// /v1/kv/ and not after it.
func (t *table) find(u *url.URL) (at *resource, key api.Key, args map[string]string) {
	raw := u.RawPath // empty if it is exactly the default encoding of Path
	if raw == "" {
		raw = u.Path
	}
	if strings.HasPrefix(raw, keyPrefix) && strings.HasPrefix(u.Path, keyPrefix) {
		return t.keys, api.Key(u.Path[len(keyPrefix):]), nil
	}
	if strings.HasPrefix(raw, lockPrefix) && strings.HasPrefix(u.Path, lockPrefix) {
		return t.locks, api.Key(u.Path[len(lockPrefix):]), nil
	}
	if at = t.exact[raw]; at != nil {
		return at, "", nil
	}
	for _, p := range t.patterns {
		if args := p.match(raw); args != nil {
			return p.at, "", args
		}
	}
	return nil, "", nil
}

// match returns what stands for the segments in braces; nil if the path does not match. None is empty.
func (p pattern) match(raw string) map[string]string {
	segments := strings.Split(raw, "/")
	if len(segments) != len(p.segments) {
		return nil
	}
	args := map[string]string{}
	for i, want := range p.segments {
		name, isArg := strings.CutPrefix(want, "{")
		if !isArg {
			if segments[i] != want {
				return nil
			}
			continue
		}
		arg, err := url.PathUnescape(segments[i])
		if err != nil || arg == "" {
			return nil
		}
		args[strings.TrimSuffix(name, "}")] = arg
	}
	return args
}

// noMethod says which methods there are instead of the one asked for.
func (r *resource) noMethod(asked string) string {
	if upper := strings.ToUpper(asked); r.routes[upper] != nil {
		return "methods are written in capital letters: " + upper
	}
	return "the methods here are " + r.allow
}
