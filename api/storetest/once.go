package storetest

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
)

// sameResult requires that again is a replay of first.
func (u *suite) sameResult(first, again *api.TxnResult) {
	u.Helper()
	if first.Replayed || !again.Replayed {
		u.Errorf("replayed = %v, then %v, want false, then true", first.Replayed, again.Replayed)
	}
	if again.Committed != first.Committed || len(again.Entries) != len(first.Entries) {
		u.Fatalf("the repetition gave %+v, the first %+v", again, first)
	}
	for i, e := range again.Entries {
		if f := first.Entries[i]; e.Key != f.Key || e.Version != f.Version || e.Exists != f.Exists || string(e.Value) != string(f.Value) || e.Elided {
			u.Errorf("entry %d: the repetition gave %+v, the first %+v", i, e, f)
		}
	}
}

func (u *suite) onceReplays() {
	k := u.key("once")
	t := putTxn(k, "mine", api.Cond{Kind: api.CondAbsent, Key: k})
	t.ID = u.nextID()
	first := u.do(t)
	u.wantCommitted(first, true)
	v := u.put(k, "of another")
	u.sameResult(first, u.do(t))
	if e := u.read(k); string(e.Value) != "of another" || e.Version != v {
		u.Fatalf("the repetition took effect: %+v", e)
	}
	d := deleteTxn(k)
	d.ID = u.nextID()
	first = u.do(d)
	u.put(k, "third")
	u.sameResult(first, u.do(d))
	u.wantValue(k, "third")
}

// onceReplaysGets checks that a repeated request returns what it read the first time, including an empty value, whatever was
// written since.
func (u *suite) onceReplaysGets() {
	k, empty, none := u.key("read"), u.key("empty"), u.key("none")
	u.put(k, "42")
	u.put(empty, "")
	get := func(k api.Key) api.Op { return api.Op{Kind: api.OpGet, Key: k} }
	t := &api.Txn{ID: u.nextID(), Then: []api.Op{get(k), get(empty), get(none), {Kind: api.OpPut, Key: k, Value: []byte("43")}, get(k)}}
	first := u.do(t)
	for i, want := range map[int]string{0: "42", 1: "", 4: "43"} {
		if v, err := first.Entries[i].Known(); string(v) != want || err != nil {
			u.Errorf("get %d gave %q, %v, want %q", i, v, err, want)
		}
	}
	u.put(k, "0")
	u.put(empty, "full")
	u.put(none, "some")
	u.sameResult(first, u.do(t))
}

// onceReplaysRefusals checks that a repeated request returns a failed condition as it returns any other result.
func (u *suite) onceReplaysRefusals() {
	k := u.key("refused")
	t := putTxn(k, "x", api.Cond{Kind: api.CondExists, Key: k})
	t.ID = u.nextID()
	first := u.do(t)
	u.wantCommitted(first, false)
	u.put(k, "now it exists")
	u.sameResult(first, u.do(t))
	u.wantValue(k, "now it exists")
}

func (u *suite) onceOtherBody() {
	k := u.key("reused")
	t := putTxn(k, "one")
	t.ID = u.nextID()
	u.do(t)
	others := []*api.Txn{putTxn(k, "two"), deleteTxn(k), putTxn(k, "one", api.Cond{Kind: api.CondExists, Key: k})}
	for i, o := range others {
		o.ID = t.ID
		if _, err := u.store.Do(u.ctx, o); api.CodeOf(err) != api.CodeConflict {
			u.Errorf("another body %d under the same id: %v, want conflict", i, err)
		}
	}
	u.wantValue(k, "one")
	again := *t
	again.ID.AckedBelow = 1 // AckedBelow is not part of the body
	if res := u.do(&again); !res.Replayed {
		u.Error("the same request was not recognised beside a conflict")
	}
}

// onceOpaque uses a client for a single write, as an opaque Idempotency-Key does.
func (u *suite) onceOpaque() {
	k := u.key("opaque")
	hash := sha256.Sum256([]byte(k))
	t := putTxn(k, "x")
	t.ID = api.RequestID{Client: api.ClientID(hash[:16])}
	first := u.do(t)
	u.sameResult(first, u.do(t))
	other := putTxn(k, "y")
	other.ID = t.ID
	_, err := u.store.Do(u.ctx, other)
	u.wantCode(err, api.CodeConflict)
	u.wantValue(k, "x")
}

// onceRefusesIDs checks that a client cannot acknowledge requests after its own, and cannot use the id of a gateway.
func (u *suite) onceRefusesIDs() {
	k := u.key("ids")
	id := u.nextID()
	for _, bad := range []api.RequestID{
		{Client: id.Client, Seq: id.Seq, AckedBelow: id.Seq + 1},
		{Client: api.ClientID([]byte("gateway:12345678")), Seq: 1},
	} {
		t := putTxn(k, "x")
		t.ID = bad
		_, err := u.store.Do(u.ctx, t)
		u.wantCode(err, api.CodeInvalid)
	}
	if u.read(k).Exists {
		u.Error("a write under a refused id took effect")
	}
}

func (u *suite) onceRejectedLeavesNoRecord() {
	k := u.key("rejected")
	t := putTxn(k, strings.Repeat("x", api.MaxValueBytes+1))
	t.ID = u.nextID()
	_, err := u.store.Do(u.ctx, t)
	u.wantCode(err, api.CodeTooLarge)
	good := putTxn(k, "fits")
	good.ID = t.ID
	res := u.do(good)
	u.wantCommitted(res, true)
	if res.Replayed {
		u.Error("a rejected attempt left a record")
	}
	u.wantValue(k, "fits")
}

// onceConcurrent sends every request several times at once. A chain of increments would show a second effect.
func (u *suite) onceConcurrent() {
	const copies, steps = 4, 6
	k := u.key("chain")
	v := u.put(k, "0")
	for i := range steps {
		t := putTxn(k, fmt.Sprint(i), api.Cond{Kind: api.CondVersion, Key: k, Version: v})
		t.ID = u.nextID()
		var fresh atomic.Int32
		var version [copies]api.Version
		var wg sync.WaitGroup
		for c := range copies {
			wg.Go(func() {
				res, err := u.store.Do(u.ctx, t)
				if err != nil || !res.Committed {
					u.Errorf("step %d: %+v, %v", i, res, err)
					return
				}
				if !res.Replayed {
					fresh.Add(1)
				}
				version[c] = res.Entries[0].Version
			})
		}
		wg.Wait()
		if u.Failed() {
			return
		}
		for _, w := range version[1:] {
			if w != version[0] {
				u.Fatalf("step %d took effect at versions %v", i, version)
			}
		}
		if fresh.Load() != 1 {
			u.Fatalf("step %d took effect %d times by its own account", i, fresh.Load())
		}
		v = version[0]
		if e := u.read(k); e.Version != v {
			u.Fatalf("step %d: the key is at %v, want %v", i, e.Version, v)
		}
	}
}
