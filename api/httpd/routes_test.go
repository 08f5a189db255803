package httpd

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// wantRoutes is the whole API: what a row of it changes, clients see.
const wantRoutes = `
GET    /v1/kv/{key}          kv        request read       [consistency max_stale] [200 304]
PUT    /v1/kv/{key}          kv        request write      [consistency max_stale ttl keep_ttl] [200] value 1048576
DELETE /v1/kv/{key}          kv        request write      [consistency max_stale] [200]
GET    /v1/kv                list      request list       [prefix start end limit reverse keys_only page consistency max_stale] [200]
GET    /v1/watch             watch     request list       [prefix start end from list collapse values] [200]
POST   /v1/txn               txn       request write      [] [200] body MAXTXN
POST   /v1/locks/{name}      lock      request write      [] [200] body 16384
PUT    /v1/locks/{name}      lock      request write      [] [200] body 16384
DELETE /v1/locks/{name}      lock      request write      [] [200] body 16384
GET    /v1/locks/{name}      lock      request list       [] [200]
GET    /v1/calls             calls     stream  none       [] [101]
GET    /v1/cluster           cluster   request observe    [] [200]
GET    /v1/cluster/live      live      request observe    [] [200]
GET    /v1/cluster/slow      slow      request observe    [node] [200]
POST   /v1/cluster/placement placement request administer [] [200] body 65536
POST   /v1/cluster/nodes/{node}/drain drain     request operate    [] [200] body 65536
POST   /v1/cluster/nodes/{node}/undrain undrain   request operate    [] [200] body 65536
POST   /v1/cluster/nodes/{node}/leave leave     request administer [] [200] body 65536
POST   /v1/cluster/nodes/{node}/remove remove    request administer [] [200] body 65536
POST   /v1/cluster/nodes/{node}/replace replace   request administer [] [200] body 65536
POST   /v1/cluster/groups/{group}/transfer transfer  request operate    [] [200] body 65536
POST   /v1/cluster/regions/{region}/remove regionremove request administer [] [200] body 65536
GET    /v1/cluster/settings  settings  request observe    [] [200]
GET    /v1/cluster/settings/{name} setting   request observe    [] [200]
PUT    /v1/cluster/settings/{name} setting   request administer [] [200] body 4096
DELETE /v1/cluster/settings/{name} setting   request administer [] [200]
GET    /v1/cluster/level     level     request observe    [] [200]
POST   /v1/join              join      request none       [] [200] request to join 16384
POST   /v1/cluster/tokens    jointokens request administer [] [200] body 65536
GET    /v1/cluster/tokens    jointokens request administer [] [200]
DELETE /v1/cluster/tokens/{id} jointoken request administer [] [204]
GET    /v1/access/self       self      request none       [] [200]
POST   /v1/access/tokens     tokens    request administer [wait] [200] body 65536
GET    /v1/access/tokens     tokens    request administer [seen_at] [200]
GET    /v1/access/tokens/{token} token     request administer [] [200]
POST   /v1/access/tokens/{token} token     request administer [wait] [200] body 65536
DELETE /v1/access/tokens/{token} token     request administer [wait] [200]
GET    /v1/access/policies   policies  request administer [] [200]
GET    /v1/access/policies/{policy} policy    request administer [] [200]
PUT    /v1/access/policies/{policy} policy    request administer [wait] [200] policy 524288
DELETE /v1/access/policies/{policy} policy    request administer [wait force] [200]
GET    /v1/dev               dev       request observe    [] [200]
POST   /v1/dev/cut           dev       request operate    [] [200] body 4096
POST   /v1/dev/heal          dev       request operate    [] [200] body 4096
POST   /v1/dev/nodes/{node}/stop dev       request operate    [] [200]
POST   /v1/dev/nodes/{node}/start dev       request operate    [] [200]
GET    /openapi.json         openapi   probe   none       [] [200]
GET    /livez                livez     probe   none       [] [200]
GET    /readyz               readyz    probe   none       [] [200]
GET    /v1/debug             debug     probe   operate    [] [200]
GET    /metrics              metrics   probe   observe    [] [200]
`

func TestRoutes(t *testing.T) {
	var b strings.Builder
	for _, r := range routes {
		fmt.Fprintf(&b, "\n%-6s %-21s %-9s %-7s %-10v %v %v", r.method, r.path, r.name, r.kind, r.right, r.params, r.statuses)
		if r.body != (body{}) {
			fmt.Fprintf(&b, " %s %d", r.body.what, r.body.limit)
		}
	}
	if got, want := b.String()+"\n", strings.Replace(wantRoutes, "MAXTXN", fmt.Sprint(api.MaxTxnBodyBytes), 1); got != want {
		t.Errorf("the routes are%s", got)
	}
}

// TestTable: a row that a node has not is not found, HEAD stands beside each GET of a request or probe, and Allow names the
// methods in the order of the rows.
func TestTable(t *testing.T) {
	all := &handler{Backend: front.New(front.Config{}), Config: Config{}}
	bare := newTable(all)
	for _, path := range []string{"/v1/kv", "/v1/cluster", "/v1/cluster/placement", "/metrics"} {
		if bare.exact[path] != nil {
			t.Errorf("%s is there without what answers it", path)
		}
	}
	all.Metrics = http.NotFoundHandler()
	for path, allow := range map[string]string{"/v1/txn": "POST", "/v1/calls": "GET", "/livez": "GET, HEAD", "/metrics": "GET, HEAD"} {
		table := newTable(all)
		if at := table.exact[path]; at == nil || at.allow != allow {
			t.Errorf("%s allows %+v, want %s", path, at, allow)
		}
	}
	if bare.keys.allow != "GET, HEAD, PUT, DELETE" {
		t.Errorf("a key allows %s", bare.keys.allow)
	}
}

// TestPatterns: a name in braces stands for one segment, as it was sent and then decoded.
func TestPatterns(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/nodes/n1/drain": "n1", "/v1/nodes/a%2Fb/drain": "a/b", "/v1/nodes/%C3%A4/drain": "ä",
		"/v1/nodes//drain": "", "/v1/nodes/n1": "", "/v1/nodes/n1/drain/": "", "/v1/nodes/a/b/drain": "", "/v1/nodes/%zz/drain": "",
	} {
		p := pattern{segments: strings.Split("/v1/nodes/{node}/drain", "/")}
		if got := p.match(path)["node"]; got != want {
			t.Errorf("%s has the node %q, want %q", path, got, want)
		}
	}
}
