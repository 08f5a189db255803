package group

import (
	"context"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestStore checks that the authority is a Store like any other.
func TestStore(t *testing.T) {
	l := newLog(t, nil, "a", "b", "c")
	t.Cleanup(l.close)
	a := l.node("a").authority
	storetest.RunLister(t, func(*testing.T) storetest.ListStore { return words.Plain{Store: a, Lister: a} }, storetest.Options{Time: true, Functions: true, Together: true})
}

// TestWrongGroup checks that requests for another group are refused.
func TestWrongGroup(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		r, ctx := l.node("a").authority, context.Background()
		_, err := words.Read(ctx, r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}, Group: "g.2"})
		wantCode(t, err, api.CodeWrongGroup)
		txn := put("k", "x")
		txn.Group = "g.2"
		_, err = r.Do(ctx, txn)
		wantCode(t, err, api.CodeWrongGroup)
		_, err = r.List(ctx, &words.ListRequest{Group: "g.2"})
		wantCode(t, err, api.CodeWrongGroup)
		wantCode(t, r.Release(ctx, "g.2", nil), api.CodeWrongGroup)
	})
}

// TestStatus checks that Status names the leader without waiting.
func TestStatus(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		e := l.edge("e")
		defer e.close()
		e.lease(l.node("a"), "k")
		status, sessions, leases := l.node("b").authority.Status()
		if status.Leader != "a" || status.Term != 1 || status.Applied == 0 || sessions != 1 || leases != 1 {
			t.Errorf("%+v, %d sessions, %d leases", status, sessions, leases)
		}
	})
}

// TestConfig checks that New requires the required fields.
func TestConfig(t *testing.T) {
	if _, err := New(Config{Group: "g.1", Node: "a"}); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("an authority without a machine: %v", err)
	}
}

// TestOwnersReadTakesLittle checks what a read of one key allocates if nothing is in its way: its answer, that is,
// the entry with its value, and the row's name in the table.
func TestOwnersReadTakesLittle(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(put("k", "v"))
		ctx, q := context.Background(), &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}}
		n := testing.AllocsPerRun(100, func() {
			if _, err := words.Read(ctx, a.authority, q); err != nil {
				t.Error(err)
			}
		})
		if n > 4 {
			t.Errorf("it allocates %v times", n)
		}
	})
}
