package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// completed are the words that a shell offers, and the directive at the end.
func (p *planet) completed(t *testing.T, args ...string) (words []string, directive string) {
	t.Helper()
	i := &invocation{env: map[string]string{"EDGEHOLD_ADDR": p.URL}}
	if i.run(append([]string{"__complete"}, args...)...); i.status != 0 {
		t.Fatalf("%v: exit %d, %s", args, i.status, i.err)
	}
	lines := strings.Split(strings.TrimSuffix(i.out, "\n"), "\n")
	return lines[:len(lines)-1], lines[len(lines)-1]
}

// The directives of a shell, as cobra writes them.
const (
	noFiles        = ":4"
	noFilesNoSpace = ":6"
)

// TestCompleteKeys completes keys by their parts, in order, and offers no key that a shell would take apart or that looks like a flag.
func TestCompleteKeys(t *testing.T) {
	p := newPlanet(t)
	keys := []string{"us-east/a", "us-east/b/1", "us-east/b/2", "us-east/b/3", "eu-west/x", "plain", "ümlaut", "-flag", "a space", "a\"quote", "$(rm)", "new\nline", "bytes\xff", "semi;colon", "tab\there", "~home"}
	for i := range 120 {
		keys = append(keys, fmt.Sprintf("many/%03d", i), fmt.Sprintf("wide-%03d", i))
	}
	for _, k := range keys {
		if i := p.on(t, "", "kv", "put", "--", k, "v"); i.status != 0 {
			t.Fatalf("%q: %s", k, i.err)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"kv", "get", "u"}, "us-east/"},
		{[]string{"kv", "get", "us-east/"}, "us-east/a us-east/b/"},
		{[]string{"kv", "del", "us-east/b/"}, "us-east/b/1 us-east/b/2 us-east/b/3"},
		{[]string{"kv", "put", "pl"}, "plain"},
		{[]string{"kv", "put", "plain", ""}, ""},
		{[]string{"kv", "list", "e"}, "eu-west/"},
		{[]string{"kv", "watch", "m"}, "many/"},
		{[]string{"kv", "get", "nothing"}, ""},
		{[]string{"kv", "get", "a"}, ""},
		{[]string{"kv", "get", "ü"}, "ümlaut"},
	} {
		words, directive := p.completed(t, c.args...)
		if got := strings.Join(words, " "); got != c.want || directive != noFilesNoSpace && directive != noFiles {
			t.Errorf("%q completes %q %s, want %q", c.args, got, directive, c.want)
		}
	}
	all, directive := p.completed(t, "kv", "get", "")
	if !slices.Contains(all, "eu-west/") || !slices.Contains(all, "many/") || !slices.Contains(all, "us-east/") && len(all) < maxCompleted || directive != noFilesNoSpace {
		t.Errorf("%d words %s: %q", len(all), directive, all)
	}
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) || len(all) > maxCompleted {
		t.Errorf("not in order, twice or too many: %q", all)
	}
	if deep, _ := p.completed(t, "kv", "get", "many/"); len(deep) != maxCompleted || deep[0] != "many/000" {
		t.Errorf("%d words: %.3q", len(deep), deep)
	}
}

// TestCompleteNames completes the names of nodes, groups, regions and settings.
func TestCompleteNames(t *testing.T) {
	p := newPlanet(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"cluster", "drain", ""}, "eu-west-edge-1 us-east-1"},
		{[]string{"cluster", "remove", "eu"}, "eu-west-edge-1"},
		{[]string{"cluster", "replace", "us-east-1", ""}, "us-east-1"},
		{[]string{"cluster", "transfer", ""}, "eu-west.1 us-east.1"},
		{[]string{"cluster", "region", "remove", ""}, "eu-west us-east"},
		{[]string{"cluster", "drain", "us-east-1", ""}, ""},
	} {
		words, directive := p.completed(t, c.args...)
		if got := strings.Join(words, " "); got != c.want || directive != noFiles {
			t.Errorf("%q completes %q %s, want %q", c.args, got, directive, c.want)
		}
	}
}

// TestCompleteNothing says nothing, and does not wait, if the cluster refuses or does not answer, or if the settings are wrong.
func TestCompleteNothing(t *testing.T) {
	p := newPlanet(t)
	nothing := func(what string, env map[string]string, args ...string) {
		t.Helper()
		began := time.Now()
		i := &invocation{env: env}
		i.run(append([]string{"__complete", "kv", "get", "a"}, args...)...)
		if i.status != 0 || i.out != noFiles+"\n" || time.Since(began) > 20*time.Second {
			t.Errorf("%s: exit %d after %v, %q %s", what, i.status, time.Since(began), i.out, i.err)
		}
	}
	at := map[string]string{"EDGEHOLD_ADDR": p.URL}
	p.setFault(func(w http.ResponseWriter, _ *http.Request) bool { problem(w, api.CodeDenied); return true })
	nothing("denied", at)
	p.setFault(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	nothing("no answer", at)
	nothing("no address", map[string]string{"EDGEHOLD_ADDR": "::"})
	nothing("a wrong setting", map[string]string{"EDGEHOLD_TIMEOUT": "x"})
	nothing("a data folder without a node", map[string]string{"EDGEHOLD_ADDR": p.URL, "EDGEHOLD_TOKEN": "@nothing"})
}
