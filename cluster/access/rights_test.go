package access

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/fsm/placement"
)

// naive decides as the words say: some rule with a prefix of the key gives the right.
func naive(p placement.Policy, r front.Right, k api.Key) bool {
	for _, rule := range p.Rules {
		if strings.HasPrefix(string(k), string(rule.Prefix)) && keyRights(rule).has(r) {
			return true
		}
	}
	return false
}

// short returns a random text of up to n of the bytes that make prefixes hard: ends of ranges, zeros, dots, slashes.
func short(rnd *rand.Rand, n int) string {
	b := make([]byte, rnd.IntN(n+1))
	for i := range b {
		b[i] = "\x00./ab\xfe\xff"[rnd.IntN(7)]
	}
	return string(b)
}

// TestRightsAreByBytes compares compiled rights with the words of the rules, on keys and on ranges of any bytes.
//
// Attack 31: prefixes are bytes; %2F, NUL, "..", 0xff, unbounded and reversed ranges give exactly what the rules say.
func TestRightsAreByBytes(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 31))
		p := placement.Policy{}
		for range rnd.IntN(8) {
			p.Rules = append(p.Rules, placement.Rule{Prefix: api.Key(short(rnd, 3)), Read: rnd.IntN(2) == 0, List: rnd.IntN(2) == 0, Write: rnd.IntN(2) == 0})
		}
		r := compile([]placement.Policy{p})
		for range 60 {
			k := api.Key(short(rnd, 4))
			for _, right := range []front.Right{front.Read, front.List, front.Write} {
				if got, want := r.key(right, k), naive(p, right, k); got != want {
					t.Fatalf("seed %d: %v of %q is %v with %+v", seed, right, k, got, p.Rules)
				}
			}
			checkRange(t, seed, p, r, api.Range{Start: k, End: api.Key(short(rnd, 4))})
		}
	}
}

// checkRange compares the right to list a range with the rights on all its keys of up to four bytes that are like its bounds.
func checkRange(t *testing.T, seed uint64, p placement.Policy, r *rights, keys api.Range) {
	t.Helper()
	if keys.End != "" && keys.End <= keys.Start {
		return
	}
	want := true
	var walk func(k string)
	walk = func(k string) {
		if keys.Contains(api.Key(k)) && !naive(p, front.List, api.Key(k)) {
			want = false
		}
		if len(k) < 3 {
			for _, b := range []byte("\x00./ab\xfe\xff") {
				walk(k + string([]byte{b}))
			}
			walk(k + "a\x01")
		}
	}
	walk("")
	if !naive(p, front.List, keys.Start) {
		want = false
	}
	if got := r.keys(front.List, keys); got && !want {
		t.Fatalf("seed %d: %v may be listed with %+v", seed, keys, p.Rules)
	}
}

// TestRangesInsidePrefixes: a range may be listed if granted prefixes cover it, alone or side by side, and not otherwise.
func TestRangesInsidePrefixes(t *testing.T) {
	r := compile([]placement.Policy{rules("p", placement.Rule{List: true}, "a/", "b", "c", "x/y/", "\xff")})
	for _, c := range []struct {
		start, end api.Key
		want       bool
	}{
		{"a/", "a0", true}, {"a/", "a0\x00", false}, {"a/b", "a/c", true}, {"a", "a0", false}, {"a/", "", false}, {"", "", false},
		{"b", "d", true}, {"b", "d\x00", false}, {"b/../x", "b/../y", true}, {"x/", "x0", false}, {"x/y/", "x/y0", true},
		{"x/y/..", "x/y/..0", true}, {"x%2Fy/", "x%2Fy0", false}, {"\xff", "", true}, {"\xfe", "", false}, {"\xff\xff", "", true},
		{"a/\x00", "a/\x00\x00", true}, {"a\x00", "a\x00\x00", false},
	} {
		if got := r.keys(front.List, api.Range{Start: c.start, End: c.end}); got != c.want {
			t.Errorf("from %q to %q: %v", c.start, c.end, got)
		}
	}
	if r.key(front.Read, "a/b") || r.key(front.Write, "a/b") || !r.key(front.List, "a/b") {
		t.Error("a right gives another")
	}
}

// TestManyRules compiles the most rules that a principal can have.
func TestManyRules(t *testing.T) {
	p := placement.Policy{}
	for i := range placement.MaxPrincipalRules {
		p.Rules = append(p.Rules, placement.Rule{Prefix: api.Key(strings.Repeat("k", i+1)), Read: true})
	}
	r := compile([]placement.Policy{p})
	if !r.key(front.Read, "k") || !r.key(front.Read, api.Key(strings.Repeat("k", 4096))) || r.key(front.Read, "j") || r.key(front.Read, "l") {
		t.Error("nested prefixes are wrong")
	}
}
