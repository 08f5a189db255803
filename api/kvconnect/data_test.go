package kvconnect

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Keys as Deno makes them: each part is a string.
func k(parts ...string) (b string) {
	for _, p := range parts {
		b += "\x02" + p + "\x00"
	}
	return b
}

// TestValues: values come back as they went, with their encoding and the stamp of their write; their siblings are nowhere to be seen.
func TestValues(t *testing.T) {
	c := newClient(t)
	stamp := c.do(put(k("v8"), "\xff\x0ftext"), putInt(k("int"), 7), change{kind: kindSet, key: k("bytes"), value: "\xff", encoding: encodingBytes})
	want := []got{
		{k("bytes"), "\xff", encodingBytes, stamp}, {k("int"), le64(7), encodingLE64, stamp}, {k("v8"), "\xff\x0ftext", encodingV8, stamp},
	}
	for _, e := range want {
		if g, ok := c.get(e.key); !ok || g != e {
			t.Errorf("got %q, want %q", g, e)
		}
	}
	if got := c.read(rng{"\x00", "\xff", 10, false})[0]; !slices.Equal(got, want) {
		t.Errorf("listed %q", got)
	}
	res, err := c.m.List(t.Context(), &api.ListRequest{Range: api.PrefixRange("deno/app/.meta/")})
	if err != nil || len(res.Entries) != 2 || string(res.Entries[0].Value) != "bytes" || string(res.Entries[1].Value) != "u64" {
		t.Errorf("the siblings are %+v, %v", res, err)
	}
	c.do(put(k("int"), "x"), del(k("bytes")))
	if g, ok := c.get(k("int")); !ok || g.encoding != encodingV8 {
		t.Errorf("a value of V8 after an integer is %q", g)
	}
	if g, ok := c.get(k("bytes")); ok {
		t.Errorf("a deleted key has %q", g)
	}
	if all := c.everything(); strings.Contains(all, ".meta/") {
		t.Errorf("siblings are left: %q", all)
	}
}

// TestRanges: ranges with their bounds, limits and orders, several in one read.
func TestRanges(t *testing.T) {
	c := newClient(t)
	var all []string
	for i := range 8 {
		key := k(fmt.Sprint(i))
		all = append(all, key)
		if i%2 == 0 {
			c.do(put(key, "x"))
		} else {
			c.do(putInt(key, uint64(i)))
		}
	}
	database := rng{"\x00", "\xff", 100, false}
	for _, q := range []struct {
		r    rng
		want []string
	}{
		{database, all},
		{rng{all[2], all[5], 100, false}, all[2:5]},
		{rng{all[2], all[5], 2, false}, all[2:4]},
		{rng{all[2], all[5], 2, true}, []string{all[4], all[3]}},
		{rng{all[5], all[2], 2, false}, nil},
		{rng{all[3], all[3] + "\x00", 1, false}, all[3:4]},
		{rng{all[3] + "\x00", "\xff", 1, false}, all[4:5]},
		{rng{k("absent"), "\xff", 1, false}, nil},
		{rng{k("2x"), "\xff", 1, false}, all[3:4]},
		{rng{k("2x"), "", 1, false}, nil},
		{rng{"a", "z", 5, false}, nil},
		{rng{".meta/", ".meta0", 5, false}, nil},
	} {
		got := c.read(q.r, rng{start: all[1]}, database)
		var keys []string
		for _, e := range got[0] {
			keys = append(keys, e.key)
			if want := encoding(1 + strings.IndexByte("0123456789", e.key[1])%2); e.encoding != want {
				t.Errorf("%q has encoding %d", e.key, e.encoding)
			}
		}
		if !slices.Equal(keys, q.want) {
			t.Errorf("%v: %q, want %q", q.r, keys, q.want)
		}
		if len(got[1]) != 1 || len(got[2]) != len(all) {
			t.Errorf("%v: beside it, %q and %q", q.r, got[1], got[2])
		}
		if alone := c.read(q.r)[0]; !slices.Equal(alone, got[0]) {
			t.Errorf("%v alone: %q", q.r, alone)
		}
	}
}

// TestSiblingsWithoutValues: what another front has left of keys that are gone does not keep a list from finding the encodings.
func TestSiblingsWithoutValues(t *testing.T) {
	c := newClient(t)
	for i := range 100 {
		if _, err := c.m.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: c.db.meta([]byte(k(fmt.Sprint(i)))), Value: []byte("u64")}}}); err != nil {
			t.Fatal(err)
		}
	}
	c.do(putInt(k("zz"), 1))
	for _, reverse := range []bool{false, true} {
		if got := c.read(rng{"\x00", "\xff", 5, reverse})[0]; len(got) != 1 || got[0].encoding != encodingLE64 {
			t.Errorf("got %q", got)
		}
	}
	if got := c.do(sum(k("7"), 3)); got == "" {
		t.Error("a sum on a key that has a sibling alone is not carried out")
	}
	if g, _ := c.get(k("7")); g.value != le64(3) {
		t.Errorf("the sum is %q", g)
	}
}

// TestChecks: a write is carried out if all its checks hold, and else changes nothing and names those that do not.
func TestChecks(t *testing.T) {
	c := newClient(t)
	first := c.do(put(k("a"), "1"), put(k("b"), "1"))
	gone := c.do(del(k("b")))
	foreign := string(stampOf(api.Version{Epoch: 9, Index: 9}))
	for name, q := range map[string]struct {
		checks []chk
		failed []int
	}{
		"present at its stamp":      {[]chk{{k("a"), first}}, nil},
		"absent":                    {[]chk{{k("b"), ""}, {k("never"), ""}}, nil},
		"present, wanted absent":    {[]chk{{k("a"), ""}}, []int{0}},
		"absent, wanted at a stamp": {[]chk{{k("b"), first}}, []int{0}},
		"the stamp of its absence":  {[]chk{{k("b"), gone}}, []int{0}},
		"another stamp":             {[]chk{{k("a"), gone}}, []int{0}},
		"a stamp of nothing":        {[]chk{{k("a"), first[:9] + "\x01"}}, []int{0}},
		"a stamp of elsewhere":      {[]chk{{k("a"), foreign}}, []int{0}},
		"several":                   {[]chk{{k("a"), first}, {k("a"), ""}, {k("b"), ""}, {k("b"), gone}}, []int{1, 3}},
	} {
		before, _ := c.get(k("target"))
		stamp, failed := c.commit(q.checks, put(k("target"), name))
		after, ok := c.get(k("target"))
		if !slices.Equal(failed, q.failed) {
			t.Errorf("%s: failed %v, want %v", name, failed, q.failed)
		}
		if len(failed) == 0 && (!ok || after.value != name || after.stamp != stamp) || len(failed) > 0 && after != before {
			t.Errorf("%s: the key has %q after %q, committed at %x", name, after, before, stamp)
		}
	}
	if stamp, _ := c.commit([]chk{{k("a"), first}}); len(stamp) != stampBytes {
		t.Errorf("checks alone have the stamp %x", stamp)
	}
	if stamp := c.do(); len(stamp) != stampBytes {
		t.Errorf("a write of nothing has the stamp %x", stamp)
	}
}

// TestFunctions: SUM, MIN and MAX of integers, also of absent keys, and after other mutations of the same write.
func TestFunctions(t *testing.T) {
	c := newClient(t)
	fold := func(kind int, n uint64) change {
		return change{kind: kind, key: k("n"), value: le64(n), encoding: encodingLE64}
	}
	for _, q := range []struct {
		changes []change
		want    uint64
	}{
		{[]change{fold(kindSum, 5)}, 5},
		{[]change{fold(kindSum, 2)}, 7},
		{[]change{fold(kindMin, 9)}, 7},
		{[]change{fold(kindMin, 3)}, 3},
		{[]change{fold(kindMax, 100)}, 100},
		{[]change{fold(kindMax, 1)}, 100},
		{[]change{fold(kindSum, 1<<64-1)}, 99},
		{[]change{fold(kindSum, 1), fold(kindSum, 1), fold(kindMax, 7)}, 101},
		{[]change{del(k("n")), fold(kindMin, 40)}, 40},
		{[]change{putInt(k("n"), 6), fold(kindSum, 1), sum(k("other"), 1)}, 7},
		{[]change{sum(k("other"), 1), fold(kindSum, 1), sum(k("third"), 1)}, 8}, // of both kinds
	} {
		stamp := c.do(q.changes...)
		if g, ok := c.get(k("n")); !ok || g != (got{k("n"), le64(q.want), encodingLE64, stamp}) {
			t.Errorf("%v: %q, want %d", q.changes, g, q.want)
		}
	}
	if g, _ := c.get(k("other")); g.value != le64(2) {
		t.Errorf("another counter is %q", g)
	}
	if _, failed := c.commit([]chk{{k("n"), ""}}, sum(k("fourth"), 1)); len(failed) == 0 {
		t.Error("a sum whose check does not hold is carried out")
	}
}

// TestFunctionsOfOtherValues: a function of a value that is no integer is refused in Deno's words, even if the value has 8 bytes.
func TestFunctionsOfOtherValues(t *testing.T) {
	c := newClient(t)
	c.do(put(k("v8"), "\xff\x0f\"\x04abcd"), change{kind: kindSet, key: k("bytes"), value: "12345678", encoding: encodingBytes}, putInt(k("int"), 1))
	for _, changes := range [][]change{
		{sum(k("v8"), 1)}, {sum(k("bytes"), 1)},
		{sum(k("int"), 1), sum(k("bytes"), 1)}, {sum(k("new"), 1), sum(k("v8"), 1)}, {put(k("int"), "x"), sum(k("int"), 1)},
		{change{kind: kindMax, key: k("bytes"), value: le64(1), encoding: encodingLE64}},
	} {
		if status, text := c.refused(writeMessage(nil, changes...)); status != 400 || !strings.Contains(text, "mutation on a non-U64 value in the database") {
			t.Errorf("%v: %d %s", changes, status, text)
		}
	}
}

// TestStampsRise: the stamps of writes rise over all keys, an entry has the stamp of the write that made it, and all that one write has
// made have the same.
func TestStampsRise(t *testing.T) {
	c := newClient(t)
	last, of := "", map[string]string{}
	for range 300 {
		var changes []change
		for range 1 + rand.IntN(3) {
			key := k(fmt.Sprint(rand.IntN(9)))
			switch rand.IntN(3) {
			case 0:
				changes, of[key] = append(changes, del(key)), ""
			case 1:
				changes, of[key] = append(changes, putInt(key, 1)), "now"
			default:
				changes, of[key] = append(changes, put(key, "x")), "now"
			}
		}
		stamp := c.do(changes...)
		if stamp <= last {
			t.Fatalf("%x after %x", stamp, last)
		}
		last = stamp
		for key, at := range of {
			if at == "now" {
				of[key] = stamp
			}
			if g, ok := c.get(key); ok != (of[key] != "") || g.stamp != of[key] {
				t.Fatalf("%q has the stamp %x, want %x", key, g.stamp, of[key])
			}
		}
	}
}

// TestStamp: ten bytes in the order of versions, and back.
func TestStamp(t *testing.T) {
	var last []byte
	for _, v := range []api.Version{{}, {Epoch: 1, Index: 1}, {Epoch: 1, Index: 1<<40 - 1}, {Epoch: 2, Index: 0}, {Epoch: 1 << 20, Index: 5}} {
		stamp := stampOf(v)
		if back, ok := versionOf(stamp); !ok || back != v || len(stamp) != stampBytes || bytes.Compare(stamp, last) <= 0 {
			t.Errorf("%v: %x after %x, and back %v", v, stamp, last, back)
		}
		last = stamp
	}
}

// TestExpiry: a key expires when it should and not before, and its sibling with it; a sum makes it last.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		expiring := func(key string, in time.Duration) change {
			x := putInt(key, 1)
			x.expireAt = time.Now().Add(in).UnixMilli()
			return x
		}
		c.do(expiring(k("a"), time.Minute), expiring(k("past"), -time.Hour), expiring(k("summed"), time.Minute), expiring(k("far"), 20*365*24*time.Hour))
		c.do(sum(k("summed"), 1))
		if _, ok := c.get(k("past")); !ok {
			t.Error("a key that should have expired already was not there at all")
		}
		time.Sleep(time.Minute - time.Second)
		if g, ok := c.get(k("a")); !ok || g.encoding != encodingLE64 {
			t.Errorf("a second early: %q, %v", g, ok)
		}
		if _, ok := c.get(k("past")); ok {
			t.Error("a key that should have expired long ago is there")
		}
		time.Sleep(2 * time.Second)
		if g, ok := c.get(k("a")); ok {
			t.Errorf("it has not expired: %q", g)
		}
		for _, key := range []string{k("summed"), k("far")} {
			if g, ok := c.get(key); !ok || g.encoding != encodingLE64 {
				t.Errorf("%q: %q, %v", key, g, ok)
			}
		}
		if all := c.everything(); strings.Count(all, "deno/app/.meta/") != 2 {
			t.Errorf("the siblings of keys that have expired are there: %q", all)
		}
	})
}
