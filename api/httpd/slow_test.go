package httpd

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

type slowAt map[api.NodeID]*api.SlowReport

func (s slowAt) SlowRequests(_ context.Context, node api.NodeID) (*api.SlowReport, error) {
	if r, ok := s[node]; ok {
		return r, nil
	}
	return nil, api.Errorf(api.CodeNotFound, "there is no such node")
}

// TestSlow: the answer is what docs/operations/slow.md says, with keys of any bytes, and none that is hidden.
func TestSlow(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	h := New(front.New(front.Config{Store: storetest.NewMemory(), SlowRequests: slowAt{
		"": {Nodes: []api.SlowNode{{Node: "a", State: "up"}}},
		"a": {
			Nodes: []api.SlowNode{{Node: "a", State: "up"}},
			Slow: []api.SlowRequest{
				{Front: "http", Route: "kv", Key: "k", Node: "a", Started: at, TookMS: 81.5, Source: "owner", Group: "us.1",
					Parts: []api.SlowPart{{What: "revoke", MS: 80}, {What: "holder", Node: "b", MS: 80}, {What: "node", MS: 1.5}}, TraceID: "0af7651916cd43dd8448eb211c80319c"},
				{Front: "resp", Route: "read", Hidden: true, Node: "a", Started: at, TookMS: 3, Error: api.CodeUnavailable, Parts: []api.SlowPart{}},
			},
			Hot: []api.HotKey{{Key: "\xff", Node: "a", Reads: 64}, {Hidden: true, Node: "a", Writes: 2}},
		},
	}}), Config{})
	for path, want := range map[string]string{
		"/v1/cluster/slow": `{"nodes":[{"node":"a","state":"up"}],"slow":[],"hot":[]}` + "\n",
		"/v1/cluster/slow?node=a": `{"nodes":[{"node":"a","state":"up"}],"slow":[` +
			`{"key":"k","front":"http","route":"kv","node":"a","started":"2026-11-30T12:00:00Z","took_ms":81.5,"source":"owner","group":"us.1",` +
			`"parts":[{"what":"revoke","ms":80},{"what":"holder","node":"b","ms":80},{"what":"node","ms":1.5}],"trace_id":"0af7651916cd43dd8448eb211c80319c"},` +
			`{"front":"resp","route":"read","hidden":true,"node":"a","started":"2026-11-30T12:00:00Z","took_ms":3,"error":"unavailable","parts":[]}],` +
			`"hot":[{"key_base64":"/w==","node":"a","reads_per_second":64,"writes_per_second":0},{"hidden":true,"node":"a","reads_per_second":0,"writes_per_second":2}]}` + "\n",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %s\nwant %s", path, w.Code, w.Body, want)
		}
	}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest("GET", "/v1/cluster/slow?node=b", nil)); w.Code != 404 {
		t.Errorf("an unknown node: %d", w.Code)
	}
}
