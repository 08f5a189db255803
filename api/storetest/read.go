package storetest

import (
	"reflect"
	"time"

	"github.com/edgehold/edgehold/api"
)

func (u *suite) readAbsent() {
	k := u.key("absent")
	u.wantAbsent(k)
	if a, b := u.read(k).Version, u.read(k).Version; a != b {
		u.Errorf("the version of an absent key changed from %v to %v by itself", a, b)
	}
}

func (u *suite) readPresent() {
	k := u.key("present")
	v := u.put(k, "one")
	e := u.read(k)
	if !e.Exists || string(e.Value) != "one" || e.Version != v {
		u.Fatalf("read %+v, want value one at version %v", e, v)
	}
	v2 := u.put(k, "two")
	if e := u.read(k); string(e.Value) != "two" || e.Version != v2 {
		u.Fatalf("read %+v after an overwrite, want value two at version %v", e, v2)
	}
}

func (u *suite) readManyInOrder() {
	a, b, c := u.key("a"), u.key("b"), u.key("c")
	u.put(a, "A")
	u.put(c, "C")
	for _, keys := range [][]api.Key{{a, b, c}, {c, b, a}, {b}, {a, c, a}} {
		for i, e := range u.readAll(keys...) {
			want := map[api.Key]string{a: "A", c: "C"}[keys[i]]
			if string(e.Value) != want || e.Exists != (want != "") {
				u.Errorf("read of %q: entry %d is %+v, want value %q", keys, i, e, want)
			}
		}
	}
}

func (u *suite) readKnown() {
	k := u.key("known")
	old := u.put(k, "one")
	v := u.put(k, "two")
	for _, c := range []struct {
		known     api.Version
		unchanged bool
	}{{v, true}, {old, false}, {api.Version{}, false}} {
		res, err := Read(u.ctx, u.store, &api.ReadRequest{Keys: []api.Key{k}, Known: []api.Version{c.known}})
		if err != nil {
			u.Fatal(err)
		}
		e := res.Entries[0]
		if !e.Exists || e.Version != v || e.Unchanged != c.unchanged || (string(e.Value) == "two") == c.unchanged {
			u.Errorf("known %v: %+v, want unchanged = %v", c.known, e, c.unchanged)
		}
	}
}

// readReusesMemory checks that a read leaves nothing of the result's earlier content in it, and does not change that content.
func (u *suite) readReusesMemory() {
	k, absent := u.key("k"), u.key("absent")
	u.put(k, "one")
	out := api.ReadResult{
		Entries:  make([]api.Entry, 3),
		ServedBy: api.ServedByStale, Group: "another", Age: time.Hour,
		Timing: api.Timing{Delayed: []api.Delay{{Node: "a node", Wait: time.Hour}}, Mode: "another"},
	}
	for i := range out.Entries {
		out.Entries[i] = api.Entry{Key: "another", Value: []byte("another"), Exists: true, Unchanged: true, Elided: true}
	}
	read := func(k api.Key) {
		u.Helper()
		r := api.ReadRequest{Keys: []api.Key{k}, Consistency: api.Quorum}
		fresh, err := Read(u.ctx, u.store, &r)
		if err != nil {
			u.Fatal(err)
		}
		if err := u.store.Read(u.ctx, &r, &out); err != nil {
			u.Fatal(err)
		}
		if len(out.Entries) != 1 || !reflect.DeepEqual(out.Entries[0], fresh.Entries[0]) {
			u.Errorf("a result that is used again holds %+v, a new one %+v", out.Entries, fresh.Entries)
		}
		if out.ServedBy != fresh.ServedBy || out.Group != fresh.Group || out.Age != fresh.Age || out.Snapshot != fresh.Snapshot ||
			out.Timing.Mode != fresh.Timing.Mode || len(out.Timing.Delayed) != len(fresh.Timing.Delayed) {
			u.Errorf("a result that is used again is %+v, a new one %+v", out, fresh)
		}
	}
	read(k)
	before := out.Entries[0]
	read(absent)
	if before.Key != k || string(before.Value) != "one" {
		u.Errorf("a second read into the result changed what the first gave to %+v", before)
	}
}

func (u *suite) readConsistencies() {
	k := u.key("levels")
	v := u.put(k, "x")
	for _, r := range []api.ReadRequest{
		{Consistency: api.Linearizable}, {Consistency: api.Quorum},
		{Consistency: api.Bounded, MaxStale: time.Minute}, {Consistency: api.Stale},
	} {
		r.Keys = []api.Key{k}
		res, err := Read(u.ctx, u.store, &r)
		if err != nil {
			u.Errorf("%v read: %v", r.Consistency, err)
			continue
		}
		e := res.Entries[0]
		if r.Consistency <= api.Quorum {
			if e.Version != v || string(e.Value) != "x" {
				u.Errorf("%v read gave %+v, want version %v", r.Consistency, e, v)
			}
			if res.ServedBy == api.ServedByStale || res.Age != 0 {
				u.Errorf("%v read was served by %v at age %v", r.Consistency, res.ServedBy, res.Age)
			}
		}
		if r.Consistency == api.Quorum && res.ServedBy != api.ServedByOwner {
			u.Errorf("quorum read was served by %v", res.ServedBy)
		}
		if res.Age < 0 || r.Consistency == api.Bounded && res.Age > r.MaxStale {
			u.Errorf("%v read has age %v", r.Consistency, res.Age)
		}
	}
}

func (u *suite) emptyValueIsNotAbsent() {
	k := u.key("empty")
	v := u.put(k, "")
	if e := u.read(k); !e.Exists || len(e.Value) != 0 || e.Version != v {
		u.Fatalf("read %+v, want an empty value that exists at %v", e, v)
	}
	u.wantAbsent(u.key("empty2"))
}

func (u *suite) anyBytes() {
	names := []string{
		"\x00", "\xff", "\xff\xff\xff", "\x00\x01/\x00", "/", "//", "a//b", "a/b", "a/../b", "a/./b", "..", ".", "a/", "a/..", "/a", "//a",
		"a b", "a+b", "a%b", "a%2Fb", "a%2fb", "?", "a?b=c", "#", "a#b", "&;=", "\"quoted\"", "\\", "ключ", "\u2028", "\xed\xa0\x80", "\n\r\t", "%", "%%", "~", "*",
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	names = append(names, string(all))
	for _, n := range names {
		u.put(u.key(n), "value of "+n)
	}
	for _, n := range names {
		u.wantValue(u.key(n), "value of "+n)
	}
	for _, n := range names {
		u.wantCommitted(u.do(deleteTxn(u.key(n))), true)
		u.wantAbsent(u.key(n))
	}
}

func (u *suite) valuesAreCopied() {
	k, value := u.key("copied"), []byte("before")
	u.do(&api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: value}}})
	copy(value, "after!")
	u.wantValue(k, "before")
}
