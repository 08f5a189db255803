package remote

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestScope (Attack 10): an edge with the scope shop/ reads, lists, writes and prepares keys below it alone. The owner judges: every
// key of a request counts, in whatever part it stands, and every key that a range could have.
func TestScope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		g.Participant = &deciding{}
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		edge := w.start("edge-1", config{ServerConfig: peer.ServerConfig{Role: api.RoleEdge}})
		defer edge.close()
		edge.num = w.Admit("edge-1", api.RoleEdge, "shop/", "carts/").Num
		n := edge.node("s")

		read := func(keys ...api.Key) error {
			_, err := words.Read(t.Context(), n, &words.ReadRequest{Group: "g", ReadRequest: api.ReadRequest{Keys: keys}})
			return err
		}
		list := func(r api.Range, also ...api.Range) error {
			q := &words.ListRequest{Group: "g", ListRequest: api.ListRequest{Range: r, Limit: 1}}
			for _, r := range also {
				q.Also = append(q.Also, api.ListPart{Range: r, Limit: 1})
			}
			_, err := n.List(t.Context(), q)
			return err
		}
		put := func(k api.Key) []api.Op { return []api.Op{{Kind: api.OpPut, Key: k}} }
		do := func(x api.Txn) error {
			_, err := n.Do(t.Context(), &words.Txn{Group: "g", Txn: x})
			return err
		}
		large := put("shop/large")
		large[0].Value = make([]byte, peer.MaxCallBytes) // it is called as a method
		vote := func(conds []api.Cond, ops []api.Op) func() error {
			return func() error {
				_, err := n.Prepare(t.Context(), &fsm.Prepare{Group: "g", Txn: ident.TxnRef{ID: edge.attempt(1, "g")}, If: conds, Then: ops}, nil, false)
				return err
			}
		}
		last := func(k api.Key) error {
			_, err := n.CommitLast(t.Context(), &fsm.CommitLast{Txn: ident.TxnRef{ID: edge.attempt(1, "g")}, Then: put(k)}, nil)
			return err
		}
		exists := func(k api.Key) []api.Cond { return []api.Cond{{Key: k, Kind: api.CondExists}} }
		for _, c := range []struct {
			name    string
			allowed bool
			call    func() error
		}{
			{"a read below it", true, func() error { return read("shop/1", "shop/", "carts/2") }},
			{"a read of shop", false, func() error { return read("shop") }},
			{"a read of shop0", false, func() error { return read("shop0") }},
			{"a read of two", false, func() error { return read("shop/1", "secret/1") }},
			{"a list below it", true, func() error { return list(api.PrefixRange("shop/")) }},
			{"a list of a part", true, func() error { return list(api.Range{Start: "shop/a", End: "shop/b"}) }},
			{"a list across its end", false, func() error { return list(api.Range{Start: "shop/a", End: "shop1"}) }},
			{"a list across its beginning", false, func() error { return list(api.Range{Start: "shop", End: "shop/b"}) }},
			{"a list without an end", false, func() error { return list(api.Range{Start: "shop/a"}) }},
			{"a list of all", false, func() error { return list(api.Range{}) }},
			{"a list across both prefixes", false, func() error { return list(api.Range{Start: "carts/", End: "shop/b"}) }},
			{"lists below it", true, func() error { return list(api.PrefixRange("shop/"), api.PrefixRange("shop/a")) }},
			{"lists of which one is beside it", false, func() error { return list(api.PrefixRange("shop/"), api.PrefixRange("secret/")) }},
			{"a write below it", true, func() error { return do(api.Txn{Then: put("shop/1")}) }},
			{"a large write below it", true, func() error { return do(api.Txn{Then: large}) }},
			{"a write of shop0", false, func() error { return do(api.Txn{Then: put("shop0")}) }},
			{"a condition beside it", false, func() error { return do(api.Txn{If: exists("secret/1"), Then: put("shop/1")}) }},
			{"another branch beside it", false, func() error { return do(api.Txn{If: exists("shop/1"), Then: put("shop/1"), Else: put("secret/1")}) }},
			{"a large write beside it", false, func() error { return do(api.Txn{Then: append(put("secret/1"), large...)}) }},
			{"a prepare below it", true, vote(exists("shop/1"), put("shop/2"))},
			{"a prepare beside it", false, vote(nil, put("secret/2"))},
			{"a prepare with a condition beside it", false, vote(exists("secret/1"), put("shop/2"))},
			{"a last commit below it", true, func() error { return last("shop/1") }},
			{"a last commit beside it", false, func() error { return last("secret/1") }},
		} {
			err := c.call()
			if !c.allowed {
				if e := api.AsError(err); e.Code != api.CodeDenied || !strings.Contains(e.Hint, "edge-1 serves shop/, carts/ only: ask another node") {
					t.Errorf("%s: %v", c.name, err)
				}
			} else if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if err := (Store{g.only}).Read(context.Background(), &words.ReadRequest{Group: "g", ReadRequest: api.ReadRequest{Keys: []api.Key{"secret/1"}}}, new(words.ReadResult)); err != nil {
			t.Errorf("a node without a scope: %v", err)
		}
	})
}
