package remote

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// BenchmarkFeed has feeds of one node deliver batches of 16 events of 300 bytes as fast as they are taken. An operation is an event.
//
//	go test ./cluster/remote -run '^$' -bench 'Feed$'
func BenchmarkFeed(b *testing.B) {
	for _, feeds := range []int{1, 100} {
		b.Run(fmt.Sprintf("feeds=%d", feeds), func(b *testing.B) {
			batch := &words.FeedBatch{}
			for i := range 16 {
				k := api.Key(fmt.Sprintf("shop/%d", i))
				batch.Events = append(batch.Events, words.FeedEvent{Index: 1, Event: api.Event{
					Kind: api.EventPut, Key: k, Version: api.Version{Epoch: 1, Index: 1 << 30}, Value: make([]byte, 300)}})
			}
			g := newGroup("g")
			g.feed = func(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
				x := newSource()
				x.next = func() (*words.FeedBatch, error) { return batch, nil }
				return x.open(ctx, r)
			}
			n := benchNode(b, g)
			b.ReportAllocs()
			b.ResetTimer()
			var readers sync.WaitGroup
			for range feeds {
				readers.Go(func() {
					f, err := n.Feed(b.Context(), &shop)
					if err != nil {
						b.Error(err)
						return
					}
					defer f.Close()
					for told := 0; told < b.N/feeds; {
						x, err := f.Next()
						if err != nil {
							b.Error(err)
							return
						}
						told += len(x.Events)
					}
				})
			}
			readers.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
