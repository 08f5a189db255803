package txn

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestManyKeysAtOneInstant checks that a transaction which names more keys than one read has answers their state at one instant: with
// their values if it only reads, and with their versions if its conditions do not hold.
func TestManyKeysAtOneInstant(t *testing.T) {
	const first, last = api.Key("eu/k0000"), api.Key("us/k0749")
	gets, tests := &words.Txn{}, &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/never", "1")}}}
	for _, region := range []string{"eu", "us"} {
		for i := range 750 {
			k := api.Key(fmt.Sprintf("%s/k%04d", region, i))
			gets.Then = append(gets.Then, getOp(k))
			tests.If = append(tests.If, api.Cond{Kind: api.CondAbsent, Key: k})
		}
	}
	type pair [2]api.Version
	inWorld(t, 1, func(t *testing.T, w *world) {
		g, other := w.gateway("us"), w.gateway("eu")
		reads := 0 // of the gateway's own group, one at a time
		g.line.point = func(p point) error {
			if p.kind == "read" && p.group == "us.1" && !p.after {
				reads++
				time.Sleep(time.Duration(reads*37%100) * time.Millisecond) // in no step with the writer
			}
			return nil
		}
		made := map[pair]bool{}
		write := func(n int) {
			v := fmt.Sprint(n)
			res, err := other.Do(within(t, time.Minute), &words.Txn{Txn: api.Txn{Then: []api.Op{putOp(first, v), putOp(last, v)}}})
			if err != nil {
				t.Error(err)
				return
			}
			made[pair{res.Entries[0].Version, res.Entries[1].Version}] = true
		}
		write(0)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					write(n)
				}
			}
		})
		var seen []pair
		for range 4 {
			for _, txn := range []*words.Txn{gets, tests} {
				res, err := g.Do(within(t, time.Minute), txn)
				if err != nil || len(res.Entries) != len(gets.Then) || res.Committed != (txn == gets) {
					t.Errorf("%v", err)
					continue
				}
				a, b := res.Entries[0], res.Entries[len(res.Entries)-1]
				if a.Key != first || b.Key != last || txn == gets && string(a.Value) != string(b.Value) || txn == tests && len(a.Value) > 0 {
					t.Errorf("it answers %+v and %+v", a, b)
				}
				seen = append(seen, pair{a.Version, b.Version})
			}
		}
		close(stop)
		wg.Wait()
		for _, p := range seen {
			if !made[p] {
				t.Errorf("the versions %v are of no one transaction", p)
			}
		}
		w.settled(20 * q)
	})
}
