package httpd

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// faulty notes the faults that are chosen.
type faulty struct{ got string }

func (f *faulty) note(format string, args ...any) (*api.DevStatus, error) {
	f.got = fmt.Sprintf(format, args...)
	if strings.Contains(f.got, "refuse") {
		return nil, api.Errorf(api.CodeConflict, "node refuse is the one that you ask")
	}
	return &api.DevStatus{Regions: []api.RegionID{"us-east", "eu-west"}, Cuts: []api.DevCut{}, Nodes: []api.DevNode{}}, nil
}

func (f *faulty) DevStatus(context.Context) (*api.DevStatus, error) { return f.note("status") }
func (f *faulty) CutRegions(_ context.Context, a, b api.RegionID) (*api.DevStatus, error) {
	return f.note("cut %s %s", a, b)
}
func (f *faulty) HealRegions(_ context.Context, a, b api.RegionID) (*api.DevStatus, error) {
	return f.note("heal %q %q", a, b)
}
func (f *faulty) StopNode(_ context.Context, n api.NodeID) (*api.DevStatus, error) {
	return f.note("stop %s", n)
}
func (f *faulty) StartNode(_ context.Context, n api.NodeID) (*api.DevStatus, error) {
	return f.note("start %s", n)
}

// TestDevRoutes: each choice by its path and body, and what is refused before it is made. A node of no planet has none of the routes.
func TestDevRoutes(t *testing.T) {
	for _, c := range []struct {
		method, path, body string
		status             int
		got                string
	}{
		{"GET", "", "", 200, "status"},
		{"POST", "/cut", `{"a":"us-east","b":"eu-west"}`, 200, "cut us-east eu-west"},
		{"POST", "/cut", `{"a":"us-east"}`, 400, ""},
		{"POST", "/cut", `{}`, 400, ""},
		{"POST", "/cut", ``, 400, ""},
		{"POST", "/cut", `{"a":"us-east","b":"eu-west","c":1}`, 400, ""},
		{"POST", "/heal", `{"a":"us-east","b":"eu-west"}`, 200, `heal "us-east" "eu-west"`},
		{"POST", "/heal", `{"b":"eu-west"}`, 400, ""},
		{"POST", "/heal", `{}`, 200, `heal "" ""`},
		{"POST", "/heal", ``, 200, `heal "" ""`},
		{"POST", "/nodes/us-east-2/stop", ``, 200, "stop us-east-2"},
		{"POST", "/nodes/refuse/stop", ``, 409, "stop refuse"},
		{"POST", "/nodes/us-east-2/start", ``, 200, "start us-east-2"},
		{"POST", "/nodes//start", ``, 404, ""},
		{"GET", "/cut", ``, 405, ""},
	} {
		f := new(faulty)
		h := New(front.New(front.Config{Store: storetest.NewMemory(), Dev: f}), Config{})
		ask := func(change ...string) int {
			f.got = ""
			r := httptest.NewRequestWithContext(t.Context(), c.method, "http://127.0.0.1:7400/v1/dev"+c.path, strings.NewReader(c.body))
			for i := 0; i < len(change); i += 2 {
				r.Header.Set(change[i], change[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		if code := ask(); code != c.status || f.got != c.got {
			t.Errorf("%s %s %s: status %d and %q, not %d and %q", c.method, c.path, c.body, code, f.got, c.status, c.got)
		}
		if code := ask("Origin", "http://evil.example"); c.status == 200 && code != 403 || f.got != "" {
			t.Errorf("%s %s: a page of another origin gets %d, and chooses %q", c.method, c.path, code, f.got)
		}
		none := New(front.New(front.Config{Store: storetest.NewMemory()}), Config{})
		w := httptest.NewRecorder()
		none.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, "http://127.0.0.1:7400/v1/dev"+c.path, nil))
		if w.Code != 404 {
			t.Errorf("%s %s of a node of no planet: %d", c.method, c.path, w.Code)
		}
	}
}
