package integration

import (
	"context"
	"fmt"
	"strconv"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/integration/history"
)

// transfer moves money between two accounts: reads both, tests their versions, writes both.
func (c *txnClient) transfer(ctx context.Context) {
	from, to := c.twoAccounts()
	both, ok := c.read(ctx, from, to)
	if !ok || c.at.store() == nil {
		return
	}
	n := int64(1 + c.rand.IntN(9))
	txn := tests(both)
	for i, delta := range []int64{-n, n} {
		have, _ := strconv.ParseInt(string(both[i].Value), 10, 64)
		txn.Then = append(txn.Then, api.Op{Kind: api.OpPut, Key: both[i].Key, Value: strconv.AppendInt(nil, have+delta, 10)})
	}
	if c.rand.IntN(2) == 0 {
		txn.ID = c.request()
	}
	_, _ = c.do(ctx, txn, saws(both)...)
}

// transferAdds moves money by functions, which read nothing.
func (c *txnClient) transferAdds(ctx context.Context) {
	from, to := c.twoAccounts()
	n := int64(1 + c.rand.IntN(9))
	_, _ = c.do(ctx, &api.Txn{Then: []api.Op{
		{Kind: api.OpAdd, Key: from, Delta: -n}, {Kind: api.OpAdd, Key: to, Delta: n},
	}})
}

func (c *txnClient) twoAccounts() (from, to api.Key) {
	i := c.rand.IntN(len(accounts))
	j := (i + 1 + c.rand.IntN(len(accounts)-1)) % len(accounts)
	return accounts[i], accounts[j]
}

// tests is a transaction that tests the versions of what was read.
func tests(saw []api.Entry) *api.Txn {
	t := &api.Txn{}
	for _, e := range saw {
		t.If = append(t.If, api.Cond{Kind: api.CondVersion, Key: e.Key, Version: e.Version})
	}
	return t
}

// skew gives one key of a pair up, if the other is not, or takes it back. What it tests it often holds a lease on.
func (c *txnClient) skew(ctx context.Context) {
	p := pairs[c.rand.IntN(len(pairs))]
	own := c.rand.IntN(2)
	both, ok := c.read(ctx, p[0], p[1])
	if !ok || c.at.store() == nil {
		return
	}
	if string(both[own].Value) == "0" {
		_, _ = c.do(ctx, put(p[own], "1"))
		return
	}
	if string(both[1-own].Value) != "1" {
		return
	}
	txn := tests(both)
	txn.Then = put(p[own], "0").Then
	_, _ = c.do(ctx, txn, saws(both)...)
}

// fork writes one key of a group, without reading.
func (c *txnClient) fork(ctx context.Context) {
	group := forks[c.rand.IntN(len(forks))]
	_, _ = c.do(ctx, put(group[c.rand.IntN(len(group))], fmt.Sprintf("f%d", c.unique.Add(1))))
}

// append appends one element to each list.
func (c *txnClient) append(ctx context.Context) {
	element := fmt.Sprintf("<%d>%s", c.unique.Add(1), history.Separator)
	txn := &api.Txn{ID: c.request()}
	for _, k := range lists {
		txn.Then = append(txn.Then, api.Op{Kind: api.OpAppendIfAbsent, Key: k, Value: []byte(element)})
	}
	_, _ = c.do(ctx, txn)
}

// count adds to two or three counters, once, and may read the third.
func (c *txnClient) count(ctx context.Context) {
	txn := &api.Txn{ID: c.request()}
	left := c.rand.IntN(len(counters) + 1) // out, if it is one of them
	for i, k := range counters {
		if i != left {
			txn.Then = append(txn.Then, api.Op{Kind: api.OpAdd, Key: k, Delta: int64(1 + c.rand.IntN(9))})
		} else if c.rand.IntN(2) == 0 { // a repetition returns what was read then
			txn.Then = append(txn.Then, api.Op{Kind: api.OpGet, Key: k})
		}
	}
	_, _ = c.do(ctx, txn)
}

// create creates one key of a set, if none of them is there.
func (c *txnClient) create(ctx context.Context) {
	n := c.phantoms.Load()
	set := phantomSet(n)
	saw, ok := c.read(ctx, set...)
	if !ok || c.at.store() == nil {
		return
	}
	if saw[0].Exists || saw[1].Exists {
		c.phantoms.CompareAndSwap(n, n+1)
		return
	}
	txn := put(set[c.rand.IntN(2)], fmt.Sprintf("p%d", c.unique.Add(1)))
	for _, k := range set {
		txn.If = append(txn.If, api.Cond{Kind: api.CondAbsent, Key: k})
	}
	if c.rand.IntN(2) == 0 {
		txn.ID = c.request()
	}
	_, _ = c.do(ctx, txn, saws(saw)...)
}

// branch takes a flag down or puts it up, and notes elsewhere which of the two it did.
func (c *txnClient) branch(ctx context.Context) {
	n := c.unique.Add(1)
	value := fmt.Appendf(nil, "b%d", n)
	txn := &api.Txn{
		If:   []api.Cond{{Kind: api.CondExists, Key: branches[1]}},
		Then: []api.Op{{Kind: api.OpDelete, Key: branches[1]}, {Kind: api.OpPut, Key: branches[2], Value: value}, {Kind: api.OpGet, Key: branches[0]}},
		Else: []api.Op{{Kind: api.OpPut, Key: branches[1], Value: value}, {Kind: api.OpPut, Key: branches[0], Value: value}},
	}
	if c.rand.IntN(2) == 0 {
		txn.ID = c.request()
	}
	// Which branch an unknown outcome was of is unknown, too: at most one of the two happened.
	either, or := c.record.BeginTxn(asked(txn.Then)...), c.record.BeginTxn(asked(txn.Else)...)
	res, err := c.send(ctx, txn)
	c.end(either, nil, txn.Then, res, err, true)
	c.end(or, nil, txn.Else, res, err, false)
}
