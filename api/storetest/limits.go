package storetest

import (
	"fmt"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// keyOf returns a key of this case with exactly n bytes.
func (u *suite) keyOf(n int) api.Key {
	return u.folder + api.Key(strings.Repeat("k", n-len(u.folder)))
}

func (u *suite) limitKey() {
	k := u.keyOf(api.MaxKeyBytes)
	u.put(k, "longest")
	u.wantValue(k, "longest")
	_, err := u.store.Do(u.ctx, putTxn(k+"k", "too long"))
	u.wantCode(err, api.CodeTooLarge, "4096", "4097")
	_, err = Read(u.ctx, u.store, &api.ReadRequest{Keys: []api.Key{k + "k"}})
	u.wantCode(err, api.CodeTooLarge, "4096", "4097")
	_, err = u.store.Do(u.ctx, putTxn("", "x"))
	u.wantCode(err, api.CodeInvalid)
	_, err = Read(u.ctx, u.store, &api.ReadRequest{Keys: []api.Key{""}})
	u.wantCode(err, api.CodeInvalid)
}

func (u *suite) limitValue() {
	k, largest := u.key("value"), strings.Repeat("v", api.MaxValueBytes)
	v := u.put(k, largest)
	if e := u.read(k); string(e.Value) != largest {
		u.Fatalf("read %d bytes, want %d", len(e.Value), len(largest))
	}
	_, err := u.store.Do(u.ctx, putTxn(k, largest+"v"))
	u.wantCode(err, api.CodeTooLarge, "1048576", "1048577")
	if e := u.read(k); e.Version != v {
		u.Errorf("a rejected write changed the version from %v to %v", v, e.Version)
	}
}

func (u *suite) limitOps() {
	t := &api.Txn{}
	for i := range api.MaxTxnOps {
		t.Then = append(t.Then, api.Op{Kind: api.OpPut, Key: u.key(fmt.Sprint(i)), Value: []byte("x")})
	}
	over := &api.Txn{Then: append([]api.Op{{Kind: api.OpPut, Key: u.key("over"), Value: []byte("x")}}, t.Then...)}
	_, err := u.store.Do(u.ctx, over)
	u.wantCode(err, api.CodeTooLarge, fmt.Sprint(api.MaxTxnOps), fmt.Sprint(api.MaxTxnOps+1))
	u.wantAbsent(u.key("over"))
	u.wantAbsent(u.key("0"))
	u.wantCommitted(u.do(t), true)
	u.wantValue(u.key(fmt.Sprint(api.MaxTxnOps-1)), "x")
}

func (u *suite) limitTxnBytes() {
	value := []byte(strings.Repeat("v", api.MaxValueBytes))
	t := &api.Txn{}
	for i := range 8 { // with its keys just over 8 MiB
		t.Then = append(t.Then, api.Op{Kind: api.OpPut, Key: u.key(fmt.Sprint(i)), Value: value})
	}
	_, err := u.store.Do(u.ctx, t)
	u.wantCode(err, api.CodeTooLarge, fmt.Sprint(api.MaxTxnBytes))
	for _, o := range t.Then {
		u.wantAbsent(o.Key)
	}
}

func (u *suite) limitReadKeys() {
	if u.single { // each key is a request of its own, so their number has no limit
		return
	}
	keys := make([]api.Key, api.MaxReadKeys+1)
	for i := range keys {
		keys[i] = u.key(fmt.Sprint(i))
	}
	u.readAll(keys[1:]...)
	_, err := Read(u.ctx, u.store, &api.ReadRequest{Keys: keys})
	u.wantCode(err, api.CodeTooLarge, "1000", "1001")
}

func (u *suite) invalid() {
	k := u.key("k")
	put := api.Op{Kind: api.OpPut, Key: k, Value: []byte("x")}
	for name, t := range map[string]*api.Txn{
		"empty":             {},
		"unknown op":        {Then: []api.Op{{Kind: 99, Key: k}}},
		"unknown condition": {If: []api.Cond{{Kind: 99, Key: k}}, Then: []api.Op{put}},
		"empty key":         {Then: []api.Op{put, {Kind: api.OpGet}}},
	} {
		if _, err := u.store.Do(u.ctx, t); api.CodeOf(err) != api.CodeInvalid {
			u.Errorf("%s: %v, want invalid", name, err)
		}
	}
	u.wantAbsent(k)
	_, err := Read(u.ctx, u.store, &api.ReadRequest{})
	u.wantCode(err, api.CodeInvalid)
}
