package httpd_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// fakeObserver sends its events, and then ends with its error.
type fakeObserver struct {
	all []*api.Live
	err error
}

func (f *fakeObserver) Live(_ context.Context, tell func(*api.Live) error) error {
	for _, l := range f.all {
		if err := tell(l); err != nil {
			return err
		}
	}
	return f.err
}

// TestLive: the live stream is events of the status with what happens, and an event that says why it ends.
func TestLive(t *testing.T) {
	status := &api.Status{ClusterID: "c1", Ranges: []api.RangeStatus{{End: "\xff", Group: "g"}}}
	none := api.Live{Nodes: []api.NodeLive{}, Groups: []api.GroupLive{}, Alarms: []api.Alarm{}}
	o := &fakeObserver{err: api.Errorf(api.CodeDenied, "the token was revoked"), all: []*api.Live{
		{Status: status, Node: "n1", Seq: 1, Nodes: none.Nodes, Groups: none.Groups, Alarms: none.Alarms},
		{Status: status, Node: "n1", Seq: 2, Nodes: none.Nodes, Groups: none.Groups, Alarms: []api.Alarm{{Text: "a\nb", Next: "<script>"}}},
	}}
	h, _ := memoryAPI(func(c *front.Config) { c.Admin, c.Observer = &fakeAdmin{}, o })
	r := request(h, "GET", "/v1/cluster/live", "")
	wantStatus(t, r, http.StatusOK)
	if got := r.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("the type is %q", got)
	}
	events := strings.Split(strings.TrimSuffix(withoutRetry(t, bodyOf(t, r)), "\n\n"), "\n\n")
	if len(events) != 3 {
		t.Fatalf("%d events: %q", len(events), events)
	}
	for i, event := range events[:2] {
		data, ok := strings.CutPrefix(event, "event: live\ndata: ")
		var l struct {
			ClusterID string           `json:"cluster_id"`
			Ranges    []map[string]any `json:"ranges"`
			Live      api.Live         `json:"live"`
		}
		if err := json.Unmarshal([]byte(data), &l); !ok || err != nil || strings.Contains(data, "\n") {
			t.Fatalf("event %d is %q: %v", i, event, err)
		}
		if l.ClusterID != "c1" || l.Live.Seq != uint64(i)+1 || l.Live.Node != "n1" || l.Ranges[0]["end_base64"] != "/w==" {
			t.Errorf("event %d is %q", i, event)
		}
	}
	if !strings.HasPrefix(events[2], "event: end\ndata: ") || !strings.Contains(events[2], "the token was revoked") {
		t.Errorf("the end is %q", events[2])
	}
}

// TestLiveRefused: what keeps the stream from beginning is a problem, as elsewhere, and a node without it has nothing there.
func TestLiveRefused(t *testing.T) {
	o := &fakeObserver{err: api.Errorf(api.CodeUnavailable, "too many live streams")}
	h, _ := memoryAPI(func(c *front.Config) { c.Admin, c.Observer = &fakeAdmin{}, o })
	wantProblem(t, request(h, "GET", "/v1/cluster/live", ""), 503, api.CodeUnavailable, "too many live streams")
	wantProblem(t, request(h, "GET", "/v1/cluster/live?fast=1", ""), 400, api.CodeInvalid, "fast")
	bare, _ := memoryAPI()
	wantStatus(t, request(bare, "GET", "/v1/cluster/live", ""), 404)
}
