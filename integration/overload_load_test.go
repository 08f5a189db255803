package integration

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// flood is load on a planet. It counts the answers of its clients. Those over streams and over HTTP never wait and
// never repeat; those of the SDK do as the SDK does.
type flood struct {
	urls    []string       // of the nodes
	streams []*rawStream   // some to each node
	plain   []*plainClient // one for each client over HTTP
	sdk     []*client.Client
	value   []byte

	ok, refused, bare, unknown, other atomic.Int64

	mu        sync.Mutex
	seen      int
	refusals  []time.Duration // how long those took that were refused with RetryAfter, of some of them
	successes []time.Duration
	odd       error // one of bare or other
}

// newFlood prepares load of a kind from so many clients: "puts" or "reads", over "streams", "http" or "sdk".
func newFlood(kind string, clients int, urls []string) (*flood, error) {
	f := &flood{urls: urls, value: bytes.Repeat([]byte("v"), 256)}
	switch kind {
	case "puts/streams", "reads/streams":
		var err error
		if f.streams, err = f.rawStreams(kind == "reads/streams"); err != nil {
			return nil, err
		}
	case "puts/http", "reads/http":
		for i := range clients {
			f.plain = append(f.plain, &plainClient{address: strings.TrimPrefix(urls[i%len(urls)], "http://")})
		}
	case "puts/sdk":
		for i := range 2 * len(urls) {
			n := i % len(urls)
			c, err := client.Open(context.Background(), client.Config{Endpoints: slices.Concat(urls[n:], urls[:n])})
			if err != nil {
				return nil, err
			}
			f.sdk = append(f.sdk, c)
		}
	}
	return f, nil
}

// run sends requests from so many clients, each as soon as the one before is answered or, if rate is not 0, so many a second
// without waiting for answers. It returns the tally of d after warm.
func (f *flood) run(kind string, clients, rate int, warm, d time.Duration) (*tally, error) {
	do := map[string]ask{"puts/http": f.putHTTP, "reads/http": f.readHTTP, "puts/sdk": f.putSDK}[kind]
	switch {
	case len(f.streams) > 0:
		return f.raw(clients, rate, warm, d)
	case do == nil:
		return nil, fmt.Errorf("no load of the kind %q", kind)
	case rate > 0:
		return nil, fmt.Errorf("load of the kind %q is made by clients that wait", kind)
	}
	return f.closed(clients, warm, d, do)
}

// close ends the connections.
func (f *flood) close() {
	for _, s := range f.streams {
		_ = s.conn.Close()
	}
	for _, c := range f.plain {
		c.close()
	}
	for _, c := range f.sdk {
		_ = c.Close()
	}
}

// count counts the answer of a request.
func (f *flood) count(err error, took time.Duration) {
	e := api.AsError(err)
	switch {
	case err == nil:
		f.ok.Add(1)
		f.keep(&f.successes, took)
	case e.Code == api.CodeUnavailable && e.RetryAfter > 0:
		f.refused.Add(1)
		f.keep(&f.refusals, took)
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

// keep keeps one in keptOf.
func (f *flood) keep(in *[]time.Duration, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen++; f.seen%keptOf == 0 {
		*in = append(*in, took)
	}
}

const keptOf = 7

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

// putSDK writes a key as programs do.
func (f *flood) putSDK(ctx context.Context, i int) error {
	_, err := f.sdk[i%len(f.sdk)].Put(ctx, floodKey(), f.value)
	return err
}

// putHTTP writes a key as a request of its own.
func (f *flood) putHTTP(_ context.Context, i int) error {
	return f.plain[i].ask("PUT", "/v1/kv/"+string(floodKey()), f.value)
}

// readHTTP asks the owner of a key, likewise.
func (f *flood) readHTTP(_ context.Context, i int) error {
	return f.plain[i].ask("GET", "/v1/kv/"+string(floodKey())+"?consistency=quorum", nil)
}

// floodTimeout is what each request has.
const floodTimeout = 5 * time.Second

// closed sends requests from so many clients, each as soon as the one before is answered. It returns the tally of d after warm.
func (f *flood) closed(clients int, warm, d time.Duration, do ask) (*tally, error) {
	return f.measure(warm, d, func(ctx context.Context) {
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				for ctx.Err() == nil {
					within, cancel := context.WithTimeout(context.Background(), floodTimeout)
					f.once(within, i, do)
					cancel()
				}
			})
		}
		wg.Wait()
	})
}

func (f *flood) once(ctx context.Context, i int, do ask) {
	began := time.Now()
	err := do(ctx, i)
	f.count(err, time.Since(began))
}
