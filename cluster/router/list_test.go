package router

import (
	"fmt"
	"math/rand/v2"
	"testing"

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
		for i := range got.Entries {
			if got.Entries[i].Key != want.Entries[i].Key || string(got.Entries[i].Value) != string(want.Entries[i].Value) {
				t.Fatalf("%+v: entry %d is %+v, want %+v", q, i, got.Entries[i], want.Entries[i])
			}
		}
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
