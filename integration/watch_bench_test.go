package integration

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/local"
)

// BenchmarkWatchDelay is how old a change is when a watcher has it, over the planet of `edgehold dev`: keys of us-east, written there,
// and watched at the edge of each region. delay-ms counts from when the put was sent, put-ms is how long the put took for the writer,
// and way-ms is the delay of the change beyond that: half a round trip, since the leader tells feeds without being asked.
//
//	go test ./integration -run '^$' -bench WatchDelay -benchtime 1x
func BenchmarkWatchDelay(b *testing.B) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	p, err := local.Start(ctx, local.Config{Regions: []api.RegionID{"us-east", "eu-west", "ap-south"}, Port: -1, WAN: "real"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	}()
	urls := map[string]string{}
	for _, n := range p.Nodes() {
		urls[string(n.Node)] = n.URL
	}
	for _, c := range []struct{ edge, round string }{
		{"us-east-edge-1", "0"}, {"eu-west-edge-1", "80"}, {"ap-south-edge-1", "200"},
	} {
		b.Run("round trip of "+c.round+" ms", func(b *testing.B) { benchWatchDelay(b, urls["us-east-edge-1"], urls[c.edge]) })
	}
}

func benchWatchDelay(b *testing.B, writer, edge string) {
	const n = 100
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	told := make(chan time.Time, n)
	begun := make(chan struct{})
	go func() {
		defer close(told)
		for ev, err := range benchClient(b, edge).Watch(ctx, "us-east/delay/", "") {
			switch {
			case err != nil:
				if ctx.Err() == nil {
					b.Error(err)
				}
				return
			case ev.Ready:
				close(begun)
			case ev.Kind != 0:
				told <- time.Now()
			}
		}
	}()
	select {
	case <-begun:
	case <-ctx.Done():
		b.Fatal("the watch has not begun")
	}
	c, value := benchClient(b, writer), make([]byte, 256)
	var delays, puts, ways took
	for range n {
		sent := time.Now()
		if _, err := c.Put(ctx, "us-east/delay/key", value); err != nil {
			b.Fatal(err)
		}
		put := time.Since(sent)
		at, ok := <-told
		if !ok {
			b.Fatal("the watch has ended")
		}
		delays, puts, ways = append(delays, at.Sub(sent)), append(puts, put), append(ways, at.Sub(sent)-put)
	}
	for _, t := range []took{delays, puts, ways} {
		slices.Sort(t)
	}
	b.ReportMetric(0, "ns/op") // of a few calls that are no loop it means nothing
	b.ReportMetric(1000*delays.at(0.5).Seconds(), "delay-ms")
	b.ReportMetric(1000*delays.at(0.99).Seconds(), "p99-delay-ms")
	b.ReportMetric(1000*puts.at(0.5).Seconds(), "put-ms")
	b.ReportMetric(1000*puts.at(0.99).Seconds(), "p99-put-ms")
	b.ReportMetric(1000*ways.at(0.5).Seconds(), "way-ms")
}
