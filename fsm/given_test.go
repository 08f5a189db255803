package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
)

// gives has the machine remember that the group gave the ranges up, one after the other.
func gives(t testing.TB, m *Machine, ranges []api.Range) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.engine.NewBatch()
	defer b.Discard()
	var key rowKey
	for i, r := range ranges {
		x := left{at: uint64(i) + 2, since: 1, epoch: 1, Receipt: Receipt{
			Range: r, Epoch: uint64(i) + 2, To: []api.GroupID{"g.2"}, From: []Source{{m.meta.Group, 0, 1}},
		}}
		if err := b.Set(key.moved(r.Start, x.Epoch), x.row(Level2)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	m.forgetReceipts()
}

// TestReceiptsOfARange: of receipts of ranges that are anywhere, those that overlap a range are found, and no others.
func TestReceiptsOfARange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	bound := func() api.Key { return api.Key(fmt.Sprintf("%02d", rng.IntN(60))) }
	some := func() (r api.Range) {
		for r = (api.Range{Start: bound(), End: bound()}); r.End <= r.Start; r.End = bound() {
			if rng.IntN(20) == 0 {
				return api.Range{Start: r.Start}
			}
			r.Start = bound()
		}
		return r
	}
	for range 50 {
		r := group(t, "g.1", Shard{api.Range{}, 1, 0, 1})
		ranges := make([]api.Range, rng.IntN(40))
		for i := range ranges {
			ranges[i] = some()
		}
		gives(t, r.m, ranges)
		for range 50 {
			in := some()
			var want, got []uint64
			for i, x := range ranges {
				if x.Overlaps(in) {
					want = append(want, uint64(i)+2)
				}
			}
			v := r.m.begin()
			r.m.given(&v).each(in, func(g *given) { got = append(got, g.left.At) })
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Fatalf("of %v in %v: %v, want %v", ranges, in, got, want)
			}
		}
	}
}

// BenchmarkTenure shows what it costs to find out where a feed ends, in a group that has given many ranges up.
func BenchmarkTenure(b *testing.B) {
	for _, n := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, err := Open(engine.NewMemory())
			if err != nil {
				b.Fatal(err)
			}
			m.meta.Group, m.shards = "g.1", []owned{{Shard: Shard{api.Range{}, 1, 0, 1}}}
			ranges := make([]api.Range, n)
			for i := range ranges {
				ranges[i] = api.PrefixRange(api.Key(fmt.Sprintf("k/%05d/", i)))
			}
			gives(b, m, ranges)
			piece := Shard{api.PrefixRange("k/00050/"), 1, 0, 1}
			for b.Loop() {
				m.Tenure(piece)
				m.Follows([]Shard{piece}, 0)
			}
		})
	}
}
