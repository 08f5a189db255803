package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestPutAndGet(t *testing.T) {
	p := newPlanet(t)
	for _, c := range []struct{ key, value string }{
		{"plain", "value"}, {"empty", ""}, {"with newline", "a\nb\n"}, {"a//b/../c", "path"}, {"bin\xff\x00", "\x00\xff\xfe"}, {"dash", "-5"},
	} {
		version := p.must(t, c.value, "kv", "put", c.key, "-")
		if strings.Count(version, "\n") != 1 || !strings.Contains(version, ".") {
			t.Errorf("put printed %q", version)
		}
		if got := p.must(t, "", "kv", "get", c.key); got != c.value {
			t.Errorf("%q: got %q, want %q", c.key, got, c.value)
		}
		if got := p.must(t, "", "kv", "put", c.key, "next", "--if-version", strings.TrimSpace(version)); got == version {
			t.Errorf("%q: the version has not changed", c.key)
		}
	}
	p.must(t, "", "kv", "put", "arg", "from argument")
	p.must(t, "", "kv", "put", "arg2", "--", "-5")
	p.must(t, "", "kv", "put", "file", "--file", writeFile(t, "value", "from file\n"))
	for key, want := range map[string]string{"arg": "from argument", "arg2": "-5", "file": "from file\n"} {
		if got := p.must(t, "", "kv", "get", key); got != want {
			t.Errorf("%s: got %q", key, got)
		}
	}
}

func TestGetOnATerminalEndsTheLine(t *testing.T) {
	p := newPlanet(t)
	p.must(t, "", "kv", "put", "a", "no end")
	p.must(t, "ends\n", "kv", "put", "b", "-")
	for key, want := range map[string]string{"a": "no end\n", "b": "ends\n"} {
		i := &invocation{outIsTTY: true, env: map[string]string{"EDGEHOLD_ADDR": p.URL}}
		if got := i.run("kv", "get", key).out; got != want {
			t.Errorf("%s: got %q", key, got)
		}
	}
}

func TestGetAsJSON(t *testing.T) {
	p := newPlanet(t)
	version := strings.TrimSpace(p.must(t, "", "kv", "put", "a", "<&>"))
	if got, want := p.must(t, "", "kv", "get", "a", "-o", "json"), fmt.Sprintf(`{"key":"a","value":"<&>","version":%q}`+"\n", version); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	p.must(t, "\xff", "kv", "put", "b\xff", "-")
	if got := p.must(t, "", "kv", "get", "b\xff", "-o", "json"); !strings.HasPrefix(got, `{"key_base64":"Yv8=","value_base64":"/w==","version":`) {
		t.Errorf("got %s", got)
	}
	put := p.must(t, "", "kv", "put", "a", "x", "-o", "json")
	del := p.must(t, "", "kv", "del", "a", "-o", "json")
	for _, body := range []string{put, del} {
		if !strings.HasPrefix(body, `{"key":"a","version":"`) {
			t.Errorf("got %s", body)
		}
	}
}

func TestGetSaysHow(t *testing.T) {
	p := newPlanet(t)
	p.must(t, "", "kv", "put", "a", "x")
	for _, c := range []struct {
		args string
		want string // the query
	}{
		{"", ""}, {"--consistency quorum", "consistency=quorum"}, {"--consistency stale", "consistency=stale"},
		{"--max-stale 5s", "consistency=bounded&max_stale=5s"}, {"--consistency bounded --max-stale 1m", "consistency=bounded&max_stale=1m0s"},
	} {
		p.must(t, "", append([]string{"kv", "get", "a"}, strings.Fields(c.args)...)...)
		q := p.last().URL.Query()
		q.Del("timeout")
		if q.Encode() != c.want {
			t.Errorf("%s asked %q", c.args, q.Encode())
		}
	}
}

func TestList(t *testing.T) {
	p := newPlanet(t)
	for _, key := range []string{"a", "b/1", "b/2", "b/3", "c"} {
		p.must(t, "", "kv", "put", key, "value of "+key)
	}
	p.must(t, "\x01\xff", "kv", "put", "d\n", "-")
	for _, c := range []struct{ args, want string }{
		{"--prefix b/ --keys-only", "b/1\nb/2\nb/3\n"},
		{"--prefix b/ --keys-only --reverse --limit 2", "b/3\nb/2\n"},
		{"--start b/2 --end c --keys-only", "b/2\nb/3\n"},
		{"--prefix nothing", ""},
		{"b/ --keys-only", "b/1\nb/2\nb/3\n"},
		{"--limit 1 --keys-only b/", "b/1\n"},
		{"nothing", ""},
		{"--start d --keys-only", `"d\n"` + "\n"},
	} {
		if got := p.must(t, "", append([]string{"kv", "list"}, strings.Fields(c.args)...)...); got != c.want {
			t.Errorf("%s: got %q", c.args, got)
		}
	}
	elsewhere := &invocation{env: map[string]string{"EDGEHOLD_ADDR": p.URL, "EDGEHOLD_PREFIX": "c"}}
	if got := elsewhere.run("kv", "list", "b/", "--keys-only").out; got != "b/1\nb/2\nb/3\n" {
		t.Errorf("the argument gives way to the environment: %q", got)
	}
	rows := strings.Split(p.must(t, "", "kv", "list"), "\n")
	if cells := strings.Split(rows[0], "\t"); len(rows) != 7 || len(cells) != 3 || cells[0] != "a" || cells[2] != "value of a" {
		t.Errorf("got %q", rows)
	}
	if cells := strings.Split(rows[5], "\t"); cells[2] != `"\x01\xff"` {
		t.Errorf("got %q", cells)
	}
}

func TestListPagesThrough(t *testing.T) {
	p := newPlanet(t)
	const n = 2345
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"key":"k/%05d","value":"%d"}`+"\n", i, i)
	}
	p.must(t, lines.String(), "import", "-")
	var body struct {
		Entries []struct{ Key, Value, Version string }
	}
	if err := json.Unmarshal([]byte(p.must(t, "", "kv", "list", "-o", "json")), &body); err != nil {
		t.Fatal(err)
	}
	if len(body.Entries) != n || body.Entries[n-1].Key != "k/02344" || body.Entries[7].Value != "7" {
		t.Errorf("%d entries", len(body.Entries))
	}
	if got := strings.Count(p.must(t, "", "kv", "list", "--limit", "1500", "--reverse", "--keys-only"), "\n"); got != 1500 {
		t.Errorf("%d keys of 1500", got)
	}
	if got := p.must(t, "", "kv", "list", "--prefix", "zzz", "-o", "json"); !strings.HasPrefix(got, `{"entries":[],"cursor":"`) || !strings.HasSuffix(got, "\"}\n") {
		t.Errorf("got %s", got)
	}
}

func TestShorten(t *testing.T) {
	for _, n := range []int{79, 80, 81} {
		text := strings.Repeat("ü", n)
		if got := shorten([]byte(text)); len(got) > maxShown+3 || !strings.HasPrefix(text, strings.TrimSuffix(got, "…")) {
			t.Errorf("%d: %q", n, got)
		}
	}
}
