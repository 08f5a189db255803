package group

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// BenchmarkFeed applies entries of 16 puts of 300 bytes beside feeds that take all of them, and waits for the feeds at the end. An
// operation is a put. It reports the events that all feeds delivered in a second, and the pages of the history that they read
// because they were behind.
//
//	go test ./cluster/group -run '^$' -bench 'Feed$' -benchtime 100000x
func BenchmarkFeed(b *testing.B) {
	for _, n := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("feeds=%d", n), func(b *testing.B) { benchmarkFeed(b, n, 0) })
	}
	b.Run("feeds=1,of-other-keys=1000", func(b *testing.B) { benchmarkFeed(b, 1, 1000) })
}

func benchmarkFeed(b *testing.B, feeds, others int) {
	const packed = 16
	g := newGrowth(b, 0, 0, 1)
	var scans, told counter
	g.metrics.feedScans, g.metrics.feedEvents = scans.add, told.add
	puts := func(i int) [][]byte {
		var cs [][]byte
		for j := range packed {
			t := put(api.Key(fmt.Sprintf("k/%d", (i*packed+j)%100_000)), string(make([]byte, 300))).Txn
			cs = append(cs, fsm.Encode(fsm.Write{Term: 1, Txn: t}, fsm.NewestLevel))
		}
		return cs
	}
	var readers sync.WaitGroup
	last := g.cfg.Machine.Meta().Counter + uint64((b.N+packed-1)/packed*packed)
	for i := range feeds + others {
		r := words.FeedRequest{Piece: everything, Now: true}
		if i >= feeds {
			r.Range = api.PrefixRange(api.Key(fmt.Sprintf("other/%d/", i)))
		}
		f, err := g.Feed(b.Context(), &r)
		if err != nil {
			b.Fatal(err)
		}
		readers.Go(func() {
			defer f.Close()
			for {
				x, err := f.Next()
				if err != nil {
					b.Error(err)
				}
				if err != nil || x.To.Index >= last {
					return
				}
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	began := time.Now()
	for i := 0; i < b.N; i += packed {
		g.mu.Lock()
		g.index++
		_, err := g.adapter.Apply(g.index, 1, puts(i/packed))
		g.mu.Unlock()
		if err != nil {
			b.Fatal(err)
		}
	}
	applied := time.Since(began)
	readers.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/applied.Seconds(), "puts/s")
	b.ReportMetric(told.of()/time.Since(began).Seconds(), "events/s")
	b.ReportMetric(scans.of(), "scans")
}

// counter is a metric of a benchmark.
type counter struct {
	mu sync.Mutex
	n  float64
}

func (c *counter) add(n float64, _ ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
}

func (c *counter) of() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// BenchmarkFeedMark has 1,000 feeds of a quiet group send their marks: what they cost in a second. An operation is a mark of one feed.
//
//	go test ./cluster/group -run '^$' -bench 'FeedMark'
func BenchmarkFeedMark(b *testing.B) {
	const feeds = 1000
	g := newGrowth(b, 0, 0, 1)
	marks := make(chan struct{}, feeds)
	var h *hub
	for range feeds {
		f, err := g.Feed(b.Context(), &words.FeedRequest{Piece: everything, Now: true})
		if err != nil {
			b.Fatal(err)
		}
		h = f.(*feed).hub
		go func() {
			defer f.Close()
			for {
				if _, err := f.Next(); err != nil {
					return
				}
				marks <- struct{}{}
			}
		}()
	}
	for range feeds {
		<-marks
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += feeds {
		if !h.confirmMark() {
			b.Fatal("the lead is over")
		}
		for range feeds {
			<-marks
		}
	}
}
