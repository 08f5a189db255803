package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// jsonLine is a line of an import or export; encoding/json writes and reads it, so that the command's own reading and
// writing are judged by another's.
type jsonLine struct {
	Key      string `json:"key,omitempty"`
	Key64    []byte `json:"key_base64,omitempty"`
	Value    string `json:"value,omitempty"`
	Value64  []byte `json:"value_base64,omitempty"`
	Versions string `json:"version,omitempty"`
}

func (l *jsonLine) key() string   { return l.Key + string(l.Key64) }
func (l *jsonLine) value() string { return l.Value + string(l.Value64) }

// eachLine reads a file of JSON Lines.
func eachLine(t *testing.T, name string, do func(*jsonLine)) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	for d := json.NewDecoder(bufio.NewReader(f)); ; {
		var l jsonLine
		switch err := d.Decode(&l); err {
		case nil:
			do(&l)
		case io.EOF:
			return
		default:
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// contents is what a file of JSON Lines leaves in the store: of a key that stands twice, the last value.
func contents(t *testing.T, name string) map[string]string {
	t.Helper()
	m := map[string]string{}
	eachLine(t, name, func(l *jsonLine) { m[l.key()] = l.value() })
	return m
}

// exportIs exports what has the prefix through the node and compares: every key once, in order, with its value, and with the same
// version as through every other node. It returns how long the export took.
func exportIs(t *testing.T, d *daemon, prefix string, want map[string]string, versions map[string]string) time.Duration {
	t.Helper()
	name := filepath.Join(d.fleet.dir, d.name+".export.jsonl")
	began := time.Now()
	d.command(t, "export", "--prefix", prefix, "--output", name, "--timeout", "60s").done(t)
	took := time.Since(began)
	last, n := "", 0
	eachLine(t, name, func(l *jsonLine) {
		n++
		key := l.key()
		value, known := want[key]
		switch {
		case key <= last:
			t.Errorf("export at %s: %q comes after %q", d.name, key, last)
		case !known:
			t.Errorf("export at %s: %q was not imported", d.name, key)
		case value != l.value():
			t.Errorf("export at %s: %q is %q, not %q", d.name, key, l.value(), value)
		}
		last = key
		if v, seen := versions[key]; seen && v != l.Versions {
			t.Errorf("export at %s: %q is at version %s, at another node at %s", d.name, key, l.Versions, v)
		}
		versions[key] = l.Versions
	})
	if n != len(want) {
		t.Errorf("export at %s: %d records, not %d", d.name, n, len(want))
	}
	if err := os.Remove(name); err != nil {
		t.Error(err)
	}
	return took
}

const (
	importKeys = 3000
	rewritten  = 10 // each so many keys stand in the file three times
)

// importKey is a key of either region, some of them no UTF-8.
func importKey(i int) string {
	key := fmt.Sprintf("import/%s/%05d", []string{"us-east", "eu-west"}[i%2], i)
	if i%7 == 0 {
		key += "\xff"
	}
	return key
}

// writeImport writes records with all that JSON escapes. Lines for the same key follow each other closely: done twice,
// or out of order, an earlier one would take the place of a later.
func writeImport(t *testing.T, name string) {
	t.Helper()
	var b strings.Builder
	e := json.NewEncoder(&b)
	for i := range importKeys {
		times := 1
		if i%rewritten == 0 {
			times = 3
		}
		for n := range times {
			var l jsonLine
			value := fmt.Sprintf("%d of %d: \"quoted\", back\\slash,\n\tnew line, \u00e9\u4e16\U0001f30d, <&> \u2028 \x01", n, i)
			if key := importKey(i); i%7 == 0 {
				l.Key64, l.Value64 = []byte(key), []byte(value+"\x00\xfe")
			} else {
				l.Key, l.Value = key, value
			}
			if err := e.Encode(&l); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// importKilling imports the file through a node and kills the leader that victim names once the record of the key in the
// middle is there. It returns how long the import took.
func importKilling(t *testing.T, through *daemon, name, middle string, victim func() *daemon) (killed *daemon, took time.Duration) {
	t.Helper()
	began := time.Now()
	c := through.command(t, "import", name, "-o", "json")
	reader := open(t, through)
	eventually(t, 10*time.Minute, "the import is half done", func() bool {
		_, err := reader.Get(t.Context(), api.Key(middle), client.Quorum())
		if err != nil && api.CodeOf(err) != api.CodeNotFound {
			t.Fatal(err)
		}
		return err == nil
	})
	killed = victim()
	killed.kill()
	if !c.running() {
		t.Error("the import was over before the leader's end: nothing was shown")
	}
	c.done(t)
	took = time.Since(began)
	var report struct{ Records, Failed int }
	if err := json.Unmarshal(c.out.Bytes(), &report); err != nil || report.Failed != 0 {
		t.Errorf("the import reports %s, %v", c.out.String(), err)
	}
	if _, err := os.Stat(name + ".progress"); !os.IsNotExist(err) {
		t.Errorf("the import is complete, and its state file: %v", err)
	}
	return killed, took
}

// testImport imports through the edge, kills the leader of the group that owns half of the records in the middle, and
// exports at every node.
func testImport(t *testing.T, f *regionFleet) {
	for _, region := range []string{"us-east", "eu-west"} {
		f.there.command(t, "placement", "set", "--prefix", "import/"+region+"/", "--region", region).done(t)
	}
	name := filepath.Join(f.dir, "records.jsonl")
	writeImport(t, name)
	killed, took := importKilling(t, f.edge, name, importKey(importKeys/4), func() *daemon { return f.leader(t, f.there, "us-east") })
	killed.start(t)
	want, versions := contents(t, name), map[string]string{}
	others := slices.DeleteFunc(slices.Clone(f.nodes), func(d *daemon) bool { return d == killed })
	for _, d := range append(others, killed) { // it may take the longest to be ready
		ready(t, d)
		exportIs(t, d, "import/", want, versions)
	}
	t.Logf("%d records in %v, with the leader killed; read back at %d nodes", len(want), took.Round(time.Millisecond), len(f.nodes))
}
