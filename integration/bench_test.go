package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster/local"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// benchPlanet is one region of three servers, log on disk and fsynced, and one edge, without delays: what is measured is
// the software and the disk. It returns the URLs of a server and of the edge.
func benchPlanet(b *testing.B, log logstore.Kind) (server, edge string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := local.Start(ctx, local.Config{Regions: []api.RegionID{"here"}, Port: -1, Dir: b.TempDir(), Log: log, WAN: "off"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	})
	nodes := p.Nodes()
	return nodes[0].URL, nodes[len(nodes)-1].URL
}

// benchServers is one region of three servers, logs on disk and fsynced, and no edge. It returns their URLs.
func benchServers(b *testing.B) (urls []string) {
	b.Helper()
	p := startBench(b, local.Config{Edges: -1, Log: logstore.Default})
	for _, n := range p.Nodes() {
		urls = append(urls, n.URL)
	}
	return urls
}

func benchClient(b *testing.B, url string) *client.Client {
	b.Helper()
	c, err := client.Open(context.Background(), client.Config{
		Endpoints: []string{url}, HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2048}},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// together divides b.N operations among so many clients.
func together(b *testing.B, clients int, do func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	failed := make(chan error, clients)
	b.ResetTimer()
	for range clients {
		go func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := do(i); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range clients {
		if err := <-failed; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// BenchmarkWrite: puts of 256 bytes through the SDK and HTTP, fsynced on a majority before each is acknowledged.
func BenchmarkWrite(b *testing.B) {
	for _, clients := range []int{1, 64, 256, 1024} {
		for _, kind := range logstore.Kinds() {
			b.Run(fmt.Sprintf("clients=%d/log=%s", clients, kind), func(b *testing.B) {
				server, _ := benchPlanet(b, kind)
				c, value := benchClient(b, server), make([]byte, 256)
				together(b, clients, func(i int64) error {
					_, err := c.Put(context.Background(), api.Key(fmt.Sprintf("here/%d", i%100_000)), value)
					return err
				})
			})
		}
	}
}

// BenchmarkOwnerRead: reads that always ask the owner, which shares its confirm rounds among them.
func BenchmarkOwnerRead(b *testing.B) {
	server, _ := benchPlanet(b, logstore.Default)
	c := benchClient(b, server)
	if _, err := c.Put(context.Background(), "here/k", make([]byte, 256)); err != nil {
		b.Fatal(err)
	}
	for _, clients := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			together(b, clients, func(int64) error {
				_, err := c.Get(context.Background(), "here/k", client.Quorum())
				return err
			})
		})
	}
}

// BenchmarkLeasedReadHTTP: reads that the edge answers under a lease, through HTTP by a plain client.
func BenchmarkLeasedReadHTTP(b *testing.B) {
	_, edge := benchPlanet(b, logstore.Default)
	c := benchClient(b, edge)
	if _, err := c.Put(context.Background(), "here/k", make([]byte, 256)); err != nil {
		b.Fatal(err)
	}
	for leased := false; !leased; {
		v, err := c.Get(context.Background(), "here/k")
		if err != nil {
			b.Fatal(err)
		}
		leased = v.ServedBy == api.ServedByLease
	}
	h := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2048}}
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			var owner atomic.Int64
			together(b, clients, func(int64) error {
				resp, err := h.Get(edge + "/v1/kv/here/k")
				if err != nil {
					return err
				}
				if resp.Header.Get("Edgehold-Served-By") != "lease" {
					owner.Add(1)
				}
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				return err
			})
			b.ReportMetric(float64(owner.Load())/float64(b.N), "owner/op")
		})
	}
}
