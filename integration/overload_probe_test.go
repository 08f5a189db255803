package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// probed is what a client met beside a flood. It runs in a process of its own, so that it waits for nothing of the flood.
type probed struct {
	Refusals []time.Duration // of those that were refused
	Served   []time.Duration
	Other    int
}

const (
	probeURLs  = "OVERLOAD_PROBE_URLS"
	probeLasts = "OVERLOAD_PROBE_LASTS"
)

// probe asks twenty times a second while load lasts.
func probe(t testing.TB, spawn func(*exec.Cmd) error, urls []string, lasts time.Duration, load func()) (p probed) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestOverloadProbe$", "-test.timeout", "1m")
	cmd.Env = append(plainEnv(), probeURLs+"="+strings.Join(urls, " "), probeLasts+"="+lasts.String())
	var out strings.Builder
	cmd.Stdout = &out
	if err := spawn(cmd); err != nil {
		t.Fatal(err)
	}
	load()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the probe: %v: %s", err, out.String())
	}
	first, _, _ := strings.Cut(out.String(), "\n")
	if err := json.Unmarshal([]byte(first), &p); err != nil {
		t.Fatalf("the probe says %q: %v", first, err)
	}
	return p
}

// TestOverloadProbe is the probe's process.
func TestOverloadProbe(t *testing.T) {
	urls := strings.Fields(os.Getenv(probeURLs))
	if len(urls) == 0 {
		t.Skip("a part of BenchmarkOverload")
	}
	lasts, err := time.ParseDuration(os.Getenv(probeLasts))
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 256)
	var p probed
	var mu sync.Mutex
	var asking sync.WaitGroup
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for i := range int(lasts / (50 * time.Millisecond)) {
		<-every.C
		asking.Go(func() {
			c := plainClient{address: strings.TrimPrefix(urls[i%len(urls)], "http://")}
			defer c.close()
			began := time.Now()
			err := c.ask("PUT", "/v1/kv/"+string(floodKey()), value)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				p.Served = append(p.Served, took)
			case api.CodeOf(err) == api.CodeUnavailable:
				p.Refusals = append(p.Refusals, took)
			default:
				p.Other++
			}
		})
	}
	asking.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(p); err != nil {
		t.Fatal(err)
	}
}
