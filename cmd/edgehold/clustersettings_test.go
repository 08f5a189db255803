package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// fakeSettings keeps settings without bounds.
type fakeSettings struct {
	values map[string]string
	forced bool
	level  api.ClusterLevel
}

func (f *fakeSettings) Setting(_ context.Context, name string) (*api.Setting, error) {
	v, ok := f.values[name]
	if !ok {
		return nil, api.Errorf(api.CodeNotFound, "there is no setting %q", name)
	}
	return &api.Setting{Name: name, Value: v, Default: "10m", Bounds: "a time"}, nil
}

func (f *fakeSettings) Settings(ctx context.Context) ([]api.Setting, error) {
	s, err := f.Setting(ctx, "dead-after")
	return []api.Setting{*s}, err
}

func (f *fakeSettings) SetSetting(ctx context.Context, name, value string, force bool) (*api.Setting, error) {
	if value == "1s" {
		return nil, api.Errorf(api.CodeInvalid, "%s must be a time from 10s to 720h", name)
	}
	if _, err := f.Setting(ctx, name); err != nil {
		return nil, err
	}
	f.values[name], f.forced = value, force
	return f.Setting(ctx, name)
}

func (f *fakeSettings) UnsetSetting(ctx context.Context, name string) (*api.Setting, error) {
	return f.SetSetting(ctx, name, "10m", false)
}

func (f *fakeSettings) ClusterLevel(context.Context) (*api.ClusterLevel, error) { return &f.level, nil }

func TestClusterSettings(t *testing.T) {
	fake := &fakeSettings{values: map[string]string{"dead-after": "10m", "voters": "3"}}
	s := httptest.NewServer(httpd.New(front.New(front.Config{Store: storetest.NewMemory(), Settings: fake}), httpd.Config{}))
	defer s.Close()
	for _, x := range []struct {
		args     string
		status   int
		out, err string
	}{
		{"settings", 0, "dead-after  10m    10m      a time", ""},
		{"settings -o json", 0, `{"settings":[{"name":"dead-after"`, ""},
		{"set dead-after 5m", 0, "dead-after is 5m\n", ""},
		{"set dead-after 6m voters 5 --force", 0, "dead-after is 6m\nvoters is 5\n", ""},
		{"set dead-after", 2, "", "a NAME and a VALUE"},
		{"set", 2, "", "a NAME and a VALUE"},
		{"set dead-after 1s", 1, "", "10s to 720h"},
		{"set king 1", 3, "", "no setting"},
		{"unset dead-after", 0, "dead-after is 10m\n", ""},
		{"unset", 2, "", "NAME is missing"},
		{"level", 0, "the cluster is at level 3; this version knows level 3\n", ""},
	} {
		fake.level = api.ClusterLevel{Level: 3, Newest: 3}
		i := (&invocation{env: map[string]string{"EDGEHOLD_ADDR": s.URL}}).run(append([]string{"cluster"}, strings.Fields(x.args)...)...)
		if i.status != x.status || !strings.Contains(i.out, x.out) || !strings.Contains(i.err, x.err) {
			t.Errorf("cluster %s: exit %d, %q, %q", x.args, i.status, i.out, i.err)
		}
	}
	fake.level = api.ClusterLevel{Level: 0, Newest: 3, Hold: true, HeldBy: []api.LevelHolder{{Node: "s2", Why: "it does not answer"}}}
	i := (&invocation{env: map[string]string{"EDGEHOLD_ADDR": s.URL}}).run("cluster", "level")
	for _, want := range []string{"at level 0", "unset level-hold", "node s2 keeps it there: it does not answer"} {
		if !strings.Contains(i.out, want) {
			t.Errorf("held: %q, want %q", i.out, want)
		}
	}
}
