package httpd

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// orderly notes the orders that it is given.
type orderly struct{ got string }

func (o *orderly) note(format string, args ...any) (*api.Progress, error) {
	o.got = fmt.Sprintf(format, args...)
	if strings.Contains(o.got, "refuse") {
		return nil, api.Errorf(api.CodeConflict, "us-east.1 would have 1 of 2 alive: see recover")
	}
	return &api.Progress{Waits: []string{"x catches up"}}, nil
}

func (o *orderly) Drain(_ context.Context, n api.NodeID, d time.Duration) (*api.Progress, error) {
	return o.note("drain %s for %v", n, d)
}
func (o *orderly) Undrain(_ context.Context, n api.NodeID) (*api.Progress, error) {
	return o.note("undrain %s", n)
}
func (o *orderly) Leave(_ context.Context, n api.NodeID, force bool) (*api.Progress, error) {
	return o.note("leave %s %v", n, force)
}
func (o *orderly) Remove(_ context.Context, n api.NodeID, force bool) (*api.Progress, error) {
	return o.note("remove %s %v", n, force)
}
func (o *orderly) Replace(_ context.Context, n, by api.NodeID, force bool) (*api.Progress, error) {
	return o.note("replace %s by %s %v", n, by, force)
}
func (o *orderly) Transfer(_ context.Context, g api.GroupID, to api.NodeID) (*api.Progress, error) {
	return o.note("transfer %s to %q", g, to)
}
func (o *orderly) RemoveRegion(_ context.Context, r api.RegionID) (*api.Progress, error) {
	return o.note("remove region %s", r)
}

// TestOrders: each order by its path and body, and what is refused before it is given.
func TestOrders(t *testing.T) {
	for _, c := range []struct {
		path, body string
		status     int
		got        string
	}{
		{"nodes/us-east-1/drain", `{"for":"30m"}`, 200, "drain us-east-1 for 30m0s"},
		{"nodes/us-east-1/drain", ``, 200, "drain us-east-1 for 0s"},
		{"nodes/us-east-1/drain", `{"for":"soon"}`, 400, ""},
		{"nodes/us-east-1/drain", `{"force":true}`, 400, ""},
		{"nodes/us-east-1/undrain", `{}`, 200, "undrain us-east-1"},
		{"nodes/us-east-1/undrain", `{"for":"1m"}`, 400, ""},
		{"nodes/us-east-1/leave", `{"force":true}`, 200, "leave us-east-1 true"},
		{"nodes/us-east-1/leave", `{"by":"x"}`, 400, ""},
		{"nodes/us-east-1/remove", `{}`, 200, "remove us-east-1 false"},
		{"nodes/refuse/remove", `{}`, 409, "remove refuse false"},
		{"nodes/us-east-1/replace", `{"by":"us-east-4"}`, 200, "replace us-east-1 by us-east-4 false"},
		{"nodes/us-east-1/replace", `{}`, 400, ""},
		{"groups/us-east.1/transfer", `{"to":"us-east-2"}`, 200, `transfer us-east.1 to "us-east-2"`},
		{"groups/us-east.1/transfer", ``, 200, `transfer us-east.1 to ""`},
		{"regions/us-east/remove", ``, 200, "remove region us-east"},
		{"regions/us-east/remove", `{"force":true}`, 400, ""},
		{"nodes/us-east-1/drain", `{"what":1}`, 400, ""},
		{"nodes/a%2Fb/drain", `{}`, 200, "drain a/b for 0s"},
		{"nodes//drain", `{}`, 404, ""},
	} {
		o := new(orderly)
		h := New(front.New(front.Config{Store: storetest.NewMemory(), Members: o}), Config{})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/cluster/"+c.path, strings.NewReader(c.body)))
		if w.Code != c.status || o.got != c.got {
			t.Errorf("%s %s: status %d and order %q, not %d and %q: %s", c.path, c.body, w.Code, o.got, c.status, c.got, w.Body)
		}
	}
}
