package storetest

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

func appendTo(k api.Key, v string) api.Op {
	return api.Op{Kind: api.OpAppend, Key: k, Value: []byte(v)}
}

func le64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func fold(kind api.OpKind, k api.Key, n uint64) api.Op {
	return api.Op{Kind: kind, Key: k, Value: le64(n)}
}

// txnAppends checks that an append adds to what is there and answers the new length.
func (u *suite) txnAppends() {
	k := u.key("k")
	res := u.do(&api.Txn{Then: []api.Op{appendTo(k, "one"), appendTo(k, ""), appendTo(k, "one"), {Kind: api.OpGet, Key: k}}})
	for i, want := range []string{"3", "3", "6", "oneone"} {
		if e := res.Entries[i]; string(e.Value) != want || !e.Exists || e.Version != res.Version {
			u.Errorf("step %d gave %+v, want %s at %v", i, e, want, res.Version)
		}
	}
	u.wantValue(k, "oneone")
	again := u.do(&api.Txn{Then: []api.Op{appendTo(k, "")}})
	if e := u.read(k); again.Version == res.Version || e.Version != again.Version {
		u.Errorf("an append of nothing left %v and answered %v, want a new version after %v", e.Version, again.Version, res.Version)
	}
	const writers, appends = 4, 8
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range appends {
				if _, err := u.store.Do(u.ctx, &api.Txn{Then: []api.Op{appendTo(k, "+")}}); err != nil {
					u.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if e := u.read(k); len(e.Value) != 6+writers*appends {
		u.Errorf("after %d appends the value is %q", writers*appends, e.Value)
	}
}

// txnFolds checks sum64, min64 and max64.
func (u *suite) txnFolds() {
	sum, least, most := u.key("sum"), u.key("min"), u.key("max")
	for _, n := range []uint64{1 << 40, 7, math.MaxUint64} {
		res := u.do(&api.Txn{Then: []api.Op{fold(api.OpSum64, sum, n), fold(api.OpMin64, least, n), fold(api.OpMax64, most, n)}})
		for i, e := range res.Entries {
			if len(e.Value) > 0 || !e.Exists || e.Version != res.Version {
				u.Errorf("step %d gave %+v, want no value and version %v", i, e, res.Version)
			}
		}
	}
	u.wantValue(sum, string(le64(1<<40+7-1)))
	u.wantValue(least, string(le64(7)))
	u.wantValue(most, string(le64(math.MaxUint64)))
	// What changes no byte is a write all the same.
	res := u.do(&api.Txn{Then: []api.Op{fold(api.OpMin64, least, 8), fold(api.OpSum64, sum, 0)}})
	for _, k := range []api.Key{least, sum} {
		if e := u.read(k); e.Version != res.Version {
			u.Errorf("key %q is at %v, want %v", k, e.Version, res.Version)
		}
	}
	u.wantValue(least, string(le64(7)))
}

// txnRefusedByFold checks that nothing of a transaction is applied if one of its steps meets a value that is no integer of 8 bytes,
// or has none.
func (u *suite) txnRefusedByFold() {
	a, b := u.key("a"), u.key("b")
	before := u.put(b, "1234567")
	put := api.Op{Kind: api.OpPut, Key: a, Value: []byte("x")}
	for _, kind := range []api.OpKind{api.OpSum64, api.OpMin64, api.OpMax64} {
		_, err := u.store.Do(u.ctx, &api.Txn{Then: []api.Op{put, fold(kind, b, 1)}})
		u.wantCode(err, api.CodePreconditionFailed)
		_, err = u.store.Do(u.ctx, &api.Txn{Then: []api.Op{put, {Kind: kind, Key: u.key("c"), Value: []byte("123456789")}}})
		u.wantCode(err, api.CodeInvalid, "8 bytes", "9 bytes")
	}
	full := make([]byte, api.MaxValueBytes)
	u.put(u.key("full"), string(full))
	_, err := u.store.Do(u.ctx, &api.Txn{Then: []api.Op{put, appendTo(u.key("full"), "x")}})
	u.wantCode(err, api.CodeTooLarge, fmt.Sprint(api.MaxValueBytes), fmt.Sprint(api.MaxValueBytes+1))
	u.wantAbsent(a)
	if e := u.read(b); e.Version != before {
		u.Errorf("a refused fold left %+v, want version %v", e, before)
	}
}

// keepsTTL checks what each function makes of the deadline of its key.
func (u *suite) keepsTTL() {
	for i, op := range []api.Op{appendTo("", "1"), fold(api.OpSum64, "", 1), fold(api.OpMin64, "", 1), fold(api.OpMax64, "", 1)} {
		op.Key = u.key(fmt.Sprint("k", i))
		keep, longer := op, op
		keep.KeepTTL, longer.TTL = true, 4*time.Hour
		u.do(&api.Txn{Then: []api.Op{keep}}) // an absent key has no deadline to keep
		u.wantTTL(op.Key, 0, 0)
		u.do(&api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: op.Key, Value: le64(1), TTL: time.Hour}}})
		u.do(&api.Txn{Then: []api.Op{keep}})
		u.wantTTL(op.Key, time.Hour/2, time.Hour)
		if op.Kind == api.OpAppend {
			u.put(op.Key, "")
		}
		u.do(&api.Txn{Then: []api.Op{longer}})
		u.wantTTL(op.Key, 3*time.Hour, 4*time.Hour)
		u.do(&api.Txn{Then: []api.Op{op}})
		u.wantTTL(op.Key, 0, 0)
	}
	k := u.key("steps")
	keep := api.Op{Kind: api.OpPut, Key: k, Value: []byte("x"), KeepTTL: true}
	u.do(&api.Txn{Then: []api.Op{putTTL(k, time.Hour), {Kind: api.OpDelete, Key: k}, keep}})
	u.wantTTL(k, 0, 0)
	u.do(&api.Txn{Then: []api.Op{putTTL(k, time.Hour), keep}})
	u.wantTTL(k, time.Hour/2, time.Hour)
	u.do(&api.Txn{Then: []api.Op{touch(k, 3*time.Hour), keep}})
	u.wantTTL(k, 2*time.Hour, 3*time.Hour)
}

// keepTTLOfPut checks that a put may keep the deadline of its key, and that the key then expires.
func (u *suite) keepTTLOfPut() {
	k := u.key("k")
	put := func(v string, d time.Duration, keep bool) error {
		_, err := u.store.Do(u.ctx, &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte(v), TTL: d, KeepTTL: keep}}})
		return err
	}
	begun := time.Now()
	for _, err := range []error{put("1", 0, true), put("2", ttl, false), put("3", 0, true)} {
		if err != nil {
			u.Fatal(err)
		}
	}
	u.wantCode(put("4", time.Hour, true), api.CodeInvalid, "keep_ttl")
	e, took := u.expired(k, begun)
	if took < early {
		u.Errorf("a key with a ttl of %v expired after %v: %+v", ttl, took, e)
	}
}

// onceAppends checks that an append that is sent again takes effect once and answers the same length.
func (u *suite) onceAppends() {
	k, l := u.key("k"), u.key("l")
	t := &api.Txn{ID: u.nextID(), Then: []api.Op{appendTo(k, "one"), fold(api.OpSum64, l, 1)}}
	u.do(t)
	u.do(&api.Txn{Then: []api.Op{appendTo(k, "two")}})
	again := u.do(t)
	if !again.Replayed || len(again.Entries) != 2 || string(again.Entries[0].Value) != "3" {
		u.Errorf("the append was replayed as %+v", again)
	}
	u.wantValue(k, "onetwo")
	u.wantValue(l, string(le64(1)))
	other := *t
	other.Then = []api.Op{appendTo(k, "one"), {Kind: api.OpSum64, Key: l, Value: le64(1), KeepTTL: true}}
	_, err := u.store.Do(u.ctx, &other)
	u.wantCode(err, api.CodeConflict)
}
