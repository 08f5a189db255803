package wan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReal(t *testing.T) {
	for _, c := range []struct {
		a, b string
		rtt  time.Duration
	}{
		{"us-east", "eu-west", 80 * ms},
		{"us-east", "ap-south", 200 * ms},
		{"eu-west", "ap-south", 130 * ms},
		{"eu-west", "eu-west", ms},
		{"us-east", "moon", 100 * ms},
		{"moon", "moon", ms},
	} {
		table, err := Named("real")
		if err != nil {
			t.Fatal(err)
		}
		if got := table.Link(c.a, c.b).Latency + table.Link(c.b, c.a).Latency; got != c.rtt {
			t.Errorf("%s and %s are %v apart, want %v", c.a, c.b, got, c.rtt)
		}
	}
	if off, err := Named("off"); err != nil || off.Link("us-east", "eu-west") != (Link{}) || off.Link("a", "a") != (Link{}) {
		t.Errorf("off is not off: %v", err)
	}
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wan.yaml")
	text := "links:\n- {a: us-east, b: eu-west, rtt_ms: 30, jitter_ms: 2, loss: 0.01}\n- {a: eu-west, b: eu-west, rtt_ms: 0}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := Named(file)
	if err != nil {
		t.Fatal(err)
	}
	want := Link{Latency: 15 * ms, Jitter: ms, Loss: 0.01}
	if table.Link("us-east", "eu-west") != want || table.Link("eu-west", "us-east") != want {
		t.Errorf("got %v", table.Link("us-east", "eu-west"))
	}
	if table.Link("eu-west", "eu-west") != (Link{}) || table.Link("us-east", "ap-south").Latency != 100*ms {
		t.Error("the inside of a region, or a region without a line, is wrong")
	}
	if _, err := Named(file + "x"); err == nil || !strings.Contains(err.Error(), "WAN file") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "no links",
		"links: []":                            "no links",
		"link: []":                             "field link not found",
		"links: [{a: x, b: y, rtt: 3}]":        "field rtt not found",
		"links: [{a: x, b: y}]":                "rtt_ms is missing",
		"links: [{a: x, rtt_ms: 3}]":           "must name regions",
		"links: [{a: x, b: y, rtt_ms: -1}]":    "rtt_ms is -1",
		"links: [{a: x, b: y, rtt_ms: .nan}]":  "rtt_ms is NaN",
		"links: [{a: x, b: y, rtt_ms: .inf}]":  "rtt_ms is +Inf",
		"links: [{a: x, b: y, rtt_ms: 60001}]": "rtt_ms is 60001",
		"links: [{a: x, b: y, rtt_ms: 1, jitter_ms: -1}]":           "jitter_ms is -1",
		"links: [{a: x, b: y, rtt_ms: 1, loss: 1}]":                 "loss is 1",
		"links: [{a: x, b: y, rtt_ms: 1, loss: .nan}]":              "loss is NaN",
		"links: [{a: x, b: y, rtt_ms: far}]":                        "cannot unmarshal",
		"links: [{a: x, b: y, rtt_ms: 1}, {a: y, b: x, rtt_ms: 2}]": "link 2 (y to x): link 1 is between the same regions",
		"links: {": "yaml",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}
