package cluster

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// TestNumberedAttempts (Attack 9): once the map gives nodes their numbers, an edge's transactions across groups commit as before, and
// another edge commits none of its attempts.
func TestNumberedAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		p := Planned{ClusterID: "test", Nodes: []PlannedNode{
			{ID: "s1", Region: "r", Role: api.RoleServer, Address: "s1"},
			{ID: "e1", Region: "r", Role: api.RoleEdge, Address: "e1"}, {ID: "e2", Region: "r", Role: api.RoleEdge, Address: "e2"},
		}}
		plan, err := Plan(p, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		nodes := map[api.NodeID]*Node{}
		for _, n := range p.Nodes {
			cfg := b.config(n.ID, n.Role)
			cfg.Static = plan
			nodes[n.ID] = b.open(cfg)
		}
		for _, n := range nodes {
			b.ready(n)
		}
		e1, e2 := nodes["e1"], nodes["e2"]
		for range 100 {
			if e1.membership.num() != 0 && nodes["s1"].mirror.Map().Level >= placement.LevelIdentity {
				break
			}
			time.Sleep(time.Second)
		}
		num := e1.membership.num()
		if num == 0 || num == e2.membership.num() {
			t.Fatalf("e1 has the number %d, e2 %d", num, e2.membership.num())
		}
		txn := &api.Txn{}
		groups := map[api.GroupID]bool{}
		for i := range 16 {
			k := api.Key(fmt.Sprint("k", i, "/x"))
			g, _, _ := plan.Locate(k)
			groups[g] = true
			txn.Then = append(txn.Then, api.Op{Kind: api.OpPut, Key: k, Value: []byte("v")})
		}
		if len(groups) < 2 {
			t.Fatal("the keys have one owner")
		}
		if res, err := e1.Store().Do(t.Context(), txn); err != nil || !res.Committed {
			t.Fatalf("a transaction of an edge across groups: %+v, %v", res, err)
		}
		seen, _ := ident.NextAttempt(0, num, 7)
		id := ident.TxnID{Client: api.ClientID{1}, Seq: 1, Attempt: seen, Decider: "r.1"}
		for from, denied := range map[*Node]bool{e1: false, e2: true} {
			_, err := remote.Node{Remote: from.pool.Remote("s1")}.Decide(t.Context(), &fsm.Decide{Txn: ident.TxnRef{ID: id}, Outcome: ident.TxnCommitted})
			if (api.CodeOf(err) == api.CodeDenied) != denied {
				t.Errorf("%s decides an attempt of e1: %v", from.ID(), err)
			}
		}
	})
}
