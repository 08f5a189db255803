package wan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"go.yaml.in/yaml/v3"
)

// Table has the links between regions. It never changes; safe for concurrent use.
type Table struct {
	links  map[pair]Link
	inside Link // within a region
	others Link // between regions without a line
}

const ms = time.Millisecond

// Real returns the built-in table: round trips of about 80 ms us-east to eu-west, 200 ms us-east to ap-south, 130 ms eu-west to
// ap-south, 1 ms inside a region, and 100 ms between regions that it does not know.
func Real() *Table {
	t := &Table{links: map[pair]Link{}, inside: Link{Latency: ms / 2}, others: Link{Latency: 50 * ms, Jitter: 2 * ms}}
	t.set("us-east", "eu-west", Link{Latency: 40 * ms, Jitter: ms})
	t.set("us-east", "ap-south", Link{Latency: 100 * ms, Jitter: 2 * ms})
	t.set("eu-west", "ap-south", Link{Latency: 65 * ms, Jitter: 2 * ms})
	return t
}

// Off returns the table without delays.
func Off() *Table { return &Table{} }

// Uniform returns a table with the same round trip between any two regions, and no delay inside one.
func Uniform(roundTrip time.Duration) *Table { return &Table{others: Link{Latency: roundTrip / 2}} }

// Named returns the table of a --wan flag: "real", "off", or the path of a file as [Load] reads it.
func Named(name string) (*Table, error) {
	switch name {
	case "real":
		return Real(), nil
	case "off":
		return Off(), nil
	}
	return Load(name)
}

// Link returns the link from region a to region b.
func (t *Table) Link(a, b string) Link {
	if l, ok := t.links[pair{a, b}]; ok {
		return l
	}
	if a == b {
		return t.inside
	}
	return t.others
}

func (t *Table) set(a, b string, l Link) {
	t.links[pair{a, b}], t.links[pair{b, a}] = l, l
}

// Load reads a WAN file: YAML, `links: [{a: us-east, b: eu-west, rtt_ms: 80, jitter_ms: 2, loss: 0}]`. A line holds for
// both directions; if a and b are the same, for the inside of a region. Regions without a line have the delays of the
// built-in table.
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

// fileLink is one line of a WAN file. Times are of the round trip.
type fileLink struct {
	A        string   `yaml:"a"`
	B        string   `yaml:"b"`
	RTTMs    *float64 `yaml:"rtt_ms"`
	JitterMs float64  `yaml:"jitter_ms"`
	Loss     float64  `yaml:"loss"`
}

// Parse reads the text of a WAN file.
func Parse(text []byte) (*Table, error) {
	var file struct {
		Links []fileLink `yaml:"links"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); errors.Is(err, io.EOF) || err == nil && len(file.Links) == 0 {
		return nil, errors.New("it has no links; write links: [{a: us-east, b: eu-west, rtt_ms: 80}]")
	} else if err != nil {
		return nil, err
	}
	t, lines := Real(), map[pair]int{}
	for i, l := range file.Links {
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("link %d (%s to %s): %w", i+1, l.A, l.B, err)
		}
		if before := lines[pair{l.A, l.B}]; before != 0 {
			return nil, fmt.Errorf("link %d (%s to %s): link %d is between the same regions", i+1, l.A, l.B, before)
		}
		lines[pair{l.A, l.B}], lines[pair{l.B, l.A}] = i+1, i+1
		t.set(l.A, l.B, Link{Latency: oneWay(*l.RTTMs), Jitter: oneWay(l.JitterMs), Loss: l.Loss})
	}
	return t, nil
}

func oneWay(roundTripMs float64) time.Duration { return time.Duration(roundTripMs / 2 * float64(ms)) }

// maxMs bounds the times of a WAN file.
const maxMs = 60_000

func (l *fileLink) check() error {
	switch {
	case l.A == "" || l.B == "":
		return errors.New("a and b must name regions")
	case l.RTTMs == nil:
		return errors.New("rtt_ms is missing: the round trip in milliseconds")
	case !within(*l.RTTMs, maxMs):
		return fmt.Errorf("rtt_ms is %v; it lies between 0 and %d", *l.RTTMs, maxMs)
	case !within(l.JitterMs, maxMs):
		return fmt.Errorf("jitter_ms is %v; it lies between 0 and %d", l.JitterMs, maxMs)
	case !within(l.Loss, 1) || l.Loss == 1:
		return fmt.Errorf("loss is %v; it lies between 0 and 1, 1 excluded", l.Loss)
	}
	return nil
}

func within(x, most float64) bool { return !math.IsNaN(x) && x >= 0 && x <= most }
