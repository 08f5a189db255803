package router

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestListAgainstOne checks that lists over spans and groups return, page by page, what one store with all keys would.
func TestListAgainstOne(t *testing.T) {
	b := newBackend(t)
	r := b.router(t)
	all := storetest.NewMemory()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		k := api.Key(fmt.Sprintf("%c/%d/%d", "abcx"[rng.IntN(4)], rng.IntN(5), rng.IntN(20)))
		for _, s := range []api.Store{words.Plain{Store: r}, all} {
			if _, err := s.Do(t.Context(), &put(k, string(k)).Txn); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 400 {
		q := &words.ListRequest{ListRequest: api.ListRequest{Limit: 1 + rng.IntN(40), Reverse: rng.IntN(2) == 0, KeysOnly: rng.IntN(3) == 0}}
		switch rng.IntN(4) {
		case 0:
			q.Range = api.PrefixRange(api.Key(fmt.Sprintf("%c/%d/", "abcx"[rng.IntN(4)], rng.IntN(5))))
		case 1:
			q.Range = api.PrefixRange(api.Key("abcx"[rng.IntN(4):][:1]))
		case 2:
			q.Range.Start = api.Key(fmt.Sprintf("%c/%d", "abcx"[rng.IntN(4)], rng.IntN(5)))
		}
		got, err := r.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		want, err := all.List(t.Context(), &q.ListRequest)
		if err != nil {
			t.Fatal(err)
		}
		if got.More != want.More || len(got.Entries) != len(want.Entries) {
			t.Fatalf("%+v: %d entries, more %v; want %d, %v", q, len(got.Entries), got.More, len(want.Entries), want.More)
		}
		checkPositions(t, b, q, got)
		for i := range got.Entries {
			if got.Entries[i].Key != want.Entries[i].Key || string(got.Entries[i].Value) != string(want.Entries[i].Value) {
				t.Fatalf("%+v: entry %d is %+v, want %+v", q, i, got.Entries[i], want.Entries[i])
			}
		}
	}
}

// checkPositions checks that the positions of a page cover what the page covers: each key once, by its owner.
func checkPositions(t *testing.T, b *backend, q *words.ListRequest, got *words.ListResult) {
	t.Helper()
	last := api.Key("")
	if n := len(got.Entries); n > 0 {
		last = got.Entries[n-1].Key
	}
	for p := range "abcx" {
		for i := range 100 {
			k := api.Key(fmt.Sprintf("%c/%d/%d", "abcx"[p], i/20, i%20))
			covered := q.Range.Contains(k) && (!got.More || (k <= last) != q.Reverse || k == last)
			owner, _, _ := b.placement().Locate(k)
			n := 0
			for _, x := range got.At {
				if x.Range.Contains(k) && x.Group == owner {
					n++
				}
				if !q.Range.ContainsRange(x.Range) {
					t.Fatalf("%+v: a position of %v", q, x.Range)
				}
			}
			if covered && n != 1 || !covered && n != 0 {
				t.Fatalf("%+v: %q has %d positions, page %v..%q, more %v: %+v", q, k, n, q.Range, last, got.More, got.At)
			}
		}
	}
}

// TestStaleListHasNoPosition checks that a page says no position if a replica answered part of it.
func TestStaleListHasNoPosition(t *testing.T) {
	b := newBackend(t)
	r := b.router(t, func(c *Config) { c.MinBackoff, c.MaxBackoff = time.Microsecond, time.Microsecond })
	q := &words.ListRequest{ListRequest: api.ListRequest{Range: api.PrefixRange("x/"), Consistency: api.Stale}}
	b.replicas = time.Second
	res, err := r.List(t.Context(), q)
	if err != nil || !res.Stale || len(res.At) > 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	q.Consistency = api.Quorum
	if res, err = r.List(t.Context(), q); err != nil || res.Stale || len(res.At) != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
}

// TestListOfOneShard checks that a list asks only the one group that can have keys of the prefix.
func TestListOfOneShard(t *testing.T) {
	b := newBackend(t)
	r := b.router(t)
	r.Leads(words.Leads{Group: "a.1", Term: 1, Node: "a1"})
	r.Leads(words.Leads{Group: "a.2", Term: 1, Node: "a1"})
	if _, err := r.List(t.Context(), &words.ListRequest{ListRequest: api.ListRequest{Range: api.PrefixRange("x/1/")}}); err != nil {
		t.Fatal(err)
	}
	if len(b.calls()) != 1 {
		t.Errorf("asked %q", b.calls())
	}
}

// TestListsTogether: lists that are made together are one question to the one group that has all their keys; if several may have them,
// or several ranges of the map, none is asked.
func TestListsTogether(t *testing.T) {
	b := newBackend(t)
	r := b.router(t)
	for _, c := range []struct {
		first, also api.Key
		code        api.Code
	}{
		{"x/1/", "x/1/a", ""},
		{"b/1/", "b/1/x", ""},
		{"b/1/", "b/2/", api.CodeInvalid},
		{"x/1/", "x/", api.CodeInvalid},
		{"x/", "x/", api.CodeInvalid},
		{"x/1/", "b/1/", api.CodeInvalid},
	} {
		asked := len(b.calls())
		_, err := r.List(t.Context(), &words.ListRequest{ListRequest: api.ListRequest{Range: api.PrefixRange(c.first), Also: []api.ListPart{{Range: api.PrefixRange(c.also)}}}})
		if api.CodeOf(err) != c.code {
			t.Errorf("%q beside %q: %v, want %q", c.also, c.first, err, c.code)
		}
		if c.code != "" && len(b.calls()) != asked {
			t.Errorf("%q beside %q: a group was asked", c.also, c.first)
		}
	}
}
