package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster/local"
)

// TestFaults: over HTTP, two regions of a planet are cut off from each other and healed, and a server is stopped and started: it comes
// back with what it held. A request across a cut is not answered; within a region all goes on.
func TestFaults(t *testing.T) {
	temporary(t)
	p := local.Dev(t, local.WithRegions("here", "there"), local.WithEdges(0), local.WithFaults())
	here, there := p.Client("here"), p.Client("there")
	put := func(c *client.Client, key api.Key, value string) {
		t.Helper()
		if _, err := c.Put(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	put(here, "there/k", "before")

	s := choose(t, p, "POST", "/cut", `{"a":"there","b":"here"}`, http.StatusOK)
	if len(s.Cuts) != 1 || s.Cuts[0] != (api.DevCut{A: "here", B: "there"}) || len(s.Nodes) != 2 {
		t.Errorf("after the cut: %+v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if v, err := here.Get(ctx, "there/k", client.Quorum()); err == nil {
		t.Errorf("%+v was read through a cut", v)
	}
	put(there, "there/k", "in the cut")
	if s = choose(t, p, "POST", "/heal", ``, http.StatusOK); len(s.Cuts) != 0 {
		t.Errorf("after healing: %+v", s)
	}
	if v, err := here.Get(t.Context(), "there/k"); err != nil || string(v.Value) != "in the cut" {
		t.Errorf("after healing: %+v, %v", v, err)
	}

	choose(t, p, "POST", "/nodes/here-1/stop", ``, http.StatusConflict) // the one that is asked
	choose(t, p, "POST", "/nodes/nowhere-1/stop", ``, http.StatusNotFound)
	choose(t, p, "POST", "/cut", `{"a":"here","b":"nowhere"}`, http.StatusNotFound)
	choose(t, p, "POST", "/cut", `{"a":"here","b":"here"}`, http.StatusBadRequest)
	for range 2 { // the second time it is so already
		if s = choose(t, p, "POST", "/nodes/there-1/stop", ``, http.StatusOK); s.Nodes[1].State != api.DevStopped || !s.Nodes[0].Self || s.Nodes[1].Self {
			t.Errorf("after the stop: %+v", s)
		}
	}
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if v, err := here.Get(ctx, "there/k", client.Quorum()); err == nil {
		t.Errorf("%+v was read of a region without a server", v)
	}
	for range 2 {
		if s = choose(t, p, "POST", "/nodes/there-1/start", ``, http.StatusOK); s.Nodes[1].State != api.DevUp {
			t.Errorf("after the start: %+v", s)
		}
	}
	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if v, err := here.Get(ctx, "there/k"); err != nil || string(v.Value) != "in the cut" {
		t.Errorf("after the start: %+v, %v", v, err)
	}
	put(here, "there/k", "after")
}

// choose asks the planet's first node for faults, and returns those in force if the status is 200.
func choose(t *testing.T, p *local.DevPlanet, method, path, body string, status int) (s api.DevStatus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, p.Nodes()[0].URL+"/v1/dev"+path+"?timeout=30s", bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d", path, body, res.StatusCode, status)
	}
	if status == http.StatusOK {
		if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}
