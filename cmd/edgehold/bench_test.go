package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cmd/edgehold/bench/load"
)

func readReport(t *testing.T, text string) *load.Report {
	t.Helper()
	var r load.Report
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return &r
}

// TestBench puts a load on two nodes and deletes its keys, but no others.
func TestBench(t *testing.T) {
	p, q := newPlanet(t), newPlanet(t)
	q.Config.Handler = p.Config.Handler // a second node with the same store
	p.must(t, "", "kv", "put", "bench/other", "stays")
	p.must(t, "", "kv", "put", "bench/1", "stays too")
	html := filepath.Join(t.TempDir(), "picture.html")
	args := []string{"bench", "--addr", p.URL + "," + q.URL, "--keys", "300", "--reads", "50", "--clients", "4", "--duration", "500ms",
		"--value-size", "100", "--key-size", "12", "-o", "json", "--html", html}
	r := readReport(t, p.must(t, "", append(args, "--prepare")...))
	if len(r.Operations) != 2 || len(r.Endpoints) != 2 || r.Seconds != 0.5 || r.Interrupted || r.Shortfall != (load.Shortfall{}) {
		t.Errorf("%+v", r)
	}
	for i, o := range r.Operations {
		if o.Operation != []string{"read", "write"}[i] || o.Count == 0 || o.Failed != 0 || o.Absent != 0 || o.Latency.Max < o.Latency.P50 || o.Latency.P50 <= 0 {
			t.Errorf("%+v", o)
		}
	}
	if e := r.Endpoints[1]; e.Endpoint != q.URL || e.Node != "here-1" || e.Operations[0].Count+e.Operations[1].Count == 0 {
		t.Errorf("%+v", e)
	}
	var body struct {
		Entries []struct{ Key, Value, ValueBase64 string }
	}
	list := p.must(t, "", "kv", "list", "--prefix", "bench/", "-o", "json")
	if err := json.Unmarshal([]byte(list), &body); err != nil || len(body.Entries) != 302 || body.Entries[0].Key != "bench/000000" {
		t.Errorf("%d keys, %v", len(body.Entries), err)
	}
	r = readReport(t, p.must(t, "", append(args, "--cleanup", "--rate", "100")...))
	if r.Settings.Rate != 100 || r.Operations[0].Count+r.Operations[1].Count+r.NotStarted != 50 {
		t.Errorf("%+v", r)
	}
	if got := p.must(t, "", "kv", "list", "--prefix", "bench/", "--keys-only"); got != "bench/1\nbench/other\n" {
		t.Errorf("left over: %q", got)
	}
	if page, err := os.ReadFile(html); err != nil || !strings.Contains(string(page), "</html>") {
		t.Errorf("%d bytes, %v", len(page), err)
	}
}

// TestBenchShape holds the fields of the JSON.
func TestBenchShape(t *testing.T) {
	p := newPlanet(t)
	var r map[string]any
	if err := json.Unmarshal([]byte(p.must(t, "", "bench", "--duration", "300ms", "--keys", "5", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	operation := r["operations"].([]any)[0].(map[string]any)
	for _, c := range []struct {
		of   any
		want string
	}{
		{r, "began cut_off endpoints interrupted late not_started operations seconds settings timeline"},
		{r["settings"], "clients consistency duration_seconds key_size keys prefix rate reads value_size warmup_seconds zipf"},
		{operation, "absent count curve errors failed latency_ms operation ops_per_second served_by"},
		{operation["latency_ms"], "max mean p50 p90 p99 p99_9"},
		{operation["served_by"], "lease owner stale"},
		{operation["curve"].([]any)[0], "ms percent"},
		{r["endpoints"].([]any)[0], "cut_off endpoint late node not_started operations"},
		{r["timeline"].([]any)[0], "at_seconds failed p50_ms p99_ms reads seconds writes"},
	} {
		var names []string
		for name := range c.of.(map[string]any) {
			names = append(names, name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// TestBenchIsInterrupted ends the context in the middle: the table is printed, the keys are deleted, and the exit status is 1.
func TestBenchIsInterrupted(t *testing.T) {
	p := newPlanet(t)
	ctx, cancel := context.WithCancel(t.Context())
	var requests atomic.Int64
	p.setFault(func(http.ResponseWriter, *http.Request) bool {
		if requests.Add(1) == 500 {
			cancel()
		}
		return false
	})
	i := &invocation{ctx: ctx, env: map[string]string{"EDGEHOLD_ADDR": p.URL}}
	i.run("bench", "--duration", "1h", "--keys", "20", "--reads", "50", "--cleanup")
	if i.status != 1 || !strings.Contains(i.out, "OPERATION") || !strings.Contains(i.err, "bench: interrupted, ") || lineCount(i.err) != 1 {
		t.Errorf("exit %d, %s, %s", i.status, i.out, i.err)
	}
	if got := p.must(t, "", "kv", "list"); got != "" {
		t.Errorf("left over: %q", got)
	}
	p = newPlanet(t) // to the first one requests may still be on their way
	ctx, cancel = context.WithCancel(t.Context())
	p.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			cancel()
		}
		return false
	})
	i = &invocation{ctx: ctx, env: map[string]string{"EDGEHOLD_ADDR": p.URL}}
	if i.run("bench", "--prepare"); i.status != 1 || i.out != "" || i.err != "edgehold: bench: prepare: interrupted\n" {
		t.Errorf("exit %d, %s, %s", i.status, i.out, i.err)
	}
}

// TestBenchOfATroubledCluster counts errors by code and explains them. If no operation was answered, bench fails.
func TestBenchOfATroubledCluster(t *testing.T) {
	p := newPlanet(t)
	refuse := func(code api.Code, method string) {
		p.setFault(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == method {
				problem(w, code)
			}
			return r.Method == method
		})
	}
	refuse(api.CodeDenied, http.MethodPut)
	i := p.on(t, "", "bench", "--reads", "50", "--duration", "300ms", "--keys", "10")
	if i.status != 0 || !regexp.MustCompile(`write failed: \d+ denied, after .* on average and .* at most; for example put: .*check --token`).MatchString(i.out) ||
		!regexp.MustCompile(`\d+ reads found no value: --prepare`).MatchString(i.out) {
		t.Errorf("exit %d, %s, %s", i.status, i.out, i.err)
	}
	for code, status := range map[api.Code]int{api.CodeDenied: 1, api.CodeAmbiguous: 4} {
		refuse(code, http.MethodPut)
		i := p.on(t, "", "bench", "--reads", "0", "--duration", "100ms", "--keys", "10", "--timeout", "500ms")
		if i.status != status || !strings.Contains(i.err, "bench: no operation was answered: put") || !strings.Contains(i.out, "write") || lineCount(i.err) != 1 {
			t.Errorf("exit %d, %s, %s", i.status, i.out, i.err)
		}
	}
	refuse(api.CodeDenied, http.MethodGet)
	if i := p.on(t, "", "bench"); i.status != 1 || i.out != "" || !strings.Contains(i.err, "denied") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
	p.setFault(nil)
	if i := p.on(t, "", "bench", "--html", filepath.Join(t.TempDir(), "none", "x.html")); i.status != 1 || !strings.Contains(i.err, "--html: ") {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
	p.Close()
	if i := p.on(t, "", "bench", "--timeout", "200ms"); i.status != 1 || i.out != "" || lineCount(i.err) != 1 {
		t.Errorf("exit %d, %s", i.status, i.err)
	}
}

func TestBenchRefuses(t *testing.T) {
	p := newPlanet(t)
	for args, says := range map[string]string{
		"--reads 101":                        "--reads 101: choose 0 to 100",
		"--reads NaN":                        "--reads NaN",
		"--reads many":                       "--reads",
		"--keys 0":                           "--keys 0: choose 1 to",
		"--zipf -1":                          "--zipf -1: choose 0",
		"--zipf +Inf":                        "--zipf +Inf",
		"--key-size 3":                       `--key-size 3: the prefix "bench/" and the number of a key take 10 bytes`,
		"--key-size -1":                      "--key-size -1",
		"--key-size 4097":                    "a key of 4097 bytes is over the limit of 4096",
		"--value-size -1":                    "--value-size -1",
		"--value-size 1048577":               "--value-size 1048577: choose 0 to 1048576",
		"--clients 0":                        "--clients 0: choose 1 to 16384 for 1",
		"--clients 9000 --addr a:1 --addr b": "--clients 9000: choose 1 to 8192 for 2 endpoints",
		"--rate -1":                          "--rate -1: choose 0",
		"--rate 1e9":                         "--rate 1e+09",
		"--duration 0s":                      "--duration 0s: choose a time above 0",
		"--duration 25h":                     "--duration 25h0m0s",
		"--duration long":                    "--duration",
		"--warmup -1s":                       "--warmup -1s: choose 0 to",
		"--prefix=":                          "--prefix is empty",
		"--consistency strong":               "choose linearizable, quorum, bounded or stale",
		"--consistency bounded":              "--max-stale",
		"--consistency stale --max-stale 1s": "--max-stale goes with",
		"--addr ftp://x":                     "--addr",
		"--timeout 0s":                       "--timeout",
		"-o xml":                             "choose table or json",
		"extra":                              "unexpected argument",
	} {
		i := p.on(t, "", append([]string{"bench"}, strings.Fields(args)...)...)
		if i.status != 2 || !strings.Contains(i.err, says) || lineCount(i.err) != 1 || i.out != "" {
			t.Errorf("%s: exit %d, %q", args, i.status, i.err)
		}
	}
	if len(p.seen) > 0 {
		t.Errorf("%d requests were sent", len(p.seen))
	}
}

func TestBenchOnATerminal(t *testing.T) {
	p := newPlanet(t)
	i := &invocation{errIsTTY: true, env: map[string]string{"EDGEHOLD_ADDR": p.URL}}
	i.run("bench", "--duration", "700ms", "--prepare", "--keys", "50")
	if i.status != 0 || !strings.Contains(i.err, "prepare") || !strings.Contains(i.err, "measuring: ") || !strings.Contains(i.err, " ops/s, p50 ") {
		t.Errorf("exit %d, %q", i.status, i.err)
	}
}

func TestBenchCompletion(t *testing.T) {
	for flag, want := range map[string]string{"--consistency": "quorum\n", "--duration": "30s\n", "--zipf": "0.99\n", "--html": "html\n", "--rate": ":4\n"} {
		if i := new(invocation).run("__complete", "bench", flag, ""); !strings.Contains(i.out, want) {
			t.Errorf("%s: %q", flag, i.out)
		}
	}
}
