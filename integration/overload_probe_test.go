package integration

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// probed is what somebody met who asked while others flooded: in a process of its own, so that it waits for nothing of
// theirs.
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
func (f *flood) probe(t testing.TB, lasts time.Duration, load func()) (p probed) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestOverloadProbe$", "-test.timeout", "1m")
	cmd.Env = append(plainEnv(), probeURLs+"="+strings.Join(f.urls, " "), probeLasts+"="+lasts.String())
	out := make(chan []byte, 1)
	go func() {
		b, _ := cmd.Output() // what it lacks is seen below
		out <- b
	}()
	load()
	first, _, _ := strings.Cut(string(<-out), "\n")
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
	f := &flood{urls: urls, value: make([]byte, 256), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	var p probed
	var mu sync.Mutex
	var asking sync.WaitGroup
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for i := range int(lasts / (50 * time.Millisecond)) {
		<-every.C
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), floodTimeout)
			defer cancel()
			began := time.Now()
			err := f.putHTTP(ctx, i)
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
