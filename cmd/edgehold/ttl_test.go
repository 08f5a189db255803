package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// ttlOf returns the ttl in an object that the command printed.
func ttlOf(t *testing.T, out string) time.Duration {
	t.Helper()
	var r struct {
		TTL string `json:"ttl"`
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if r.TTL == "" {
		return 0
	}
	d, err := time.ParseDuration(r.TTL)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestPutTTL: a key that is put with --ttl shows what is left of it, and export and import keep that.
func TestPutTTL(t *testing.T) {
	p := newPlanet(t)
	p.must(t, "", "kv", "put", "a", "x", "--ttl", "1h")
	p.must(t, "", "kv", "put", "b", "y")
	want := func(what, out string) {
		t.Helper()
		if d := ttlOf(t, out); d > time.Hour || d < 59*time.Minute {
			t.Errorf("%s has %v left of %v: %s", what, d, time.Hour, out)
		}
	}
	want("get", p.must(t, "", "kv", "get", "a", "-o", "json"))
	if out := p.must(t, "", "kv", "get", "b", "-o", "json"); strings.Contains(out, "ttl") {
		t.Errorf("a key without a ttl: %s", out)
	}
	if out := p.must(t, "", "kv", "get", "a"); out != "x" {
		t.Errorf("got %q", out)
	}
	if out := p.must(t, "", "kv", "list", "-o", "json"); strings.Count(out, `"ttl":"59m`) != 1 {
		t.Errorf("listed %s", out)
	}
	exported := p.must(t, "", "export")
	to := newPlanet(t)
	file := writeFile(t, "export.jsonl", exported)
	to.must(t, "", "import", file, "--verify")
	want("the imported key", to.must(t, "", "kv", "get", "a", "-o", "json"))
	if out := to.must(t, "", "kv", "get", "b", "-o", "json"); strings.Contains(out, "ttl") {
		t.Errorf("an imported key without a ttl: %s", out)
	}
	p.must(t, "", "kv", "put", "a", "x")
	if out := p.must(t, "", "kv", "get", "a", "-o", "json"); strings.Contains(out, "ttl") {
		t.Errorf("a put without --ttl leaves %s", out)
	}
	for _, ttl := range []string{"30", "0s", "1ms", "-1s", "87601h"} {
		if i := p.on(t, "", "kv", "put", "c", "x", "--ttl", ttl); i.status != 2 || !strings.Contains(i.err, "ttl") {
			t.Errorf("--ttl %s: exit %d, %s", ttl, i.status, i.err)
		}
	}
}

// TestTxnPrintsTTL compares the table of a touch and of a list.
func TestTxnPrintsTTL(t *testing.T) {
	p := newPlanet(t)
	p.must(t, "", "kv", "put", "d/a", "x")
	p.must(t, "", "kv", "put", "d/b", "y")
	i := p.on(t, `{"then":[{"put":{"key":"k","value":"","ttl":"1h"}},{"touch":{"key":"k","ttl":"2h"}},{"touch":{"key":"n","ttl":"2h"}},{"list":{"prefix":"d/"}}]}`, "txn", "-")
	want := "committed at version 1.3\n" +
		"OPERATION  KEY  VERSION  VALUE\n" +
		"put        k    1.3      (expires in 1h0m0s)\n" +
		"touch      k    1.3      (expires in 2h0m0s)\n" +
		"touch      n    0.0      (absent)\n" +
		"list       d/            2 keys\n" +
		"           d/a  1.1\n" +
		"           d/b  1.2\n"
	if i.status != 0 || i.out != want {
		t.Errorf("exit %d, %s\ngot\n%swant\n%s", i.status, i.err, i.out, want)
	}
}
