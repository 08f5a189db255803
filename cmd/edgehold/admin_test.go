package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
)

func TestClusterStatus(t *testing.T) {
	p := newPlanet(t)
	const want = `cluster c1: 2 sessions, 7 leases

NODE            ROLE    REGION   URL                    STATE
us-east-1       server  us-east  http://127.0.0.1:7400  up
eu-west-edge-1  edge    eu-west  http://127.0.0.1:7401  unreachable

GROUP      REGION   LEADER      TERM  APPLIED  PREPARED  UNRESOLVED  OLDEST  VOTERS
us-east.1  us-east  us-east-1   3     42       2         1           12s     us-east-1,us-east-2
eu-west.1  eu-west  none known  4     0        0         0           -       -

START     END         GROUP      REGION   EPOCH
(first)   eu-west/    us-east.1  us-east  1
eu-west/  eu-west0    eu-west.1  eu-west  2
eu-west0  "\xff\x00"  us-east.1  us-east  1
`
	const locked = `
LOCKED     GROUP      WAITS FOR  SINCE
us/a       us-east.1  eu-west.1  12s
"us/\xff"  us-east.1  eu-west.1  7s
`
	if got := p.must(t, "", "cluster", "status"); got != want+locked {
		t.Errorf("got\n%s", got)
	}
	_, ranges, _ := strings.Cut(want, "START")
	if got := p.must(t, "", "placement", "show"); got != "START"+ranges {
		t.Errorf("got\n%s", got)
	}
}

// TestStatusAsJSON compares with the body of the HTTP API.
func TestStatusAsJSON(t *testing.T) {
	p := newPlanet(t)
	res, err := p.Client().Get(p.URL + "/v1/cluster")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var want, got map[string]any
	if err := json.NewDecoder(res.Body).Decode(&want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(p.must(t, "", "cluster", "status", "-o", "json")), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var show struct{ Ranges []any }
	if err := json.Unmarshal([]byte(p.must(t, "", "placement", "show", "-o", "json")), &show); err != nil || !reflect.DeepEqual(show.Ranges, want["ranges"]) {
		t.Errorf("%v, %v", err, show)
	}
}

func TestReady(t *testing.T) {
	p := newPlanet(t)
	if i := p.on(t, "", "cluster", "status", "--ready"); i.status != 0 || i.out+i.err != "" {
		t.Errorf("exit %d, %q %q", i.status, i.out, i.err)
	}
	p.admin.notReady = api.Errorf(api.CodeUnavailable, "group us-east.1 has not caught up")
	if i := p.on(t, "", "cluster", "status", "--ready", "--timeout", "2s"); i.status != 1 || !strings.HasSuffix(i.err, "has not caught up\n") {
		t.Errorf("exit %d, %q", i.status, i.err)
	}
}

func TestPlacementSet(t *testing.T) {
	p := newPlanet(t)
	if got := p.must(t, "", "placement", "set", "--prefix", "de/", "--region", "eu-west"); got != "eu-west owns de/*\n" {
		t.Errorf("got %q", got)
	}
	if p.admin.placed["de/"] != "eu-west" {
		t.Errorf("got %v", p.admin.placed)
	}
	p.must(t, "", "placement", "set", "--prefix", "", "--region", "us-east")
	if p.admin.placed[""] != "us-east" {
		t.Errorf("the prefix of every key: got %v", p.admin.placed)
	}
	if got := p.must(t, "", "placement", "set", "--prefix", "de/", "--region", "eu-west", "-o", "json"); got != `{"prefix":"de/","region":"eu-west"}`+"\n" {
		t.Errorf("got %q", got)
	}
	if got := p.must(t, "", "placement", "set", "--prefix", "consul/", "--group", "eu-west.2"); got != "eu-west.2 owns consul/*\n" || p.admin.placed["consul/"] != "group eu-west.2" {
		t.Errorf("got %q, %v", got, p.admin.placed)
	}
	if got := p.must(t, "", "placement", "set", "--prefix", "consul/", "--group", "eu-west.2", "-o", "json"); got != `{"prefix":"consul/","group":"eu-west.2"}`+"\n" {
		t.Errorf("got %q", got)
	}
}
