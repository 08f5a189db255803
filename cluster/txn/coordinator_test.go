package txn

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// TestStore checks that a coordinator passes the suite of all Stores. The keys are one group's, or are spread over
// several groups, so that nearly every transaction goes across them.
func TestStore(t *testing.T) {
	for _, groups := range []int{1, 3} {
		for _, c := range storetest.Cases(storetest.Options{Time: true, Functions: true}) {
			t.Run(fmt.Sprintf("%d groups/%s", groups, c.Name), func(t *testing.T) {
				inWorld(t, groups, func(t *testing.T, w *world) {
					g := w.gateway("us")
					c.Run(t, words.Plain{Store: g})
					time.Sleep(time.Second)
					w.settled(20 * q)
					if across := g.counts.of("edgehold_txn_total m2 ok"); groups == 1 && across > 0 {
						t.Errorf("%v transactions across one group", across)
					}
				})
			})
		}
	}
}

// leasedOn adds to the transaction a condition, covered by a lease that holds, that a far key is absent. M2 then
// commits the transaction.
func leasedOn(tx *words.Txn, far api.Key) *words.Txn {
	tx.Leased, tx.LeasesHeld = append(tx.Leased, len(tx.If)), func() bool { return true }
	tx.If = append(tx.If, api.Cond{Kind: api.CondAbsent, Key: far})
	return tx
}

// TestModes checks that what one group owns passes through, that a near and a far group alone commit in the far group,
// and that a near group decides all other transactions. Each takes the time that its messages need.
func TestModes(t *testing.T) {
	for _, c := range []struct {
		mode  string
		took  time.Duration
		txn   *words.Txn
		reads bool
	}{
		{"m1", q, &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("us/b", "1")}}}, false},
		{"m3", 2 * q, &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/b", "1")}}}, false},
		{"m2", 2 * q, leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/b", "1")}}}, "eu/far"), false},
		{"read", 2 * q, &words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpGet, Key: "us/a"}, {Kind: api.OpGet, Key: "eu/b"}}}}, true},
	} {
		inWorld(t, 1, func(t *testing.T, w *world) {
			g := w.gateway("us")
			began := time.Now()
			res, err := g.Do(within(t, 5*time.Second), c.txn)
			if err != nil || !res.Committed || g.counts.of("edgehold_txn_total "+c.mode+" ok") != 1 {
				t.Errorf("%s: %+v, %v, %v", c.mode, res, err, g.counts.n)
			}
			if took := time.Since(began); took > c.took+20*time.Millisecond {
				t.Errorf("%s took %v", c.mode, took)
			}
			w.settled(4 * q)
			if w.value("us/a") != "1" != c.reads {
				t.Errorf("%s: %q", c.mode, w.value("us/a"))
			}
		})
	}
}

// TestLeasesThatBreak checks that a condition under a lease is validated in its group if the lease has not held until
// everything was locked.
func TestLeasesThatBreak(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		tx := leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}}, "eu/far")
		tx.LeasesHeld = func() bool { return false }
		if res, err := g.Do(within(t, 5*time.Second), tx); err != nil || !res.Committed || g.counts.of("edgehold_txn_retries_total lease") != 1 {
			t.Errorf("%+v, %v, %v", res, err, g.counts.n)
		}
		p, err := g.Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("eu/far", "there now")}}})
		if err != nil || !p.Committed {
			t.Fatal(err)
		}
		if res, err := g.Do(within(t, 5*time.Second), tx); err != nil || res.Committed || !res.Entries[0].Exists {
			t.Errorf("the lease said so, and it was not: %+v, %v", res, err)
		}
		w.settled(20 * q)
		if w.value("us/a") != "1" || w.value("eu/a") != "1" {
			t.Errorf("%q and %q", w.value("us/a"), w.value("eu/a"))
		}
	})
}

// TestLeasesAreAskedAfterLocks runs two transactions at once, each of which has read under a lease what the other
// writes. One of them must find that its condition no longer holds. The leases here act like real ones: a prepare ends
// them.
func TestLeasesAreAskedAfterLocks(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		held := func(k api.Key) func() bool {
			return func() bool {
				g, _, _ := w.m.Locate(k)
				m := w.groups[g].machine
				es, _, err := m.Read([]api.Key{k})
				return err == nil && !es[0].Exists && len(m.Intents([]api.Key{k})) == 0
			}
		}
		results := make(chan *api.TxnResult)
		for region, keys := range map[string][2]api.Key{"us": {"us/duty", "eu/duty"}, "eu": {"eu/duty", "us/duty"}} {
			tx := leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{putOp(keys[0], "off"), putOp("us/log-"+api.Key(region), "x"), putOp("eu/log-"+api.Key(region), "x")}}}, keys[1])
			tx.LeasesHeld = held(keys[1])
			g := w.gateway(region)
			go func() {
				res, err := g.Do(within(t, 20*time.Second), tx)
				if err != nil {
					t.Error(err)
					res = &api.TxnResult{}
				}
				results <- res
			}()
		}
		if one, two := <-results, <-results; one.Committed == two.Committed {
			t.Errorf("%+v and %+v", one, two)
		}
		w.settled(20 * q)
	})
}

// TestBranches runs if, then and else over two groups, in every state.
func TestBranches(t *testing.T) {
	txn := func(id api.RequestID) *words.Txn {
		return &words.Txn{Txn: api.Txn{ID: id,
			If:   []api.Cond{{Kind: api.CondExists, Key: "us/flag"}, {Kind: api.CondValue, Key: "eu/flag", Value: []byte("up")}},
			Then: []api.Op{addOp("us/then", 1), {Kind: api.OpDelete, Key: "eu/flag"}},
			Else: []api.Op{putOp("us/flag", "up"), putOp("eu/flag", "up"), addOp("eu/else", 1), {Kind: api.OpGet, Key: "us/then"}}},
		}
	}
	inWorld(t, 1, func(t *testing.T, w *world) {
		g, other := w.gateway("us"), w.gateway("eu")
		for i := range 6 {
			id := api.RequestID{}
			if i >= 2 {
				id = requestOf(byte(i))
			}
			res, err := g.Do(within(t, 5*time.Second), txn(id))
			if err != nil || res.Committed != (i%2 == 1) || len(res.Entries) != 4-2*(i%2) {
				t.Fatalf("%d: %+v, %v", i, res, err)
			}
			if i < 2 {
				continue
			}
			again, err := other.Do(within(t, 5*time.Second), txn(id))
			if err != nil || !again.Replayed || again.Committed != res.Committed || again.Entries[0].Version != res.Entries[0].Version {
				t.Errorf("%d, again: %+v, %v", i, again, err)
			}
		}
		w.settled(20 * q)
		if w.value("us/then") != "3" || w.value("eu/else") != "3" || w.value("eu/flag") != "" {
			t.Errorf("then %q, else %q, flag %q", w.value("us/then"), w.value("eu/else"), w.value("eu/flag"))
		}
	})
}

// TestConfig checks that a missing field is reported.
func TestConfig(t *testing.T) {
	if _, err := New(Config{}); api.CodeOf(err) != api.CodeInvalid {
		t.Error(err)
	}
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us", func(c *Config) { c.DedupEpoch = nil })
		_, err := g.Do(within(t, time.Second), &words.Txn{Txn: api.Txn{ID: requestOf(1), Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}})
		if api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("without an epoch: %v", err)
		}
		none := w.gateway("us", func(c *Config) { c.Map = func() *placement.Map { return nil } })
		if _, err := none.Do(within(t, time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("us/b", "1")}}}); err != nil {
			t.Errorf("without a map the store behind is asked: %v", err)
		}
	})
}
