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

// TestPlanetOverHTTP is what one planet shows of its HTTP API.
func TestPlanetOverHTTP(t *testing.T) {
	temporary(t)
	p := local.Dev(t, local.WithRegions("us-east", "eu-west"), local.WithFaults())
	t.Run("Contract", func(t *testing.T) { testContract(t, p) })
	t.Run("Faults", func(t *testing.T) { testFaults(t, p) })
}

// testFaults: over HTTP, two regions of a planet are cut off from each other and healed, and a server is stopped and started: it comes
// back with what it held. A request across a cut is not answered; within a region all goes on.
func testFaults(t *testing.T, p *local.DevPlanet) {
	here, there := p.Client("us-east"), p.Client("eu-west")
	put := func(c *client.Client, key api.Key, value string) {
		t.Helper()
		if _, err := c.Put(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	put(here, "eu-west/k", "before")

	s := choose(t, p, "POST", "/cut", `{"a":"us-east","b":"eu-west"}`, http.StatusOK)
	if len(s.Cuts) != 1 || s.Cuts[0] != (api.DevCut{A: "eu-west", B: "us-east"}) || len(s.Nodes) != 4 {
		t.Errorf("after the cut: %+v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if v, err := here.Get(ctx, "eu-west/k", client.Quorum()); err == nil {
		t.Errorf("%+v was read through a cut", v)
	}
	put(there, "eu-west/k", "in the cut")
	if s = choose(t, p, "POST", "/heal", ``, http.StatusOK); len(s.Cuts) != 0 {
		t.Errorf("after healing: %+v", s)
	}
	if v, err := here.Get(t.Context(), "eu-west/k"); err != nil || string(v.Value) != "in the cut" {
		t.Errorf("after healing: %+v, %v", v, err)
	}

	choose(t, p, "POST", "/nodes/us-east-1/stop", ``, http.StatusConflict) // the one that is asked
	choose(t, p, "POST", "/nodes/nowus-east-1/stop", ``, http.StatusNotFound)
	choose(t, p, "POST", "/cut", `{"a":"us-east","b":"nowhere"}`, http.StatusNotFound)
	choose(t, p, "POST", "/cut", `{"a":"us-east","b":"us-east"}`, http.StatusBadRequest)
	for range 2 { // the second time it is so already
		if s = choose(t, p, "POST", "/nodes/eu-west-1/stop", ``, http.StatusOK); s.Nodes[1].State != api.DevStopped || !s.Nodes[0].Self || s.Nodes[1].Self {
			t.Errorf("after the stop: %+v", s)
		}
	}
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if v, err := here.Get(ctx, "eu-west/k", client.Quorum()); err == nil {
		t.Errorf("%+v was read of a region without a server", v)
	}
	for range 2 {
		if s = choose(t, p, "POST", "/nodes/eu-west-1/start", ``, http.StatusOK); s.Nodes[1].State != api.DevUp {
			t.Errorf("after the start: %+v", s)
		}
	}
	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if v, err := here.Get(ctx, "eu-west/k"); err != nil || string(v.Value) != "in the cut" {
		t.Errorf("after the start: %+v, %v", v, err)
	}
	put(here, "eu-west/k", "after")
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
