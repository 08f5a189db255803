package group

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// bubble runs f over a group on the nodes a, b and c, led by a, in a bubble of virtual time, and stops everything
// afterwards.
func bubble(t *testing.T, tune func(*Config), f func(t *testing.T, l *testLog)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, tune, "a", "b", "c")
		defer l.close()
		l.settle()
		f(t, l)
	})
}

// settle waits until the group is founded and everything under way has ended.
func (l *testLog) settle() {
	time.Sleep(time.Millisecond)
	synctest.Wait()
}

// edge returns an edge with a session at the present leader.
func (l *testLog) edge(name api.NodeID) *testEdge {
	e := newEdge(l, name)
	e.open(l.node(l.leader))
	return e
}

func put(k api.Key, v string) *words.Txn {
	return &words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: k, Value: []byte(v)}}}}
}

// write executes a write of the node itself within d, and returns the result and how long it took.
func (n *testNode) write(d time.Duration, txn *words.Txn) (*api.TxnResult, time.Duration, error) {
	return n.writeOf(context.Background(), d, txn)
}

// writeOf executes a write of the caller in ctx.
func (n *testNode) writeOf(ctx context.Context, d time.Duration, txn *words.Txn) (*api.TxnResult, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	began := time.Now()
	res, err := n.authority.Do(ctx, txn)
	return res, time.Since(began), err
}

func (n *testNode) mustWrite(txn *words.Txn) (*api.TxnResult, time.Duration) {
	n.log.t.Helper()
	return n.mustWriteOf(context.Background(), txn)
}

// mustWriteOf executes a write of the caller in ctx.
func (n *testNode) mustWriteOf(ctx context.Context, txn *words.Txn) (*api.TxnResult, time.Duration) {
	n.log.t.Helper()
	res, took, err := n.writeOf(ctx, time.Minute, txn)
	if err != nil {
		n.log.t.Errorf("write at %s: %v", n.name, err)
		return &api.TxnResult{}, took
	}
	return res, took
}

func (n *testNode) mustRead(k api.Key) api.Entry {
	n.log.t.Helper()
	res, err := words.Read(context.Background(), n.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{k}}})
	if err != nil {
		n.log.t.Fatal(err)
	}
	return res.Entries[0]
}

// lease makes the edge take a lease on each key.
func (e *testEdge) lease(n *testNode, keys ...api.Key) {
	e.t.Helper()
	for _, k := range keys {
		x, err := e.fetch(n, k)
		if err != nil || x.Lease == 0 {
			e.t.Errorf("no lease on %q: %+v, %v", k, x, err)
		}
	}
}

func wantCode(t *testing.T, err error, code api.Code) {
	t.Helper()
	if api.CodeOf(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

// within checks that got is between from and to.
func within(t *testing.T, what string, got, from, to time.Duration) {
	t.Helper()
	if got < from || got > to {
		t.Fatalf("%s took %v, want %v to %v", what, got, from, to)
	}
}

// grantorWait is W of the tests' sessions.
var grantorWait = words.GrantorWait(words.DefaultLeaseTerm, 0)

// only delays commands of one type.
func only[C fsm.Command](d time.Duration) func(fsm.Command) time.Duration {
	return func(c fsm.Command) time.Duration {
		if _, ok := c.(C); ok {
			return d
		}
		return 0
	}
}
