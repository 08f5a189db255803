package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInit: init makes a CA and two join tokens, with secrets that only their owner may read, once.
func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	i := new(invocation).run("init", "--out", dir)
	if i.status != 0 || !strings.Contains(i.out, "is founded with") {
		t.Fatalf("exit %d, %q", i.status, i.err)
	}
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, mode := range map[string]os.FileMode{
		"bootstrap/ca.pem": 0o644, "bootstrap/ca-key.pem": 0o600, "bootstrap/tokens.json": 0o600,
		"server/join": 0o600, "server/ca.pem": 0o644, "edge/join": 0o600, "edge/ca.pem": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	server := read("server/join")
	if !strings.HasPrefix(server, "ehj1_") || server == read("edge/join") || read("edge/ca.pem") != read("bootstrap/ca.pem") {
		t.Error("the tokens or the roots are not what they should be")
	}
	if secret := strings.TrimSpace(server)[55:]; strings.Contains(read("bootstrap/tokens.json"), secret) || strings.Contains(i.out+i.err, secret) {
		t.Error("the secret of a token stands where it does not belong")
	}
	key := read("bootstrap/ca-key.pem")
	if i := new(invocation).run("init", "--out", dir); i.status != 0 || !strings.Contains(i.out, "nothing was changed") || read("bootstrap/ca-key.pem") != key || read("server/join") != server {
		t.Errorf("again: exit %d, %q, %q", i.status, i.out, i.err)
	}
	if err := os.Remove(filepath.Join(dir, "bootstrap", "tokens.json")); err != nil { // as if the first run had been killed
		t.Fatal(err)
	}
	if i := new(invocation).run("init", "--out", dir); i.status != 0 || read("server/join") == server {
		t.Errorf("after an interruption: exit %d, %q", i.status, i.err)
	}
	server = read("server/join")
	if err := os.RemoveAll(filepath.Join(dir, "bootstrap")); err != nil { // as the documentation says
		t.Fatal(err)
	}
	if i := new(invocation).run("init", "--out", dir); i.status != 0 || read("server/join") != server {
		t.Errorf("without bootstrap: exit %d, %q", i.status, i.err)
	}
	if i := new(invocation).run("init"); i.status != 2 || !strings.Contains(i.err, "--out is required") {
		t.Errorf("without --out: exit %d, %q", i.status, i.err)
	}
	if i := new(invocation).run("init", "--out", dir, "--ttl", "-1s"); i.status != 2 {
		t.Errorf("a negative --ttl: exit %d, %q", i.status, i.err)
	}
}
