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

// TestEntryGolden pins the format of log entries: logs on disk must stay readable.
func TestEntryGolden(t *testing.T) {
	entries := [][][]byte{
		{},
		{{}},
		{[]byte("one")},
		{[]byte("one"), {}, []byte("three"), bytes.Repeat([]byte{0xff}, 200)},
	}
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(hex.EncodeToString(encodeEntry(e)) + "\n")
	}
	file := filepath.Join("testdata", "entry.golden")
	if *rewrite {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("entries are written as\n%swant\n%s", b.String(), want)
	}
	for i, line := range strings.Fields(string(want)) {
		data, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeEntry(data)
		if err != nil || !slices.EqualFunc(got, entries[i], bytes.Equal) {
			t.Errorf("entry %d is read as %q: %v", i, got, err)
		}
	}
}

func TestEntryMalformed(t *testing.T) {
	for _, s := range []string{"", "00", "02", "01", "0101", "010105", "01020161", "0100ff", "01ffffffffffffffffff01", "0101ffffffffffffffffff01", "0180"} {
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
