package integration

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestTransferAcrossRegions: a transaction over two regions commits in both, is seen whole from everywhere, and costs one
// round trip to the farther of them; a cached snapshot of both costs none.
func TestTransferAcrossRegions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlanet(t, 1, 1)
		defer p.close()
		us, eu := api.Key("us-east/alice"), api.Key("eu-west/bob")
		edge := p.byName["us-east-edge-1"].store0()
		commit := func(txn *api.Txn) (*api.TxnResult, time.Duration) {
			t.Helper()
			began := time.Now()
			res, err := edge.Do(within(t, 5*time.Second), txn)
			if err != nil {
				t.Fatal(err)
			}
			return res, time.Since(began)
		}
		commit(&api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: us, Value: []byte("100")}, {Kind: api.OpPut, Key: eu, Value: []byte("100")}}})
		for i := range 3 {
			res, took := commit(&api.Txn{Then: []api.Op{{Kind: api.OpAdd, Key: us, Delta: -10}, {Kind: api.OpAdd, Key: eu, Delta: 10}}})
			if want := fmt.Sprint(90 - 10*i); !res.Committed || string(res.Entries[0].Value) != want {
				t.Errorf("transfer %d: %+v", i, res)
			}
			t.Logf("transfer in %v", took)
		}
		for _, at := range p.gateways() {
			res, err := storetest.Read(within(t, 5*time.Second), at.store0(), &api.ReadRequest{Keys: []api.Key{us, eu}, Snapshot: true})
			if err != nil || !res.Snapshot || string(res.Entries[0].Value) != "70" || string(res.Entries[1].Value) != "130" {
				t.Errorf("%s sees %+v, %v", at.name, res, err)
			}
		}
		for range 5 { // leases pay by now
			began := time.Now()
			res, err := storetest.Read(within(t, 5*time.Second), edge, &api.ReadRequest{Keys: []api.Key{us, eu}, Snapshot: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("snapshot in %v by %v", time.Since(began), res.ServedBy)
		}
	})
}

// TestTransfersAtOnce: transfers at once, between the same accounts, from every region, neither lose nor make money.
func TestTransfersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlanet(t, 2, 1)
		defer p.close()
		keys := []api.Key{"us-east/a", "eu-west/a", "ap-south/a"}
		var all []api.Op
		for _, k := range keys {
			all = append(all, api.Op{Kind: api.OpPut, Key: k, Value: []byte("100")})
		}
		if _, err := p.byName["us-east-edge-1"].store0().Do(within(t, 5*time.Second), &api.Txn{Then: all}); err != nil {
			t.Fatal(err)
		}
		var clients sync.WaitGroup
		for i, at := range p.gateways() {
			clients.Go(func() {
				for n := range 4 {
					from, to := keys[(i+n)%3], keys[(i+n+1)%3]
					_, err := at.store0().Do(within(t, 30*time.Second), &api.Txn{Then: []api.Op{
						{Kind: api.OpAdd, Key: from, Delta: -1}, {Kind: api.OpAdd, Key: to, Delta: 1},
					}})
					if err != nil {
						t.Errorf("%s: %v", at.name, err)
					}
				}
			})
		}
		clients.Wait()
		res, err := storetest.Read(within(t, 5*time.Second), p.byName["eu-west-edge-1"].store0(), &api.ReadRequest{Keys: keys, Snapshot: true})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, e := range res.Entries {
			var n int
			if _, err := fmt.Sscan(string(e.Value), &n); err != nil {
				t.Errorf("%q: %v", e.Key, err)
			}
			sum += n
		}
		if sum != 300 {
			t.Errorf("the sum is %d: %+v", sum, res.Entries)
		}
		t.Logf("after %v", time.Since(epoch))
		time.Sleep(2 * time.Second)
		for _, h := range p.hosts {
			if n := h.running(); n != nil && h.role == api.RoleServer {
				for _, g := range p.groups() {
					if m := n.Machine(g); m != nil && (m.Meta().Prepared > 0 || m.Meta().Unresolved > 0) {
						t.Errorf("%s, %s: %+v", h.name, g, m.Meta())
					}
				}
			}
		}
	})
}
