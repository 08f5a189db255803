package httpd

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// dials is a cluster with one setting.
type dials struct {
	value string
	force bool
}

func (d *dials) one() *api.Setting {
	return &api.Setting{Name: "dead-after", Value: d.value, Default: "10m", Type: "duration"}
}

func (d *dials) Settings(context.Context) ([]api.Setting, error) {
	return []api.Setting{*d.one()}, nil
}

func (d *dials) Setting(_ context.Context, name string) (*api.Setting, error) {
	if name != "dead-after" {
		return nil, api.Errorf(api.CodeNotFound, "there is no setting %q", name)
	}
	return d.one(), nil
}

func (d *dials) SetSetting(ctx context.Context, name, value string, force bool) (*api.Setting, error) {
	if value == "1s" {
		return nil, api.Errorf(api.CodeInvalid, "dead-after must be a time from 10s to 720h")
	}
	s, err := d.Setting(ctx, name)
	if err == nil {
		d.value, d.force = value, force
		s = d.one()
	}
	return s, err
}

func (d *dials) UnsetSetting(ctx context.Context, name string) (*api.Setting, error) {
	d.value = "10m"
	return d.Setting(ctx, name)
}

func (d *dials) ClusterLevel(context.Context) (*api.ClusterLevel, error) {
	return &api.ClusterLevel{Level: 3, Newest: 3, HeldBy: []api.LevelHolder{}}, nil
}

func TestSettings(t *testing.T) {
	d := &dials{value: "10m"}
	h := New(front.New(front.Config{Store: storetest.NewMemory(), Settings: d}), Config{})
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/v1/cluster/settings", "", 200, `{"settings":[{"name":"dead-after","value":"10m"`},
		{"GET", "/v1/cluster/settings/dead-after", "", 200, `"value":"10m"`},
		{"GET", "/v1/cluster/settings/king", "", 404, "no setting"},
		{"PUT", "/v1/cluster/settings/dead-after", `{"value":"5m","force":true}`, 200, `"value":"5m"`},
		{"PUT", "/v1/cluster/settings/dead-after", `{"value":"1s"}`, 400, "10s to 720h"},
		{"PUT", "/v1/cluster/settings/dead-after", `{"value":5}`, 400, "not the JSON"},
		{"PUT", "/v1/cluster/settings/dead-after", `{"value":""}`, 400, "give the value"},
		{"PUT", "/v1/cluster/settings/dead-after", `{}`, 400, "give the value"},
		{"PUT", "/v1/cluster/settings/dead-after", `{"value":"5m","king":1}`, 400, "not the JSON"},
		{"PUT", "/v1/cluster/settings/king", `{"value":"5m"}`, 404, "no setting"},
		{"DELETE", "/v1/cluster/settings/dead-after", "", 200, `"value":"10m"`},
		{"DELETE", "/v1/cluster/settings/king", "", 404, "no setting"},
		{"POST", "/v1/cluster/settings", "", 405, "GET"},
		{"GET", "/v1/cluster/level", "", 200, `{"level":3,"newest":3,"hold":false,"held_by":[]}`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s %.60s: %d %s", c.method, c.path, c.body, w.Code, w.Body)
		}
	}
	if !d.force {
		t.Error("force was lost")
	}
}
