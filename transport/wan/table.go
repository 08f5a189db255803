package wan

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"go.yaml.in/yaml/v3"
)

// Link is one direction between two places.
type Link struct {
	Latency time.Duration // one way
	Jitter  time.Duration // up to this much more
	Loss    float64       // of segments, in [0,1): each costs a retransmission's delay
}

// Table says how far regions are from each other. It is not changed after it was made; safe for concurrent use.
type Table struct {
	links  map[[2]string]Link
	inside Link // within a region
	others Link // between regions without a line
}

const ms = time.Millisecond

// Real is the built-in table: round trips of about 80 ms us-east to eu-west, 200 ms us-east to ap-south, 130 ms eu-west to
// ap-south, 1 ms inside a region, and 100 ms between regions that it does not know.
func Real() *Table {
	t := &Table{links: map[[2]string]Link{}, inside: Link{Latency: ms / 2}, others: Link{Latency: 50 * ms, Jitter: 2 * ms}}
	t.set("us-east", "eu-west", Link{Latency: 40 * ms, Jitter: ms})
	t.set("us-east", "ap-south", Link{Latency: 100 * ms, Jitter: 2 * ms})
	t.set("eu-west", "ap-south", Link{Latency: 65 * ms, Jitter: 2 * ms})
	return t
}

// Off is the table of no distance at all.
func Off() *Table { return &Table{} }

// Link is the way from region a to region b.
func (t *Table) Link(a, b string) Link {
	if a == b {
		if l, ok := t.links[[2]string{a, b}]; ok {
			return l
		}
		return t.inside
	}
	if l, ok := t.links[[2]string{a, b}]; ok {
		return l
	}
	return t.others
}

func (t *Table) set(a, b string, l Link) {
	t.links[[2]string{a, b}], t.links[[2]string{b, a}] = l, l
}

// Load reads a WAN file: YAML, `links: [{a: us-east, b: eu-west, rtt_ms: 80, jitter_ms: 2, loss: 0}]`. Regions without a
// line are as far apart as in the built-in table.
func Load(path string) (*Table, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("WAN file: %w", err)
	}
	t, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("WAN file %s: %w", path, err)
	}
	return t, nil
}

// Parse reads the text of a WAN file.
func Parse(text []byte) (*Table, error) {
	var file struct {
		Links []struct {
			A        string  `yaml:"a"`
			B        string  `yaml:"b"`
			RTTMs    float64 `yaml:"rtt_ms"`
			JitterMs float64 `yaml:"jitter_ms"`
			Loss     float64 `yaml:"loss"`
		} `yaml:"links"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		return nil, err
	}
	t := Real()
	for i, l := range file.Links {
		switch {
		case l.A == "" || l.B == "":
			return nil, fmt.Errorf("link %d: a and b must name regions", i+1)
		case l.RTTMs < 0 || l.RTTMs > 60_000 || l.JitterMs < 0 || l.JitterMs > 60_000:
			return nil, fmt.Errorf("link %d (%s-%s): rtt_ms and jitter_ms lie between 0 and 60000", i+1, l.A, l.B)
		case l.Loss < 0 || l.Loss >= 1:
			return nil, fmt.Errorf("link %d (%s-%s): loss lies between 0 and 1, 1 excluded", i+1, l.A, l.B)
		}
		t.set(l.A, l.B, Link{
			Latency: time.Duration(l.RTTMs / 2 * float64(ms)),
			Jitter:  time.Duration(l.JitterMs / 2 * float64(ms)),
			Loss:    l.Loss,
		})
	}
	return t, nil
}
