package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestDevSaysCuts: dev prints the regions that are cut off from each other, and how to heal that; with --json as data.
func TestDevSaysCuts(t *testing.T) {
	nodes := []devNode{{Node: "a-1", Region: "a", Role: api.RoleServer, URL: "http://127.0.0.1:7400"}}
	for _, c := range []struct {
		o    devOptions
		says []string
	}{
		{devOptions{}, []string{"a and b are cut off from each other.\n", "\n  curl -X POST http://127.0.0.1:7400/v1/dev/heal\n"}},
		{devOptions{secure: true, ca: "ca.pem"}, []string{`curl --cacert ca.pem -H "Authorization: Bearer $TOKEN" -X POST http`}},
		{devOptions{json: true}, []string{`"cuts":[{"a":"a","b":"b"}]`}},
	} {
		c.o.regions, c.o.cut = []string{"a", "b"}, []string{"a~b"}
		if err := c.o.checkCuts(); err != nil {
			t.Fatal(err)
		}
		out := new(bytes.Buffer)
		if err := c.o.announce(&terminal{out: out}, nodes); err != nil {
			t.Fatal(err)
		}
		for _, text := range c.says {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%+v prints no %q:\n%s", c.o, text, out)
			}
		}
	}
}
