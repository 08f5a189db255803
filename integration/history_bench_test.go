package integration

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

var (
	historyRounds = flag.Int("historyrounds", 5, "rounds of BenchmarkHistoryCost, each with and without a history")
	historyWindow = flag.Duration("historywindow", 4*time.Second, "length of each of its measurements")
)

// BenchmarkHistoryCost is what the history costs those who write: puts of 256 bytes by 256 clients to three servers, on the disks of a
// majority each, with the history that is the default, with one that is full, and without one, by turns. ratio is the median, over the
// rounds, of the rate with the history divided by the rate without; its floor is 0.9. cpu-ratio is the same of the processor time of
// a put, clients included, which other work on the machine changes less.
//
//	go test ./integration -run '^$' -bench HistoryCost -benchtime 1x
func BenchmarkHistoryCost(b *testing.B) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	h := &historyBench{B: b, urls: benchServers(b), rates: map[string][]float64{}, costs: map[string][]float64{}}
	h.c = benchClient(b, h.urls[0])
	h.putFor(2 * time.Second)
	kinds := []string{"0", "256MiB", "1MiB"} // none, the default, and one that is full at once
	for round := range *historyRounds {
		for i := range kinds {
			h.measure(ctx, kinds[(round+i)%len(kinds)])
		}
	}
	for kind, name := range map[string]string{"256MiB": "default", "1MiB": "full"} {
		b.ReportMetric(medianRatio(h.rates[kind], h.rates["0"]), name+"-ratio")
		b.ReportMetric(medianRatio(h.costs[kind], h.costs["0"]), name+"-cpu-ratio")
	}
	for _, kind := range kinds {
		b.Logf("history-max=%s: puts/s %.0f, CPU us/put %.1f", kind, h.rates[kind], h.costs[kind])
	}
	b.ReportMetric(0, "ns/op")
}

type historyBench struct {
	*testing.B
	c            *client.Client
	urls         []string
	next         atomic.Int64
	rates, costs map[string][]float64 // by history-max
}

// putFor returns the puts a second.
func (h *historyBench) putFor(d time.Duration) float64 {
	value := make([]byte, 256)
	return during(h.B, d, 256, func() error {
		_, err := h.c.Put(h.Context(), api.Key(fmt.Sprintf("here/cost/%d", h.next.Add(1)%10_000)), value)
		return err
	})
}

// measure sets history-max, waits until the nodes go by it, and measures.
func (h *historyBench) measure(ctx context.Context, most string) {
	h.Helper()
	if _, err := h.c.SetSetting(ctx, "history-max", most, false); err != nil {
		h.Fatal(err)
	}
	want := map[string]float64{"0": 0, "1MiB": 1 << 20, "256MiB": 256 << 20}[most]
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		m := scrape(h.B, h.urls)
		if m.most("edgehold_region_history_max_bytes") == want && m.most("edgehold_region_history_bytes") <= want {
			break
		}
		if time.Now().After(end) {
			h.Fatalf("the nodes do not go by history-max=%s", most)
		}
	}
	h.putFor(500 * time.Millisecond)
	cpu, puts, began := processTime(h.B), h.next.Load(), time.Now()
	h.putFor(*historyWindow)
	puts = h.next.Load() - puts
	h.rates[most] = append(h.rates[most], float64(puts)/time.Since(began).Seconds())
	h.costs[most] = append(h.costs[most], float64((processTime(h.B)-cpu).Microseconds())/float64(puts))
	if held := scrape(h.B, h.urls).most("edgehold_region_history_bytes"); (held > 0) != (want > 0) {
		h.Errorf("with history-max=%s there are %.0f bytes of history", most, held)
	}
}

// medianRatio returns the median of the ratios of each pair.
func medianRatio(a, b []float64) float64 {
	var all []float64
	for i := range a {
		all = append(all, a[i]/b[i])
	}
	slices.Sort(all)
	return all[len(all)/2]
}
