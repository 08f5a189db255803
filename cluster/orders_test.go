package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestRandomOrders: orders to remove, leave, drain, undrain and replace come at random, also forced, while servers die and come back.
// No order takes the living majority of a group away: as long as the deaths alone leave one, every group serves. Attack 42.
func TestRandomOrders(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomOrders(t, rand.New(rand.NewPCG(seed, 42))) })
		})
	}
}

func randomOrders(t *testing.T, rng *rand.Rand) {
	f := newFleet(t, "s1", "s2", "s3", "s4", "s5")
	put(t, f.nodes["s1"], "k", "v")
	next, counts := 6, map[string]int{}
	for step := range 25 {
		living := f.living()
		if len(living) < 4 || rng.IntN(6) == 0 {
			f.start(api.NodeID(fmt.Sprint("s", next)))
			next++
			continue
		}
		at := f.nodes[living[rng.IntN(len(living))]]
		node := living[rng.IntN(len(living))]
		switch rng.IntN(3) {
		case 0: // a server dies, if every group outlives that
			if f.outlives(node) {
				f.fabric.Isolate(string(node))
				delete(f.nodes, node)
				counts["die"]++
				time.Sleep(time.Duration(rng.IntN(20)) * time.Second)
			}
		default:
			known := at.membership.view.Map().Nodes
			node = known[rng.IntN(len(known))].ID
			what := f.randomOrder(rng, at, node)
			counts[what]++
			time.Sleep(time.Duration(rng.IntN(30)) * time.Second)
		}
		if !f.serves() {
			t.Fatalf("step %d: a group has lost its majority; voters %q, of meta %q; living %v; %v", step, f.voters("r.1"), f.voters("meta"), f.living(), counts)
		}
	}
	t.Logf("%v", counts)
	if counts["refused"] == 0 || counts["done"] < 5 || counts["die"] == 0 {
		t.Errorf("too little was tried: %v", counts)
	}
}

// randomOrder gives an order, and returns what became of it.
func (f *fleet) randomOrder(rng *rand.Rand, at *Node, node api.NodeID) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var err error
	force := rng.IntN(3) == 0
	switch rng.IntN(5) {
	case 0:
		_, err = at.Remove(ctx, node, force)
	case 1:
		_, err = at.Leave(ctx, node, force)
	case 2:
		_, err = at.Drain(ctx, node, 0)
	case 3:
		_, err = at.Undrain(ctx, node)
	case 4:
		living := f.living()
		_, err = at.Replace(ctx, node, living[rng.IntN(len(living))], force)
	}
	if err != nil {
		return "refused"
	}
	return "done"
}

// living are the servers that run and were not removed.
func (f *fleet) living() (ids []api.NodeID) {
	for id, n := range f.nodes {
		if f.removed.of(id) == nil && n.membership.refusedWhy() == "" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// outlives reports whether each group has a living majority without the node, now and with the voters that it is to have.
func (f *fleet) outlives(node api.NodeID) bool {
	for _, n := range f.nodes {
		for _, x := range n.members.all() {
			if !x.raft.IsLeader() {
				continue
			}
			g, ok := n.membership.view.Map().Group(x.group)
			members, _ := x.raft.Members()
			var voters []api.NodeID
			for _, m := range members {
				if m.Voter {
					voters = append(voters, api.NodeID(m.Node))
				}
			}
			if !ok || !f.majority(voters, node) || !f.majority(g.Voters, node) {
				return false
			}
		}
	}
	return f.serves()
}

func (f *fleet) majority(voters []api.NodeID, without api.NodeID) bool {
	n := 0
	for _, v := range voters {
		if f.nodes[v] != nil && v != without {
			n++
		}
	}
	return n > len(voters)/2
}

// serves reports whether a write and a change of the map succeed within a minute.
func (f *fleet) serves() bool {
	for range 60 {
		for _, id := range f.living() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_, err := f.nodes[id].Store().Do(ctx, &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte("w")}}})
			if err == nil {
				_, err = f.nodes[id].changes.Get(ctx)
			}
			cancel()
			if err == nil {
				return true
			}
		}
		time.Sleep(time.Second)
	}
	return false
}
