package workerskv

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

// randomName is a name near those that are stored otherwise.
func randomName(r *rand.Rand) string {
	parts := []string{".", "m", "e", "t", "a", ".meta", ".meta/", ".meta.", "/", "-", "0", "é", "\x00", "\U0001d11e", "..", "x"}
	var b strings.Builder
	for range 1 + r.IntN(4) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

// TestStoredNames: each name has a stored name of its own outside the directory of metadata, in the order of the names, and the ranges of
// a prefix hold the stored keys of the names with that prefix and of no other.
func TestStoredNames(t *testing.T) {
	const ns = namespace("NS")
	r := rand.New(rand.NewPCG(1, 2))
	metas := api.PrefixRange(ns.meta(""))
	var names []string
	for range 2000 {
		names = append(names, randomName(r))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	var last api.Key
	for _, name := range names {
		k := ns.value(name)
		if k <= last || metas.Contains(k) || !metas.Contains(ns.meta(name)) {
			t.Fatalf("%q is stored as %q, after %q", name, k, last)
		}
		last = k
		if back, ok := ns.named(k); back != name || ok != (name != "." && name != "..") {
			t.Fatalf("%q is stored as %q, which is the name %q (%v)", name, k, back, ok)
		}
	}
	for range 200 {
		prefix, after := "", ""
		if r.IntN(4) > 0 {
			prefix = randomName(r)
		}
		if r.IntN(2) > 0 {
			if after = randomName(r); r.IntN(4) > 0 { // else it may be the stored name of no key
				after = stored(after)
			}
		}
		ranges := ns.ranges(prefix, after)
		for _, name := range names {
			in := slices.ContainsFunc(ranges, func(r api.Range) bool { return r.Contains(ns.value(name)) })
			want := strings.HasPrefix(name, prefix) && (after == "" || stored(name) > after)
			if in != want || want && !ns.metas(prefix, after).Contains(ns.meta(name)) {
				t.Fatalf("prefix %q after %q: %q is in the ranges %v: %v, and its metadata in %v: %v", prefix, after, name, ranges, in,
					ns.metas(prefix, after), !in)
			}
		}
	}
}

// TestForeignKeys: what other means have written and no binding can name has no name.
func TestForeignKeys(t *testing.T) {
	for _, k := range []api.Key{"kv/NS/", "kv/NS/.", "kv/NS/..", "kv/NS/.metax", "kv/NS/.meta/x", "kv/NS/\xff", "kv/other/k", api.Key("kv/NS/" + strings.Repeat("k", 513))} {
		if name, ok := namespace("NS").named(k); ok {
			t.Errorf("%q is %q", k, name)
		}
	}
}

// TestMetadataOf: metadata is one line of JSON, or there is none.
func TestMetadataOf(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":1}`: `{"a":1}`, " [1,\n 2]\n": "[1,2]", `"é\n"`: `"é\n"`, "null": "", " null ": "", "": "", "{": "", "\"\xff\"": "", "1": "1", "false": "false", `""`: `""`,
	} {
		if got := string(metadataOf([]byte(in))); got != want || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n") {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
