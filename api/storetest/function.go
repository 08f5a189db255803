package storetest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// txnSameKeyAgain checks that the steps of a branch are carried out in order, each on the result of the steps before it.
func (u *suite) txnSameKeyAgain() {
	k, l := u.key("k"), u.key("l")
	u.put(l, "was")
	res := u.do(&api.Txn{Then: []api.Op{
		{Kind: api.OpGet, Key: k},
		{Kind: api.OpPut, Key: k, Value: []byte("1")},
		{Kind: api.OpGet, Key: k},
		{Kind: api.OpAdd, Key: k, Delta: 41},
		{Kind: api.OpGet, Key: k},
		{Kind: api.OpDelete, Key: l},
		{Kind: api.OpGet, Key: l},
		{Kind: api.OpPut, Key: l, Value: []byte("is")},
		{Kind: api.OpDelete, Key: l},
	}})
	u.wantCommitted(res, true)
	var saw strings.Builder
	for _, i := range []int{0, 2, 4, 6} {
		_, _ = fmt.Fprintf(&saw, "%v:%s ", res.Entries[i].Exists, res.Entries[i].Value)
	}
	if got := saw.String(); got != "false: true:1 true:42 false: " {
		u.Errorf("the gets saw %q", got)
	}
	for i, e := range res.Entries[1:] {
		if e.Version != res.Version {
			u.Errorf("step %d has version %v, the transaction %v", i+1, e.Version, res.Version)
		}
	}
	if e := u.read(k); string(e.Value) != "42" || e.Version != res.Version {
		u.Errorf("the key is %+v, want 42 at %v", e, res.Version)
	}
	u.wantAbsent(l)
}

func add(k api.Key, delta int64) api.Op { return api.Op{Kind: api.OpAdd, Key: k, Delta: delta} }

func appendOnce(k api.Key, v string) api.Op {
	return api.Op{Kind: api.OpAppendIfAbsent, Key: k, Value: []byte(v)}
}

func (u *suite) txnAdds() {
	k := u.key("k")
	res := u.do(&api.Txn{Then: []api.Op{add(k, -3)}})
	if e := res.Entries[0]; string(e.Value) != "-3" || !e.Exists || e.Version != res.Version {
		u.Errorf("an add to an absent key gave %+v at %v", e, res.Version)
	}
	const adders, adds = 4, 8
	var wg sync.WaitGroup
	for range adders {
		wg.Go(func() {
			for range adds {
				if _, err := u.store.Do(u.ctx, &api.Txn{Then: []api.Op{add(k, 2)}}); err != nil {
					u.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	u.wantValue(k, fmt.Sprint(-3+2*adders*adds))
}

func (u *suite) txnAppendsIfAbsent() {
	k := u.key("k")
	u.do(&api.Txn{Then: []api.Op{appendOnce(k, "<1>")}})
	two := u.do(&api.Txn{Then: []api.Op{appendOnce(k, "<21>"), appendOnce(k, "<2>"), appendOnce(k, "<21>")}})
	u.wantValue(k, "<1><21><2>")
	res := u.do(&api.Txn{Then: []api.Op{appendOnce(k, "<1>")}})
	u.wantCommitted(res, true)
	if e := res.Entries[0]; !e.Exists || e.Version != two.Version || u.read(k).Version != two.Version {
		u.Errorf("what was there already is at %+v, want it to stay at %v", e, two.Version)
	}
	u.wantValue(k, "<1><21><2>")
}

// txnRefusedByFunction checks that one step that cannot be carried out causes the whole transaction to be refused.
func (u *suite) txnRefusedByFunction() {
	a, b := u.key("a"), u.key("b")
	before := u.put(b, "word")
	t := &api.Txn{ID: u.nextID(), Then: []api.Op{{Kind: api.OpPut, Key: a, Value: []byte("x")}, add(b, 1)}}
	_, err := u.store.Do(u.ctx, t)
	u.wantCode(err, api.CodePreconditionFailed)
	u.wantAbsent(a)
	if e := u.read(b); e.Version != before {
		u.Errorf("a refused add left %+v, want version %v", e, before)
	}
	u.put(b, "41")
	u.do(t) // the refusal left no record
	u.wantValue(b, "42")
	full := make([]byte, api.MaxValueBytes)
	u.do(&api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: b, Value: full}}})
	_, err = u.store.Do(u.ctx, &api.Txn{Then: []api.Op{appendOnce(b, "x")}})
	u.wantCode(err, api.CodeTooLarge, fmt.Sprint(api.MaxValueBytes), fmt.Sprint(api.MaxValueBytes+1))
}

// onceAdds checks that an add that is sent again takes effect once and returns the same sum.
func (u *suite) onceAdds() {
	k := u.key("k")
	t := &api.Txn{ID: u.nextID(), Then: []api.Op{add(k, 7), appendOnce(u.key("l"), "<1>")}}
	u.do(t)
	u.do(&api.Txn{Then: []api.Op{add(k, 1)}})
	again := u.do(t)
	if !again.Replayed || len(again.Entries) != 2 || string(again.Entries[0].Value) != "7" {
		u.Errorf("the add was replayed as %+v", again)
	}
	u.wantValue(k, "8")
}
