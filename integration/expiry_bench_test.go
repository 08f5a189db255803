package integration

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

var (
	expiryKeys   = flag.Int("expirykeys", 100_000, "how many keys end in BenchmarkMassExpiry")
	expirySpread = flag.Duration("expiryspread", 6*time.Second, "the time in which they end")
	expiryRate   = flag.Int("expiryrate", 200, "writes a second beside it")
)

// BenchmarkMassExpiry has many keys of one group, of three servers that are processes of their own, end within a short time, and
// measures the writes beside it: at a steady rate, each counted from when it was due. The floor is three times the p99 before that, and
// none over a second. late-p50 and late-p99 are bounds of how long after their deadlines keys ended, as the leader's histogram has them.
func BenchmarkMassExpiry(b *testing.B) {
	f := newFleet(b, buildBinary(b))
	nodes := []*daemon{f.server(b, "here-1", "here", "")}
	for _, name := range []string{"here-2", "here-3"} {
		nodes = append(nodes, f.server(b, name, "here", nodes[0].address))
	}
	ready(b, nodes...)
	var urls []string
	for _, d := range nodes {
		urls = append(urls, "http://"+d.address)
	}
	c := benchClient(b, urls[0])
	before := steadyWrites(b, c, 15*time.Second)
	b.Logf("before: %v", before)
	ends := loadMortal(b, c, *expiryKeys, *expirySpread)
	began := ends.Add(-*expirySpread)
	time.Sleep(time.Until(began) - 5*time.Second)
	quiet := steadyWrites(b, c, time.Until(began)-500*time.Millisecond)
	b.Logf("with the keys there: %v", quiet)
	time.Sleep(time.Until(began))
	cpu := scrape(b, urls).sum("process_cpu_seconds_total")
	beside := steadyWrites(b, c, *expirySpread)
	left := func() float64 { return scrape(b, urls).most("edgehold_region_keys_with_deadline") }
	for left() > 0 && time.Since(ends) < 5*time.Minute {
		time.Sleep(100 * time.Millisecond)
	}
	last := time.Since(ends)
	m := scrape(b, urls)
	b.ReportMetric(m.sum("process_cpu_seconds_total")-cpu, "servers-cpu-s")
	n := m.sum("edgehold_region_key_overdue_seconds_count")
	b.Logf("beside: %v; %.0f keys have ended, the last was seen to %v after its deadline", beside, n, last)
	if int(n) < *expiryKeys || left() > 0 {
		b.Errorf("%.0f of %d keys have ended, %.0f are left", n, *expiryKeys, left())
	}
	b.ReportMetric(1000*before.at(0.99).Seconds(), "before-p99-ms")
	b.ReportMetric(1000*beside.at(0.99).Seconds(), "beside-p99-ms")
	b.ReportMetric(1000*beside.at(1).Seconds(), "beside-max-ms")
	b.ReportMetric(1000*m.quantile("edgehold_region_key_overdue_seconds", 0.5), "late-p50-ms")
	b.ReportMetric(1000*m.quantile("edgehold_region_key_overdue_seconds", 0.99), "late-p99-ms")
	b.ReportMetric(0, "ns/op")
}

// took is how long requests took, sorted.
type took []time.Duration

func (t took) at(q float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	return t[min(int(q*float64(len(t))), len(t)-1)]
}

func (t took) String() string {
	return fmt.Sprintf("%d writes, p50 %v, p99 %v, most %v", len(t), t.at(0.5), t.at(0.99), t.at(1))
}

// steadyWrites writes keys of its own at the rate of the flag, whatever earlier writes take.
func steadyWrites(b *testing.B, c *client.Client, d time.Duration) took {
	b.Helper()
	var mu sync.Mutex
	var all took
	var writes sync.WaitGroup
	value := make([]byte, 256)
	began := time.Now()
	for i := 0; time.Since(began) < d; i++ {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(*expiryRate))
		time.Sleep(time.Until(due))
		writes.Go(func() {
			if _, err := c.Put(b.Context(), api.Key(fmt.Sprintf("here/steady/%d", i%1000)), value); err != nil {
				b.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, time.Since(due))
		})
	}
	writes.Wait()
	slices.Sort(all)
	return all
}

// loadMortal writes n keys that end one after the other within spread. It returns when the last one does. Its first try tells how long
// the load takes.
func loadMortal(b *testing.B, c *client.Client, n int, spread time.Duration) (ends time.Time) {
	b.Helper()
	const batch = 500
	put := func(from int, ttl func(i int) time.Duration) error {
		return c.Txn(b.Context(), func(tx *client.Tx) error {
			for i := from; i < min(from+batch, n); i++ {
				if err := tx.Put(api.Key(fmt.Sprintf("here/mortal/%08d", i)), make([]byte, 100), client.TTL(ttl(i))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	began := time.Now()
	for i := range 4 {
		if err := put(i*batch, func(int) time.Duration { return time.Hour }); err != nil {
			b.Fatal(err)
		}
	}
	load := max(time.Since(began)*time.Duration(n/batch)/4, 10*time.Second)
	ends = time.Now().Add(2*load + 15*time.Second + spread)
	due := make(chan int)
	var loaders sync.WaitGroup
	for range 4 {
		loaders.Go(func() {
			for from := range due {
				err := put(from, func(i int) time.Duration {
					return time.Until(ends) - spread*time.Duration(n-1-i)/time.Duration(n)
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	for from := 0; from < n; from += batch {
		due <- from
	}
	close(due)
	loaders.Wait()
	b.Logf("%d keys were written in %v, and begin to end in %v", n, time.Since(began), time.Until(ends)-spread)
	if time.Until(ends)-spread < 6*time.Second {
		b.Fatal("the keys took too long to write")
	}
	return ends
}

// metrics are those of several nodes.
type metrics []string

func scrape(b *testing.B, urls []string) (all metrics) {
	b.Helper()
	for _, url := range urls {
		res, err := http.Get(url + "/metrics")
		if err != nil {
			b.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			b.Fatal(err)
		}
		all = append(all, string(body))
	}
	return all
}

func (m metrics) sum(row string) (sum float64) {
	for _, body := range m {
		sum += sumOf(body, row)
	}
	return sum
}

func (m metrics) most(row string) (most float64) {
	for _, body := range m {
		most = max(most, sumOf(body, row))
	}
	return most
}

// quantile returns the bound of the histogram's bucket in which the quantile lies, over all nodes and groups.
func (m metrics) quantile(name string, q float64) (bound float64) {
	n, upTo := m.sum(name+"_count"), map[float64]float64{}
	for _, body := range m {
		for line := range strings.Lines(body) {
			_, le, ok := strings.Cut(line, `le="`)
			if !ok || !strings.HasPrefix(line, name+"_bucket") {
				continue
			}
			var bound, count float64
			le, rest, _ := strings.Cut(le, `"`)
			if _, err := fmt.Sscan(le, &bound); err != nil {
				continue // +Inf
			}
			if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &count); err == nil {
				upTo[bound] += count
			}
		}
	}
	bounds := []float64{}
	for le := range upTo {
		bounds = append(bounds, le)
	}
	slices.Sort(bounds)
	for _, le := range bounds {
		if upTo[le] >= q*n {
			return le
		}
	}
	return -1
}
