package replica

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestEntryGolden pins the format of log entries: logs on disk must stay readable. Entries with commands of a version above 1 have
// a format that older programs do not read, so that these stop instead of skipping the commands.
func TestEntryGolden(t *testing.T) {
	entries := [][][]byte{
		{},
		{{}},
		{[]byte("\x01one")},
		{[]byte("\x01one"), {}, []byte("\x01three"), bytes.Repeat([]byte{1}, 200)},
		{[]byte("\x02one")},
		{[]byte("\x01one"), {}, []byte("\x02three")},
	}
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(hex.EncodeToString(encodeEntry(e)) + "\n")
	}
	file := filepath.Join("testdata", "entry.2.golden")
	if *rewrite {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := readEntries(t, file, entries); b.String() != want {
		t.Errorf("entries are written as\n%swant\n%s", b.String(), want)
	}
	readEntries(t, filepath.Join("testdata", "entry.golden"), [][][]byte{ // as it was written before commands had versions here
		{},
		{{}},
		{[]byte("one")},
		{[]byte("one"), {}, []byte("three"), bytes.Repeat([]byte{0xff}, 200)},
	})
}

// readEntries checks that the lines of the file decode to the entries.
func readEntries(t *testing.T, file string, entries [][][]byte) string {
	t.Helper()
	all, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Fields(string(all)) {
		data, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeEntry(data)
		if err != nil || !slices.EqualFunc(got, entries[i], bytes.Equal) {
			t.Errorf("entry %d of %s is read as %q: %v", i, file, got, err)
		}
	}
	return string(all)
}

func TestEntryMalformed(t *testing.T) {
	for _, s := range []string{"", "00", "02", "01", "0101", "010105", "01020161", "0100ff", "01ffffffffffffffffff01", "0300", "0101ffffffffffffffffff01", "0180"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := decodeEntry(b); err == nil {
			t.Errorf("%s is read as %q", s, c)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add(encodeEntry(nil))
	f.Add(encodeEntry([][]byte{[]byte("one"), {}, []byte("three")}))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		commands, err := decodeEntry(b)
		if err != nil {
			return
		}
		again, err := decodeEntry(encodeEntry(commands))
		if err != nil || !slices.EqualFunc(commands, again, bytes.Equal) {
			t.Errorf("%x is read as %q, then as %q: %v", b, commands, again, err)
		}
	})
}

func BenchmarkEntry(b *testing.B) {
	commands := slices.Repeat([][]byte{bytes.Repeat([]byte{7}, 256)}, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeEntry(encodeEntry(commands)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/command")
}
