package leasecache

import (
	"container/list"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// zipf draws ranks from 0 with probability proportional to 1/(rank+1)^theta, also for theta below one.
type zipf struct {
	rng *rand.Rand
	sum []float64
}

func newZipf(rng *rand.Rand, n int, theta float64) *zipf {
	z := &zipf{rng: rng, sum: make([]float64, n)}
	total := 0.0
	for i := range n {
		total += 1 / math.Pow(float64(i+1), theta)
		z.sum[i] = total
	}
	return z
}

func (z *zipf) next() int {
	return sort.SearchFloat64s(z.sum, z.rng.Float64()*z.sum[len(z.sum)-1])
}

// lru is the ideal to compare with: one list over all keys, which admits everything.
type lru struct {
	limit int
	order *list.List
	at    map[int]*list.Element
}

func newLRU(limit int) *lru {
	return &lru{limit: limit, order: list.New(), at: map[int]*list.Element{}}
}

func (l *lru) read(k int) (hit bool) {
	if el := l.at[k]; el != nil {
		l.order.MoveToFront(el)
		return true
	}
	l.at[k] = l.order.PushFront(k)
	if l.order.Len() > l.limit {
		old := l.order.Back()
		delete(l.at, l.order.Remove(old).(int))
	}
	return false
}

// reader reads keys by number, through the whole cache.
type reader struct {
	*rig
	keys []api.Key
	req  api.ReadRequest
	res  api.ReadResult
}

func newReader(r *rig, n int) *reader {
	rd := &reader{rig: r, keys: make([]api.Key, n), req: api.ReadRequest{Keys: make([]api.Key, 1)}}
	order := rand.New(rand.NewPCG(7, 7)).Perm(n)
	for i := range rd.keys {
		rd.keys[i] = api.Key(fmt.Sprintf("a/key-%07d", order[i]))
		r.values[rd.keys[i]] = api.Entry{Value: []byte("value"), Exists: true, Version: api.Version{Epoch: 1, Index: 1}}
	}
	return rd
}

func (rd *reader) read(i int) (hit bool) {
	rd.req.Keys[0] = rd.keys[i]
	if err := rd.Read(rd.t.Context(), &rd.req, &rd.res); err != nil {
		rd.t.Fatal(err)
	}
	return rd.res.ServedBy == api.ServedByLease
}

// TestHitRate checks that at Zipf 0.99, with room for a tenth of the keys, leases serve at least 95 % of what an ideal
// LRU would.
func TestHitRate(t *testing.T) {
	const keys, room = 20_000, 2_000
	seeds, warm, reads := uint64(2), 200_000, 300_000
	if testing.Short() {
		seeds, warm, reads = 1, 80_000, 80_000
	}
	for seed := range seeds {
		bubble(t, func(t *testing.T, r *rig) {
			rd, ideal := newReader(r, keys), newLRU(room)
			z := newZipf(rand.New(rand.NewPCG(seed, 99)), keys, 0.99)
			mine, best := 0, 0
			for i := range warm + reads {
				if i%1000 == 0 {
					time.Sleep(100 * time.Millisecond)
					synctest.Wait()
					r.reads = nil
				}
				k := z.next()
				hit, want := rd.read(k), ideal.read(k)
				if i >= warm {
					mine, best = mine+btoi(hit), best+btoi(want)
				}
			}
			got, want := float64(mine)/float64(reads), float64(best)/float64(reads)
			t.Logf("seed %d: hit rate %.4f, ideal LRU %.4f: %.1f %%; %d grants, %d evictions, %d released", seed, got, want,
				100*got/want, r.meter.grants[installed].Load(), r.meter.evictions.Load(), r.meter.releases.Load())
			if got < 0.95*want {
				t.Errorf("seed %d: hit rate %.4f is under 95 %% of ideal LRU's %.4f", seed, got, want)
			}
			if _, n, _ := r.entries.room.size(); n > room {
				t.Errorf("%d entries are cached, over the limit of %d", n, room)
			}
		}, func(c *Config) { c.MaxEntries = room })
	}
}

// TestScan checks that reading a hundred times what fits, each key once or thrice, does not push out the keys that are
// read all the time.
func TestScan(t *testing.T) {
	const hot, room, scanned = 800, 1_000, 20_000
	for _, times := range []int{1, 3} {
		bubble(t, func(t *testing.T, r *rig) {
			rd := newReader(r, hot+scanned)
			for range 12 {
				for k := range hot {
					rd.read(k)
				}
			}
			cached := func() (n int) {
				for k := range hot {
					n += btoi(r.servable(rd.keys[k]))
				}
				return n
			}
			before := cached()
			for i := range scanned {
				for range times {
					rd.read(hot + i)
				}
				rd.read(i % hot) // the other reads go on
				if i%1000 == 0 {
					time.Sleep(100 * time.Millisecond)
				}
			}
			t.Logf("%d times: of %d hot keys %d were cached before the scan, %d after", times, hot, before, cached())
			if after := cached(); before < hot*95/100 || after < before*95/100 {
				t.Errorf("%d times: of %d hot keys %d were cached before the scan, %d after", times, hot, before, after)
			}
		}, func(c *Config) { c.MaxEntries = room })
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
