package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster/local"
)

// BenchmarkTransactions is what transactions cost over the planet of `edgehold dev`: three regions, 80 to 200 ms apart. Each
// figure is the median latency in milliseconds, the 99th percentile beside it.
//
//	go test ./integration -run '^$' -bench Transactions -benchtime 1x
func BenchmarkTransactions(b *testing.B) {
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
	us := benchClient(b, urls["us-east-edge-1"])
	b.Run("snapshot of three regions under leases, at each edge over HTTP", func(b *testing.B) { benchLeasedSnapshot(b, urls) })
	both := func(keys ...api.Key) func(context.Context) error {
		return func(ctx context.Context) error {
			return us.Txn(ctx, func(tx *client.Tx) error {
				for _, k := range keys {
					if err := tx.Add(k, 1); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	for _, c := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"one group, near (M1)", both("us-east/n1/a", "us-east/n1/b")},
		{"one group, 80 ms away (M1)", both("eu-west/n1/a", "eu-west/n1/b")},
		{"one near group and one 80 ms away (M3)", both("us-east/n2", "eu-west/n2")},
		{"groups 80 and 200 ms away (M2)", both("eu-west/n3", "ap-south/n3")},
		{"all three regions (M2)", both("us-east/n4", "eu-west/n4", "ap-south/n4")},
	} {
		b.Run(c.name, func(b *testing.B) {
			latencies(b, 40, func() {
				if err := c.do(context.Background()); err != nil {
					b.Error(err)
				}
			})
		})
	}
	b.Run("100 clients on 10 hot keys", func(b *testing.B) { benchHotKeys(b, urls) })
}

// latencies reports what n calls took.
func latencies(b *testing.B, n int, do func()) {
	b.Helper()
	all := make([]time.Duration, n)
	for i := range all {
		began := time.Now()
		do()
		all[i] = time.Since(began)
	}
	report(b, all, "ms")
}

func report(b *testing.B, all []time.Duration, unit string) {
	b.Helper()
	slices.Sort(all)
	b.ReportMetric(0, "ns/op") // of a few calls that are no loop it means nothing
	b.ReportMetric(all[len(all)/2].Seconds()*1e3, unit)
	b.ReportMetric(all[len(all)*99/100].Seconds()*1e3, "p99-"+unit)
}

// benchLeasedSnapshot posts a transaction of three gets, until it is answered by leases alone, and then times that.
func benchLeasedSnapshot(b *testing.B, urls map[string]string) {
	const body = `{"then":[{"get":{"key":"us-east/m0"}},{"get":{"key":"eu-west/m0"}},{"get":{"key":"ap-south/m0"}}]}`
	h := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	var all []time.Duration
	for node, url := range urls {
		if !strings.Contains(node, "edge") {
			continue
		}
		post := func() (by string) {
			res, err := h.Post(url+"/v1/txn", "application/json", strings.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
				b.Fatalf("%s: %v", res.Status, err)
			}
			return res.Header.Get("Edgehold-Served-By")
		}
		for i := 0; post() != "lease"; i++ {
			if i == 100 {
				b.Fatal("no leases came")
			}
		}
		for range 500 {
			began := time.Now()
			if post() == "lease" {
				all = append(all, time.Since(began))
			}
		}
	}
	if len(all) < 1000 {
		b.Errorf("only %d were answered by leases", len(all))
	}
	report(b, all, "ms")
}

// benchHotKeys has clients at all edges move units between ten counters, and reports how often the unluckiest had to try.
func benchHotKeys(b *testing.B, urls map[string]string) {
	const clients, each = 100, 3
	var sdk []*client.Client
	for node, url := range urls {
		if strings.Contains(node, "edge") {
			sdk = append(sdk, benchClient(b, url))
		}
	}
	key := func(i int) api.Key { return api.Key(fmt.Sprintf("%s/hot%d", regions[i%3], i%10)) }
	var most, runs atomic.Int64
	all := make([]time.Duration, clients*each)
	var wg sync.WaitGroup
	began := time.Now()
	for c := range clients {
		wg.Go(func() {
			for n := range each {
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
				start, tries := time.Now(), int64(0)
				err := sdk[c%len(sdk)].Txn(ctx, func(tx *client.Tx) error {
					tries++
					from, to := key(c+n), key(c+n+1+c%3)
					if _, err := tx.Get(ctx, from); err != nil && api.CodeOf(err) != api.CodeNotFound {
						return err
					}
					if err := tx.Add(from, -1); err != nil {
						return err
					}
					return tx.Add(to, 1)
				})
				cancel()
				if err != nil {
					b.Errorf("client %d: %v", c, err)
				}
				all[c*each+n] = time.Since(start)
				runs.Add(tries)
				for m := most.Load(); tries > m && !most.CompareAndSwap(m, tries); m = most.Load() {
				}
			}
		})
	}
	wg.Wait()
	report(b, all, "ms")
	b.ReportMetric(float64(clients*each)/time.Since(began).Seconds(), "txn/s")
	b.ReportMetric(float64(runs.Load())/float64(clients*each), "runs/txn")
	b.ReportMetric(float64(most.Load()), "most-runs")
}
