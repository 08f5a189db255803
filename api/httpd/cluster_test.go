package httpd_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

type fakeAdmin struct {
	status *api.Status
	err    error
	prefix api.Key
	region api.RegionID
	group  api.GroupID
}

func (f *fakeAdmin) Status(context.Context) (*api.Status, error) { return f.status, f.err }
func (f *fakeAdmin) Ready(context.Context) error                 { return f.err }
func (f *fakeAdmin) SetPlacement(_ context.Context, prefix api.Key, region api.RegionID) error {
	f.prefix, f.region, f.group = prefix, region, ""
	return f.err
}
func (f *fakeAdmin) SetPlacementGroup(_ context.Context, prefix api.Key, group api.GroupID) error {
	f.prefix, f.region, f.group = prefix, "", group
	return f.err
}

func TestCluster(t *testing.T) {
	admin := &fakeAdmin{status: &api.Status{
		ClusterID: "c1",
		Nodes:     []api.NodeStatus{{Node: "us-east-1", Region: "us-east", Role: api.RoleServer, URL: "http://127.0.0.1:7400", State: "up"}},
		Groups:    []api.GroupStatus{{Group: "us-east.1", Region: "us-east", Leader: "us-east-1", Term: 3, Voters: []api.NodeID{"us-east-1"}, Applied: 9, Prepared: 2, Unresolved: 1, OldestPreparedSeconds: 4.5, Locked: []api.Lock{{Key: "us/a", Decider: "new", Seconds: 4}, {Key: "\xff", Decider: "new"}}}, {Group: "new"}},
		Ranges:    []api.RangeStatus{{Start: "", End: "\xff", Group: "us-east.1", Epoch: 1}, {Start: "\xff", End: "", Group: "us-east.1", Epoch: 2}},
		Sessions:  2, Leases: 5,
	}}
	h, _ := memoryAPI(func(c *front.Config) { c.Admin = admin })
	r := request(h, "GET", "/v1/cluster", "")
	wantStatus(t, r, 200)
	const want = `{"cluster_id":"c1","nodes":[{"node":"us-east-1","region":"us-east","role":"server","url":"http://127.0.0.1:7400","state":"up"}],` +
		`"groups":[{"group":"us-east.1","region":"us-east","leader":"us-east-1","term":3,"voters":["us-east-1"],"applied":9,"prepared":2,"unresolved":1,"oldest_prepared_seconds":4.5,` +
		`"locked":[{"key":"us/a","decider":"new","seconds":4},{"key_base64":"/w==","decider":"new","seconds":0}]},` +
		`{"group":"new","region":"","leader":"","term":0,"voters":[],"applied":0,"prepared":0,"unresolved":0,"oldest_prepared_seconds":0}],` +
		`"sessions":2,"leases":5,` +
		`"ranges":[{"start":"","end_base64":"/w==","group":"us-east.1","epoch":1},{"start_base64":"/w==","end":"","group":"us-east.1","epoch":2}]}` + "\n"
	if got := bodyOf(t, r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	admin.status = &api.Status{}
	if got := bodyOf(t, request(h, "GET", "/v1/cluster", "")); got != `{"cluster_id":"","nodes":[],"groups":[],"sessions":0,"leases":0,"ranges":[]}`+"\n" {
		t.Errorf("an empty status is %s", got)
	}
	wantProblem(t, request(h, "GET", "/v1/cluster?verbose=1", ""), 400, api.CodeInvalid, "verbose")
	admin.err = api.Errorf(api.CodeUnavailable, "no map yet")
	wantProblem(t, request(h, "GET", "/v1/cluster", ""), 503, api.CodeUnavailable, "no map yet")
}

func TestPlacement(t *testing.T) {
	admin := &fakeAdmin{}
	h, _ := memoryAPI(func(c *front.Config) { c.Admin = admin })
	for body, want := range map[string]struct {
		prefix api.Key
		region api.RegionID
		group  api.GroupID
	}{
		`{"prefix":"eu/","region":"eu-west"}`:         {"eu/", "eu-west", ""},
		`{"prefix_base64":"/w==","region":"eu-west"}`: {"\xff", "eu-west", ""},
		`{"prefix":"","region":"us-east"}`:            {"", "us-east", ""},
		`{"prefix":"eu/","group":"eu-west.2"}`:        {"eu/", "", "eu-west.2"},
	} {
		r := request(h, "POST", "/v1/cluster/placement", body)
		wantStatus(t, r, 200)
		if admin.prefix != want.prefix || admin.region != want.region || admin.group != want.group {
			t.Errorf("%s: %q, %q, %q", body, admin.prefix, admin.region, admin.group)
		}
		var a, b any
		if json.Unmarshal([]byte(body), &a) != nil || json.Unmarshal([]byte(bodyOf(t, r)), &b) != nil {
			t.Errorf("%s: the answer is not JSON", body)
		}
	}
	for _, body := range []string{
		``, `{}`, `null`, `[]`, `{"prefix":"a"}`, `{"region":"r"}`, `{"prefix":"a","region":"r","group":"r.1"}`, `{"prefix":"a","prefix_base64":"YQ==","region":"r"}`,
		`{"prefix":"a","region":"r","ttl":1}`, `{"prefix":"a","region":"r"} x`, `{"prefix_base64":"!","region":"r"}`,
	} {
		wantProblem(t, request(h, "POST", "/v1/cluster/placement", body), 400, api.CodeInvalid)
	}
	admin.err = api.Errorf(api.CodeConflict, "the range has keys")
	wantProblem(t, request(h, "POST", "/v1/cluster/placement", `{"prefix":"a","region":"r"}`), 409, api.CodeConflict, "the range has keys")
	admin.err = context.DeadlineExceeded
	wantProblem(t, request(h, "POST", "/v1/cluster/placement", `{"prefix":"a","region":"r"}`), 504, api.CodeAmbiguous)
}

func TestProbes(t *testing.T) {
	admin := &fakeAdmin{err: errors.New("group us-east.1 is catching up")}
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, "metrics")
	})
	h := newAPI(front.Config{Store: storetest.NewMemory(), Admin: admin}, httpd.Config{Metrics: metrics})
	wantStatus(t, request(h, "GET", "/livez?verbose", ""), 200)
	wantProblem(t, request(h, "GET", "/readyz", ""), 503, api.CodeUnavailable, "catching up")
	admin.err = nil
	if r := request(h, "GET", "/readyz", ""); r.StatusCode != 200 || bodyOf(t, r) != "ok\n" {
		t.Errorf("ready: %d", r.StatusCode)
	}
	if r := request(h, "GET", "/metrics", ""); r.StatusCode != 200 || bodyOf(t, r) != "metrics" {
		t.Errorf("metrics: %d", r.StatusCode)
	}
}

// registry is an observe.Metrics that remembers.
type registry struct {
	mu     sync.Mutex
	counts map[string]float64
}

func (g *registry) add(name string, n float64, values []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, v := range values {
		name += " " + v
	}
	g.counts[name] += n
}

func (g *registry) Counter(name, _ string, _ ...string) func(float64, ...string) {
	return func(n float64, values ...string) { g.add(name, n, values) }
}
func (g *registry) Gauge(name, _ string, read func() float64) { g.add(name, read(), nil) }
func (g *registry) FineHistogram(name, help string, labels ...string) func(float64, ...string) {
	return g.Histogram(name, help, labels...)
}

func (g *registry) Histogram(name, _ string, _ ...string) func(float64, ...string) {
	return func(_ float64, values ...string) { g.add(name, 1, values) }
}

func TestMeasures(t *testing.T) {
	g := &registry{counts: map[string]float64{}}
	h, _ := memoryAPI(func(c *front.Config) { c.Metrics = g })
	put(t, h, "a", "x")
	request(h, "GET", "/v1/kv/a", "")
	request(h, "GET", "/v1/kv/b", "")
	request(h, "GET", "/v1/kv", "")
	request(h, "GET", "/nothing", "")
	for name, want := range map[string]float64{
		"edgehold_front_requests_total http kv 200": 2, "edgehold_front_requests_total http kv 404": 1, "edgehold_front_requests_total http list 200": 1,
		"edgehold_front_requests_total http none 404": 1, "edgehold_front_request_seconds http kv": 3, "edgehold_front_requests_in_flight": 0,
	} {
		if g.counts[name] != want {
			t.Errorf("%s is %v, want %v; there are %v", name, g.counts[name], want, sorted(g.counts))
		}
	}
}
