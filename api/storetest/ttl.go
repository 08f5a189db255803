package storetest

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
)

// ttl is the time to live that the cases use: long enough to read the key while it lives. late bounds how long a key may outlive
// it.
const (
	ttl  = 300 * time.Millisecond
	late = 5 * time.Second
)

func putTTL(k api.Key, d time.Duration) api.Op {
	return api.Op{Kind: api.OpPut, Key: k, Value: []byte("x"), TTL: d}
}

func touch(k api.Key, d time.Duration) api.Op { return api.Op{Kind: api.OpTouch, Key: k, TTL: d} }

// wantTTL requires that k exists and has at most most to live, and more than least; 0 for both is a key without a deadline.
func (u *suite) wantTTL(k api.Key, least, most time.Duration) api.Entry {
	u.Helper()
	e := u.read(k)
	if most == 0 && (!e.Exists || e.TTL != 0) || most > 0 && (!e.Exists || e.TTL <= least || e.TTL > most) {
		u.Fatalf("key %q: exists = %v, ttl = %v, want more than %v and at most %v", k, e.Exists, e.TTL, least, most)
	}
	return e
}

// expired waits until k is absent and returns how long that took since begun.
func (u *suite) expired(k api.Key, begun time.Time) (api.Entry, time.Duration) {
	u.Helper()
	for {
		e, took := u.read(k), time.Since(begun)
		if !e.Exists {
			return e, took
		}
		if took > ttl+late {
			u.Fatalf("key %q with a ttl of %v exists after %v: %+v", k, ttl, took, e)
		}
		time.Sleep(ttl / 20)
	}
}

// early is the soonest end of a key with a time to live of ttl: it allows for clocks of different rates.
const early = ttl - ttl/100

func (u *suite) ttlExpires() {
	k := u.key("k")
	begun := time.Now()
	put := u.do(&api.Txn{Then: []api.Op{putTTL(k, ttl)}}).Entries[0].Version
	if e := u.wantTTL(k, 0, ttl); e.Version != put {
		u.Fatalf("read %+v, want version %v", e, put)
	}
	gone, took := u.expired(k, begun)
	if took < early {
		u.Errorf("a key with a ttl of %v expired after %v", ttl, took)
	}
	if gone.Version.Compare(put) <= 0 {
		u.Errorf("the key expired at version %v, not above that of its put, %v", gone.Version, put)
	}
	u.refused(putTxn(k, "late", api.Cond{Kind: api.CondVersion, Key: k, Version: put}))
	u.wantCommitted(u.do(putTxn(k, "again", api.Cond{Kind: api.CondAbsent, Key: k})), true)
	u.wantTTL(k, 0, 0)
}

// ttlOfPut checks that a put sets the deadline or clears it.
func (u *suite) ttlOfPut() {
	k := u.key("k")
	u.do(&api.Txn{Then: []api.Op{putTTL(k, time.Hour)}})
	u.wantTTL(k, time.Hour/2, time.Hour)
	u.do(&api.Txn{Then: []api.Op{putTTL(k, time.Minute)}})
	u.wantTTL(k, time.Minute/2, time.Minute)
	u.do(&api.Txn{Then: []api.Op{putTTL(k, ttl)}})
	u.put(k, "for ever")
	u.wantTTL(k, 0, 0)
	time.Sleep(2 * ttl)
	u.wantValue(k, "for ever")
}

// ttlOfFunctions checks that add keeps the deadline, and append_if_absent sets it or clears it, unless it changes nothing.
func (u *suite) ttlOfFunctions() {
	k := u.key("k")
	u.do(&api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte("1"), TTL: time.Hour}}})
	u.do(&api.Txn{Then: []api.Op{add(k, 2)}})
	u.wantTTL(k, time.Hour/2, time.Hour)
	u.do(&api.Txn{Then: []api.Op{appendOnce(k, "3")}}) // contained
	u.wantTTL(k, time.Hour/2, time.Hour)
	longer := appendOnce(k, "4")
	longer.TTL = 4 * time.Hour
	u.do(&api.Txn{Then: []api.Op{longer}})
	u.wantTTL(k, 3*time.Hour, 4*time.Hour)
	u.do(&api.Txn{Then: []api.Op{appendOnce(k, "5")}})
	u.wantTTL(k, 0, 0)
	u.do(&api.Txn{Then: []api.Op{putTTL(k, time.Hour), {Kind: api.OpDelete, Key: k}, add(k, 1)}})
	u.wantTTL(k, 0, 0)
}

// touchRaises checks that touch raises a deadline and changes nothing else.
func (u *suite) touchRaises() {
	k, absent, lasting := u.key("k"), u.key("absent"), u.key("lasting")
	v := u.do(&api.Txn{Then: []api.Op{putTTL(k, time.Minute)}}).Entries[0].Version
	u.do(&api.Txn{Then: []api.Op{touch(k, time.Second)}}) // lower
	u.wantTTL(k, time.Minute/2, time.Minute)
	res := u.do(&api.Txn{Then: []api.Op{touch(k, time.Hour)}})
	if e := res.Entries[0]; e.Key != k || !e.Exists || e.Version != v || e.TTL <= time.Hour/2 || e.TTL > time.Hour || len(e.Value) > 0 {
		u.Errorf("touch gave %+v, want the key at version %v with a ttl of %v", e, v, time.Hour)
	}
	if e := u.wantTTL(k, time.Hour/2, time.Hour); e.Version != v || string(e.Value) != "x" {
		u.Errorf("touch changed the key to %+v, want x at version %v", e, v)
	}
	was := u.put(lasting, "y")
	res = u.do(&api.Txn{Then: []api.Op{touch(absent, time.Hour), touch(lasting, time.Hour)}})
	if e := res.Entries[0]; e.Exists || e.TTL != 0 {
		u.Errorf("touch of an absent key gave %+v", e)
	}
	if e := res.Entries[1]; !e.Exists || e.TTL != 0 || e.Version != was {
		u.Errorf("touch of a key without a deadline gave %+v, want version %v and no ttl", e, was)
	}
	u.wantAbsent(absent)
	u.wantTTL(lasting, 0, 0)
}

// touchKeepsAlive checks that a key that is touched in time does not expire, and expires when it is no longer touched.
func (u *suite) touchKeepsAlive() {
	k := u.key("k")
	v := u.do(&api.Txn{Then: []api.Op{putTTL(k, ttl)}}).Entries[0].Version
	begun := time.Now()
	for range 4 {
		time.Sleep(ttl / 3)
		begun = time.Now()
		if e := u.do(&api.Txn{Then: []api.Op{touch(k, ttl)}}).Entries[0]; !e.Exists || e.Version != v {
			u.Skipf("this machine paused for longer than %v: %+v", ttl, e)
		}
	}
	if _, took := u.expired(k, begun); took < early {
		u.Errorf("the key expired %v after a touch with a ttl of %v", took, ttl)
	}
}

// listStep checks that a list step has what its place among the steps shows.
func (u *suite) listStep() {
	d := u.key("d/")
	list := api.Op{Kind: api.OpList, Key: d, Limit: 3}
	res := u.do(&api.Txn{Then: []api.Op{list}})
	if len(res.Lists) != 1 || len(res.Lists[0]) != 0 || len(res.Entries) != 1 || res.Entries[0].Key != d {
		u.Fatalf("the list of nothing gave %+v", res)
	}
	vb := u.put(d+"b", "1")
	u.put(u.key("d"), "before")
	u.put(u.key("d0"), "after")
	put := func(k api.Key) api.Op { return api.Op{Kind: api.OpPut, Key: k, Value: []byte("v")} }
	res = u.do(&api.Txn{Then: []api.Op{list, put(d + "a"), list, put(d + "d"), put(d + "c"), list, {Kind: api.OpDelete, Key: d + "b"}, list}})
	if len(res.Lists) != 4 {
		u.Fatalf("four list steps gave %d lists", len(res.Lists))
	}
	for i, want := range [][]string{{"b"}, {"a", "b"}, {"a", "b", "c"}, {"a", "c", "d"}} {
		var got []string
		for _, e := range res.Lists[i] {
			got = append(got, string(e.Key[len(d):]))
			version := res.Version
			if e.Key == d+"b" {
				version = vb
			}
			if !e.Exists || e.Version != version || len(e.Value) > 0 {
				u.Errorf("list %d has %+v, want version %v and no value", i, e, version)
			}
		}
		if !slices.Equal(got, want) {
			u.Errorf("list %d has %q, want %q", i, got, want)
		}
	}
}

// onceReplaysNoLists checks that a repeated transaction leaves its lists out.
func (u *suite) onceReplaysNoLists() {
	k := u.key("d/k")
	t := &api.Txn{ID: u.nextID(), Then: []api.Op{putTTL(k, time.Hour), {Kind: api.OpList, Key: u.key("d/"), Limit: 1}}}
	first := u.do(t)
	again := u.do(t)
	if len(first.Lists) != 1 || !again.Replayed || len(again.Lists) != 0 || len(again.Entries) != 2 || again.Version != first.Version {
		u.Errorf("the repetition of %+v gave %+v", first, again)
	}
}

// ttlBounds checks that a time to live out of bounds is refused.
func (u *suite) ttlBounds() {
	k := u.key("k")
	for _, d := range []time.Duration{-1, 1, api.MinTTL - 1, api.MaxTTL + 1} {
		_, err := u.store.Do(u.ctx, &api.Txn{Then: []api.Op{putTTL(k, d)}})
		u.wantCode(err, api.CodeInvalid, "100ms", "10 years")
	}
	u.wantAbsent(k)
	for _, d := range []time.Duration{api.MinTTL, api.MaxTTL} {
		u.do(&api.Txn{Then: []api.Op{putTTL(k, d)}})
	}
	u.wantTTL(k, api.MaxTTL-time.Hour, api.MaxTTL)
}

func (u *suite) listTTL(l api.Lister) {
	u.do(&api.Txn{Then: []api.Op{putTTL(u.key("a"), time.Hour)}})
	u.put(u.key("b"), "for ever")
	u.do(&api.Txn{Then: []api.Op{putTTL(u.key("c"), ttl)}})
	es := u.list(l, api.ListRequest{Range: api.PrefixRange(u.folder)}).Entries
	u.wantNames(es, "a", "b", "c")
	if a, b, c := es[0].TTL, es[1].TTL, es[2].TTL; a <= time.Hour/2 || a > time.Hour || b != 0 || c <= 0 || c > ttl {
		u.Errorf("listed the ttls %v, %v and %v, want at most %v, none, and at most %v", a, b, c, time.Hour, ttl)
	}
	u.expired(u.key("c"), time.Now())
	u.wantNames(u.list(l, api.ListRequest{Range: api.PrefixRange(u.folder)}).Entries, "a", "b")
}

// watchTTL checks that a watch delivers the end of a key, and that a touch is no change.
func (u *suite) watchTTL(w WatchStore) {
	x, k := u.watchFolder(w), u.key("k")
	begun := time.Now()
	put := u.do(&api.Txn{Then: []api.Op{putTTL(k, ttl)}}).Entries[0].Version
	u.do(&api.Txn{Then: []api.Op{touch(k, ttl)}})
	u.do(&api.Txn{Then: []api.Op{touch(u.key("none"), ttl)}})
	x.until(2)
	if took := time.Since(begun); took < early || took > ttl+late {
		u.Errorf("a key with a ttl of %v is reported to have expired after %v", ttl, took)
	}
	x.want(`put "k"="x"; expire "k"; `)
	if e := x.events[0]; e.TTL <= 0 || e.TTL > ttl || e.Version != put {
		u.Errorf("got %+v of a key with a ttl of %v", e, ttl)
	}
	if e := x.events[1]; e.Version.Compare(put) <= 0 || len(e.Value) > 0 || e.TTL != 0 {
		u.Errorf("got %+v of a key that expired, want a version above %v", e, put)
	}
}
