package storetest

import (
	"github.com/edgehold/edgehold/api"
)

func (u *suite) delete() {
	k := u.key("gone")
	put := u.put(k, "x")
	res := u.do(deleteTxn(k))
	u.wantCommitted(res, true)
	if e := res.Entries[0]; e.Exists || e.Version.Compare(put) <= 0 {
		u.Fatalf("delete gave %+v, want absence above version %v", e, put)
	}
	if e := u.read(k); e.Exists || e.Version != res.Entries[0].Version {
		u.Fatalf("after the delete: %+v, want absence at version %v", e, res.Entries[0].Version)
	}
}

func (u *suite) deleteAbsent() {
	k := u.key("never")
	for range 2 {
		res := u.do(deleteTxn(k))
		u.wantCommitted(res, true)
		if res.Entries[0].Exists {
			u.Fatalf("delete of an absent key gave %+v", res.Entries[0])
		}
		if e := u.read(k); e.Exists || e.Version != res.Entries[0].Version {
			u.Fatalf("after the delete: %+v, want absence at version %v", e, res.Entries[0].Version)
		}
	}
}

func (u *suite) versionsRise() {
	k := u.key("rising")
	last := u.read(k).Version
	for i := range 4 {
		v := u.put(k, "x") // the same value: it is a write nevertheless
		if v.Compare(last) <= 0 {
			u.Fatalf("put %d has version %v, not above %v", i, v, last)
		}
		last = v
		if i%2 == 1 {
			last = u.do(deleteTxn(k)).Entries[0].Version
			if last.Compare(v) <= 0 {
				u.Fatalf("delete has version %v, not above %v", last, v)
			}
		}
	}
}

// refused requires that t's conditions do not hold, that nothing changes, and that the result has the current state.
func (u *suite) refused(t *api.Txn) {
	u.Helper()
	k := t.If[0].Key
	before := u.read(k)
	res := u.do(t)
	u.wantCommitted(res, false)
	if len(res.Entries) != len(t.If) {
		u.Fatalf("a refused transaction gave %d entries, want one for each of %d conditions", len(res.Entries), len(t.If))
	}
	e := res.Entries[0]
	if e.Key != k || e.Version != before.Version || e.Exists != before.Exists || len(e.Value) != 0 {
		u.Fatalf("the present state is returned as %+v, want that of %+v without its value", e, before)
	}
	if after := u.read(k); after.Version != before.Version || after.Exists != before.Exists {
		u.Fatalf("a refused transaction changed the key from %+v to %+v", before, after)
	}
}

func (u *suite) condVersion() {
	k := u.key("cas")
	old := u.put(k, "one")
	now := u.put(k, "two")
	for _, wrong := range []api.Version{old, {}, {Epoch: now.Epoch, Index: now.Index + 1}} {
		cond := api.Cond{Kind: api.CondVersion, Key: k, Version: wrong}
		u.refused(putTxn(k, "wrong", cond))
		u.refused(deleteTxn(k, cond))
	}
	u.wantCommitted(u.do(putTxn(k, "three", api.Cond{Kind: api.CondVersion, Key: k, Version: now})), true)
	u.wantValue(k, "three")
	now = u.read(k).Version
	u.wantCommitted(u.do(deleteTxn(k, api.Cond{Kind: api.CondVersion, Key: k, Version: now})), true)
	u.wantAbsent(k)
}

func (u *suite) condVersionOfAbsence() {
	k := u.key("absence")
	never := u.read(k).Version
	u.wantCommitted(u.do(putTxn(k, "first", api.Cond{Kind: api.CondVersion, Key: k, Version: never})), true)
	u.refused(putTxn(k, "again", api.Cond{Kind: api.CondVersion, Key: k, Version: never}))
	u.do(deleteTxn(k))
	u.refused(putTxn(k, "aba", api.Cond{Kind: api.CondVersion, Key: k, Version: never}))
	gone := u.read(k).Version
	u.wantCommitted(u.do(putTxn(k, "back", api.Cond{Kind: api.CondVersion, Key: k, Version: gone})), true)
	u.wantValue(k, "back")
}

func (u *suite) condExists() {
	k := u.key("exists")
	cond := api.Cond{Kind: api.CondExists, Key: k}
	u.refused(putTxn(k, "x", cond))
	u.refused(deleteTxn(k, cond))
	u.put(k, "")
	u.wantCommitted(u.do(putTxn(k, "x", cond)), true)
	u.wantValue(k, "x")
	u.wantCommitted(u.do(deleteTxn(k, cond)), true)
	u.refused(putTxn(k, "x", cond))
}

func (u *suite) condAbsent() {
	k := u.key("create")
	cond := api.Cond{Kind: api.CondAbsent, Key: k}
	u.wantCommitted(u.do(deleteTxn(k, cond)), true)
	u.wantCommitted(u.do(putTxn(k, "", cond)), true)
	u.refused(putTxn(k, "again", cond))
	u.refused(deleteTxn(k, cond))
	u.do(deleteTxn(k))
	u.wantCommitted(u.do(putTxn(k, "again", cond)), true)
	u.wantValue(k, "again")
}

func (u *suite) condValue() {
	k := u.key("value")
	is := func(s string) api.Cond { return api.Cond{Kind: api.CondValue, Key: k, Value: []byte(s)} }
	u.refused(putTxn(k, "x", is(""))) // an absent key is not an empty value
	u.put(k, "")
	u.wantCommitted(u.do(putTxn(k, "one", is(""))), true)
	u.refused(putTxn(k, "x", is("")))
	u.refused(putTxn(k, "x", is("on")))
	u.refused(putTxn(k, "x", is("one\x00")))
	u.wantCommitted(u.do(putTxn(k, "two", is("one"))), true)
	u.wantValue(k, "two")
}
