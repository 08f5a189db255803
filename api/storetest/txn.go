package storetest

import (
	"errors"
	"strconv"
	"sync"

	"github.com/edgehold/edgehold/api"
)

func (u *suite) condsAllHold() {
	a, b := u.key("a"), u.key("b")
	va := u.put(a, "A")
	both := []api.Cond{{Kind: api.CondVersion, Key: a, Version: va}, {Kind: api.CondExists, Key: b}}
	u.refused(putTxn(a, "A2", both...))
	u.put(b, "B")
	u.wantCommitted(u.do(putTxn(a, "A2", both...)), true)
	u.wantValue(a, "A2")
}

func (u *suite) txnIsAtomic() {
	a, b, c := u.key("a"), u.key("b"), u.key("c")
	u.put(b, "old")
	res := u.do(&api.Txn{
		If: []api.Cond{{Kind: api.CondAbsent, Key: a}},
		Then: []api.Op{
			{Kind: api.OpPut, Key: a, Value: []byte("A")}, {Kind: api.OpDelete, Key: b}, {Kind: api.OpPut, Key: c, Value: []byte("C")},
		},
	})
	u.wantCommitted(res, true)
	if len(res.Entries) != 3 {
		u.Fatalf("three steps gave %d entries", len(res.Entries))
	}
	for i, e := range u.readAll(a, b, c) {
		r := res.Entries[i]
		if r.Key != e.Key || r.Exists != e.Exists || r.Version != e.Version || len(r.Value) != 0 {
			u.Errorf("step %d returned %+v, but the key is %+v", i, r, e)
		}
		if e.Version != res.Version {
			u.Errorf("step %d has version %v, the transaction %v", i, e.Version, res.Version)
		}
	}
	u.wantValue(a, "A")
	u.wantAbsent(b)
	u.wantValue(c, "C")
}

func (u *suite) txnElse() {
	a, b := u.key("a"), u.key("b")
	t := &api.Txn{
		If:   []api.Cond{{Kind: api.CondExists, Key: a}},
		Then: []api.Op{{Kind: api.OpPut, Key: b, Value: []byte("then")}},
		Else: []api.Op{{Kind: api.OpPut, Key: a, Value: []byte("made")}, {Kind: api.OpPut, Key: b, Value: []byte("else")}},
	}
	res := u.do(t)
	u.wantCommitted(res, false)
	if len(res.Entries) != 2 || res.Entries[0].Key != a || res.Entries[1].Key != b || !res.Entries[0].Exists {
		u.Fatalf("else gave %+v, want one entry a step", res.Entries)
	}
	u.wantValue(a, "made")
	u.wantValue(b, "else")
	res = u.do(t)
	u.wantCommitted(res, true)
	if len(res.Entries) != 1 {
		u.Fatalf("then gave %+v, want one entry", res.Entries)
	}
	u.wantValue(b, "then")
}

func (u *suite) txnGets() {
	a, b, c := u.key("a"), u.key("b"), u.key("c")
	va := u.put(a, "A")
	res := u.do(&api.Txn{Then: []api.Op{
		{Kind: api.OpGet, Key: a}, {Kind: api.OpGet, Key: b}, {Kind: api.OpPut, Key: c, Value: []byte("C")},
	}})
	u.wantCommitted(res, true)
	if len(res.Entries) != 3 {
		u.Fatalf("three steps gave %d entries", len(res.Entries))
	}
	if e := res.Entries[0]; !e.Exists || string(e.Value) != "A" || e.Version != va {
		u.Errorf("get gave %+v, want A at %v", e, va)
	}
	if e := res.Entries[1]; e.Exists || len(e.Value) != 0 {
		u.Errorf("get of an absent key gave %+v", e)
	}
	if e := u.read(a); e.Version != va {
		u.Errorf("a get changed the version from %v to %v", va, e.Version)
	}
}

// txnMovesMoney moves units between two keys from many goroutines. Their sum never changes.
func (u *suite) txnMovesMoney() {
	const total, movers, moves = 100, 4, 8
	a, b := u.key("a"), u.key("b")
	u.do(&api.Txn{Then: []api.Op{
		{Kind: api.OpPut, Key: a, Value: []byte(strconv.Itoa(total))}, {Kind: api.OpPut, Key: b, Value: []byte("0")},
	}})
	var wg sync.WaitGroup
	for i := range movers {
		wg.Go(func() {
			for done := 0; done < moves; {
				ok, err := u.move(a, b, 1+i)
				if err != nil {
					u.Error(err)
					return
				}
				if ok {
					done++
				}
			}
		})
	}
	wg.Wait()
	es := u.readAll(a, b)
	na, _ := strconv.Atoi(string(es[0].Value))
	nb, _ := strconv.Atoi(string(es[1].Value))
	if want := moves * (1 + 2 + 3 + 4); na+nb != total || nb != want {
		u.Fatalf("a = %d, b = %d, want b = %d and the sum %d", na, nb, want, total)
	}
}

// move takes n from one key and adds it to the other. It returns false if another goroutine changed a key first.
func (u *suite) move(from, to api.Key, n int) (bool, error) {
	res, err := Read(u.ctx, u.store, &api.ReadRequest{Keys: []api.Key{from, to}})
	if err != nil {
		return false, err
	}
	t := &api.Txn{ID: u.nextID()}
	for i, e := range res.Entries {
		have, err := strconv.Atoi(string(e.Value))
		if err != nil {
			return false, errors.New("not a number: " + string(e.Value))
		}
		have += n * (2*i - 1)
		t.If = append(t.If, api.Cond{Kind: api.CondVersion, Key: e.Key, Version: e.Version})
		t.Then = append(t.Then, api.Op{Kind: api.OpPut, Key: e.Key, Value: []byte(strconv.Itoa(have))})
	}
	done, err := u.store.Do(u.ctx, t)
	if err != nil {
		return false, err
	}
	return done.Committed, nil
}
