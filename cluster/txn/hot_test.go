package txn

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestHotKeys: a hundred clients in two regions, each transaction of which locks two of ten keys: all get through, the slowest
// in not much more than it takes to have everybody before it served one after the other.
func TestHotKeys(t *testing.T) {
	const clients, each, patience = 100, 3, 30 * time.Second
	inWorld(t, 1, func(t *testing.T, w *world) {
		var busy sync.WaitGroup
		var mu sync.Mutex
		var slowest time.Duration
		for i := range clients {
			g := w.gateway([]string{"us", "eu"}[i%2], func(c *Config) { c.Rand = nil })
			busy.Go(func() {
				r := rand.New(rand.NewPCG(1, uint64(i)))
				for range each {
					us, eu := api.Key(fmt.Sprintf("us/hot%d", r.IntN(5))), api.Key(fmt.Sprintf("eu/hot%d", r.IntN(5)))
					began := time.Now()
					if _, err := g.Do(within(t, patience), &api.Txn{Then: []api.Op{addOp(us, 1), addOp(eu, 1)}}); err != nil {
						t.Errorf("client %d: %v", i, err)
					}
					mu.Lock()
					slowest = max(slowest, time.Since(began))
					mu.Unlock()
				}
			})
		}
		began := time.Now()
		busy.Wait()
		t.Logf("%d transactions in %v, the slowest in %v", clients*each, time.Since(began), slowest)
		w.settled(20 * q)
		for _, region := range []string{"us", "eu"} {
			sum := 0
			for i := range 5 {
				var n int
				if _, err := fmt.Sscan(w.value(api.Key(fmt.Sprintf("%s/hot%d", region, i))), &n); err != nil {
					t.Error(err)
				}
				sum += n
			}
			if sum != clients*each {
				t.Errorf("%s counts %d", region, sum)
			}
		}
	})
}
