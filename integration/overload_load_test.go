package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/wire"
)

// flood is load on a planet from clients that never wait and never repeat: what they are told is what is counted.
type flood struct {
	urls    []string       // of the nodes
	streams []*wire.Client // some to each node
	http    *http.Client
	value   []byte

	ok, refused, bare, unknown, other atomic.Int64

	mu        sync.Mutex
	refusals  []time.Duration // how long those took that were refused with RetryAfter
	successes []time.Duration
	odd       error // one of other
}

// newFlood opens streams to every node.
func newFlood(t testing.TB, streams int, urls ...string) *flood {
	t.Helper()
	f := &flood{urls: urls, value: bytes.Repeat([]byte("v"), 256)}
	f.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8192}}
	for range streams {
		for _, url := range urls {
			f.streams = append(f.streams, callStream(t, url))
		}
	}
	t.Cleanup(func() {
		for _, s := range f.streams {
			_ = s.Close()
		}
		f.http.CloseIdleConnections()
	})
	return f
}

// callStream opens a stream of calls as the SDK does, without what the SDK does about refusals.
func callStream(t testing.TB, url string) *wire.Client {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, url+"/v1/calls", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", wire.Protocol)
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, req)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("no stream: %v, %v", res, err)
	}
	return wire.NewClient(&upgraded{conn, in}, wire.ClientConfig{MaxCalls: 1 << 20, MaxBytes: 256 << 20})
}

type upgraded struct {
	net.Conn
	in *bufio.Reader
}

func (u *upgraded) Read(b []byte) (int, error) { return u.in.Read(b) }

// count books what a request was told.
func (f *flood) count(err error, took time.Duration) {
	e := api.AsError(err)
	switch {
	case err == nil:
		f.ok.Add(1)
		f.mu.Lock()
		f.successes = append(f.successes, took)
		f.mu.Unlock()
	case e.Code == api.CodeUnavailable && e.RetryAfter > 0:
		f.refused.Add(1)
		f.mu.Lock()
		f.refusals = append(f.refusals, took)
		f.mu.Unlock()
	case e.Code == api.CodeUnavailable:
		f.bare.Add(1)
		f.note(err)
	case e.Code == api.CodeAmbiguous:
		f.unknown.Add(1)
	default:
		f.other.Add(1)
		f.note(err)
	}
}

func (f *flood) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.odd == nil {
		f.odd = err
	}
}

const floodKeys = 10_000

func floodKey() api.Key { return api.Key(fmt.Sprintf("here/%d", rand.IntN(floodKeys))) }

// ask is one request, by the i-th client.
type ask func(ctx context.Context, i int) error

// put writes a key over a stream.
func (f *flood) put(ctx context.Context, i int) error {
	_, err := f.streams[i%len(f.streams)].Do(ctx, &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: floodKey(), Value: f.value}}})
	return err
}

// read asks the owner of a key over a stream.
func (f *flood) read(ctx context.Context, i int) error {
	_, err := f.streams[i%len(f.streams)].Read(ctx, &api.ReadRequest{Keys: []api.Key{floodKey()}, Consistency: api.Quorum})
	return err
}

// putHTTP writes a key as a request of its own.
func (f *flood) putHTTP(ctx context.Context, i int) error {
	return f.single(ctx, http.MethodPut, f.urls[i%len(f.urls)]+"/v1/kv/"+string(floodKey()), bytes.NewReader(f.value))
}

// readHTTP asks the owner of a key, likewise.
func (f *flood) readHTTP(ctx context.Context, i int) error {
	return f.single(ctx, http.MethodGet, f.urls[i%len(f.urls)]+"/v1/kv/"+string(floodKey())+"?consistency=quorum", http.NoBody)
}

func (f *flood) single(ctx context.Context, method, url string, body io.Reader) error {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	res, err := f.http.Do(req)
	if err != nil {
		return &api.Error{Code: api.CodeAmbiguous, Err: err}
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return &api.Error{Code: api.CodeAmbiguous, Err: err}
	}
	switch res.StatusCode {
	case http.StatusOK, http.StatusNotFound:
		return nil
	case http.StatusServiceUnavailable:
		e := &api.Error{Code: api.CodeUnavailable}
		if res.Header.Get("Retry-After") != "" {
			e.RetryAfter = time.Second
		}
		return e
	case http.StatusGatewayTimeout:
		return &api.Error{Code: api.CodeAmbiguous}
	}
	return fmt.Errorf("%s %s: %s", method, url, res.Status)
}

// floodTimeout is what each request has.
const floodTimeout = 5 * time.Second

// closed has so many clients ask, each again as soon as it is answered, for d.
func (f *flood) closed(clients int, d time.Duration, do ask) *tally {
	return f.measure(func(ctx context.Context) {
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				for ctx.Err() == nil {
					f.once(i, do)
				}
			})
		}
		wg.Wait()
	}, d)
}

// open sends so many requests a second, whatever comes back, for d; at most maxOpen at once.
func (f *flood) open(rate int, d time.Duration, do ask) *tally {
	return f.measure(func(ctx context.Context) {
		var wg sync.WaitGroup
		var under atomic.Int64
		began, sent := time.Now(), 0
		for ctx.Err() == nil {
			for due := int(time.Since(began).Seconds() * float64(rate)); sent < due; sent++ {
				if under.Load() >= maxOpen {
					sent = due
					break
				}
				under.Add(1)
				wg.Go(func() {
					defer under.Add(-1)
					f.once(sent, do)
				})
			}
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
	}, d)
}

const maxOpen = 50_000

func (f *flood) once(i int, do ask) {
	ctx, cancel := context.WithTimeout(context.Background(), floodTimeout)
	defer cancel()
	began := time.Now()
	err := do(ctx, i)
	f.count(err, time.Since(began))
}

// tally is what came of some load.
type tally struct {
	ok, refused, bare, unknown, other float64       // a second, while it lasted
	refusal, success                  time.Duration // p99
	took                              float64       // seconds
	odd                               error
}

func (t *tally) String() string {
	return fmt.Sprintf("ok %.0f/s (p99 %v), refused %.0f/s (p99 %v), without Retry-After %.1f/s, unknown %.1f/s, other %.1f/s",
		t.ok, t.success.Round(time.Millisecond), t.refused, t.refusal.Round(time.Millisecond), t.bare, t.unknown, t.other)
}

func (f *flood) measure(load func(ctx context.Context), d time.Duration) *tally {
	for _, n := range []*atomic.Int64{&f.ok, &f.refused, &f.bare, &f.unknown, &f.other} {
		n.Store(0)
	}
	f.refusals, f.successes, f.odd = nil, nil, nil
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	t := &tally{}
	began := time.Now()
	load(ctx)
	took := time.Since(began).Seconds()
	per := func(n *atomic.Int64) float64 { return float64(n.Load()) / took }
	t.ok, t.refused, t.bare, t.unknown, t.other = per(&f.ok), per(&f.refused), per(&f.bare), per(&f.unknown), per(&f.other)
	t.took = took
	t.refusal, t.success, t.odd = p99(f.refusals), p99(f.successes), f.odd
	return t
}

func p99(all []time.Duration) time.Duration { return quantile(all, 99) }

func quantile(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)*percent/100]
}

// vitals are what load must not disturb.
type vitals struct {
	terms                  float64 // of all groups at all servers
	lapsed, died, suspects float64
	extended               float64
	cpu                    float64 // seconds that all have used
	memory                 float64 // the most that a process has taken from the system
}

// vitals sums the metrics of all nodes.
func (f *flood) vitals(t testing.TB) (v vitals) {
	t.Helper()
	for _, url := range f.urls {
		res, err := plainHTTP.Get(url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("metrics of %s: %s, %v", url, res.Status, err)
		}
		v.terms += sumOf(t, string(body), "edgehold_replica_term")
		v.lapsed += sumOf(t, string(body), `edgehold_edge_session_events_total{event="lapsed"`)
		v.died += sumOf(t, string(body), `edgehold_edge_session_events_total{event="dead"`)
		v.extended += sumOf(t, string(body), `edgehold_edge_session_events_total{event="extended"`)
		v.memory = max(v.memory, sumOf(t, string(body), "go_memstats_sys_bytes"))
		v.cpu += sumOf(t, string(body), "process_cpu_seconds_total")
		v.suspects += sumOf(t, string(body), "edgehold_region_suspects_total")
	}
	return v
}

// sumOf adds up the rows that begin so.
func sumOf(t testing.TB, metrics, row string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, row) {
			var v float64
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			sum += v
		}
	}
	return sum
}
