package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster/local"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// pair is the planet of benchPlanet twice, plain and on TLS, each with what its clients use.
type pair [2]struct {
	name         string
	server, edge string
	http         *http.Client
	token        string
	sdk          *client.Client // of the server
}

func tlsPair(b *testing.B) (p pair) {
	b.Helper()
	for i, name := range []string{"plain", "tls"} {
		planet := startBench(b, local.Config{Secure: name == "tls", Log: logstore.Default})
		nodes := planet.Nodes()
		p[i].name, p[i].server, p[i].edge = name, nodes[0].URL, nodes[len(nodes)-1].URL
		p[i].http, p[i].token = trusting(planet.Root()), tokenOf(b, planet)
		c, err := client.Open(context.Background(), client.Config{Endpoints: []string{p[i].server}, HTTPClient: p[i].http, Token: api.Secret(p[i].token)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		p[i].sdk = c
	}
	return p
}

func startBench(b *testing.B, cfg local.Config) *local.Planet {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cfg.Regions, cfg.Port, cfg.Dir, cfg.WAN = []api.RegionID{"here"}, -1, b.TempDir(), "off"
	p, err := local.Start(ctx, cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	})
	return p
}

// tokenOf makes a token that may use every key. On a plain planet it has no effect, and is measured in the same way.
func tokenOf(b *testing.B, p *local.Planet) string {
	b.Helper()
	token, err := p.NewToken(context.Background(), "bench", "all", "observe")
	if err != nil {
		b.Fatal(err)
	}
	return token
}

// trusting is a client that keeps its connections, of HTTP/1.1, and trusts the root.
func trusting(root []byte) *http.Client {
	t := &http.Transport{MaxIdleConnsPerHost: 2048, MaxConnsPerHost: keptConns}
	if root != nil {
		t.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		t.TLSClientConfig.RootCAs.AppendCertsFromPEM(root)
	}
	return &http.Client{Transport: t}
}

const (
	tlsSlice  = 2 * time.Second // for which BenchmarkTLS measures one side
	tlsRounds = 5               // how often it measures each
	keptConns = 64              // a client keeps so many connections, and makes no others
)

// BenchmarkTLS measures the same work plain and on TLS in one run, one after the other and again, and tells both and the median of the
// ratios: leased reads over kept connections of HTTP, and puts by the SDK at 256 clients. cpu-ratio is the same of what is done in a
// second of this process's own time, nodes and clients together: other processes of a busy machine change it least. It measures once,
// however often it runs.
func BenchmarkTLS(b *testing.B) {
	p := tlsPair(b)
	for i := range p {
		if _, err := p[i].sdk.Put(context.Background(), "here/k", make([]byte, 256)); err != nil {
			b.Fatal(err)
		}
	}
	get := func(i int) error {
		return read(p[i].http.Transport, p[i].edge, p[i].token)
	}
	var next atomic.Int64
	put := func(i int) error {
		_, err := p[i].sdk.Put(context.Background(), api.Key(fmt.Sprintf("here/%d", next.Add(1)%100_000)), make([]byte, 256))
		return err
	}
	for _, x := range []struct {
		name    string
		clients int
		do      func(i int) error
	}{{"reads/clients=64", 64, get}, {"puts/clients=256", 256, put}} {
		b.Run(x.name, func(b *testing.B) {
			var ratios, byCPU []float64
			var rate [2]float64
			for i := range p { // connections are made
				during(b, tlsSlice/2, x.clients, func() error { return x.do(i) })
			}
			for range tlsRounds {
				var now, cpu [2]float64
				for i := range p {
					used := processTime(b)
					now[i] = during(b, tlsSlice, x.clients, func() error { return x.do(i) })
					cpu[i] = now[i] * tlsSlice.Seconds() / (processTime(b) - used).Seconds()
					rate[i] += now[i] / tlsRounds
				}
				ratios, byCPU = append(ratios, now[1]/now[0]), append(byCPU, cpu[1]/cpu[0])
			}
			slices.Sort(ratios)
			slices.Sort(byCPU)
			b.ReportMetric(rate[0], "plain/s")
			b.ReportMetric(rate[1], "tls/s")
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(byCPU[len(byCPU)/2], "cpu-ratio")
		})
	}
}

// processTime is the processor time that this process has used.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// during has so many clients do something for a time, and returns how often a second they did it.
func during(b *testing.B, d time.Duration, clients int, do func() error) float64 {
	b.Helper()
	var n atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range clients {
		wg.Go(func() {
			for time.Since(start) < d {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

// BenchmarkStorm offers 5,000 new connections on TLS in 2 s to a server, each with one read, from another process, and tells when the
// last was answered, how many had to connect again, how many were not served, and how many elections there were. It measures once,
// however often it runs.
func BenchmarkStorm(b *testing.B) {
	p := startBench(b, local.Config{Secure: true})
	url := p.Nodes()[0].URL
	o := storm{URL: url, Root: p.Root(), Token: tokenOf(b, p), Clients: 5000, Within: 2 * time.Second, Patience: time.Minute}
	c, err := client.Open(context.Background(), client.Config{Endpoints: []string{url}, CA: o.Root, Token: api.Secret(o.Token)})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Put(context.Background(), "here/k", make([]byte, 256)); err != nil {
		b.Fatal(err)
	}
	before := termsOf(b, c)
	came := o.run(b)
	b.ReportMetric(came.Last.Seconds(), "s-to-the-last")
	b.ReportMetric(float64(came.Again), "again")
	b.ReportMetric(float64(o.Clients-came.Served), "unserved")
	elections := 0.0
	for g, term := range termsOf(b, c) {
		elections += float64(term - before[g])
	}
	b.ReportMetric(elections, "elections")
}

// storm is many new connections for a process of its own.
type storm struct {
	URL, Token       string
	Root             []byte
	Clients          int
	Within, Patience time.Duration
}

// stormed is what came of them.
type stormed struct {
	Served, Again int
	Last          time.Duration // until the last answer
}

const stormVariable = "STORM_ORDER"

// run has another process make the connections. The order goes by the environment, which other users do not see.
func (o storm) run(b *testing.B) (came stormed) {
	b.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestStormOfClients$", "-test.timeout", "5m")
	cmd.Env = append(plainEnv(), stormVariable+"="+string(text))
	out, err := cmd.Output()
	line, _, _ := bytes.Cut(out, []byte("\n"))
	if jsonErr := json.Unmarshal(line, &came); err != nil || jsonErr != nil {
		b.Fatalf("the clients say no result: %v, %v\n%s", jsonErr, err, out)
	}
	return came
}

// TestStormOfClients is the process of a storm.
func TestStormOfClients(t *testing.T) {
	text := os.Getenv(stormVariable)
	if text == "" {
		t.Skip("a part of BenchmarkStorm")
	}
	var o storm
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(o.clients()); err != nil {
		t.Fatal(err)
	}
}

func (o storm) clients() (came stormed) {
	own := trusting(o.Root).Transport.(*http.Transport)
	own.DisableKeepAlives, own.MaxConnsPerHost = true, 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for i := range o.Clients {
		wg.Go(func() {
			time.Sleep(o.Within * time.Duration(i) / time.Duration(o.Clients))
			for time.Since(start) < o.Patience {
				err := read(own, o.URL, o.Token)
				mu.Lock()
				if err == nil {
					came.Served++
					came.Last = max(came.Last, time.Since(start))
				} else {
					came.Again++
				}
				mu.Unlock()
				if err == nil {
					return
				}
				time.Sleep(200 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return came
}

func read(t http.RoundTripper, url, token string) error {
	resp, err := t.RoundTrip(newRequest(url+"/v1/kv/here/k", token))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return err
}

func newRequest(url, token string) *http.Request {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		panic(err) // the URL is a constant
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// termsOf has the term of each group.
func termsOf(b *testing.B, c *client.Client) map[api.GroupID]api.Term {
	b.Helper()
	st, err := c.Status(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	terms := map[api.GroupID]api.Term{}
	for _, g := range st.Groups {
		terms[g.Group] = g.Term
	}
	return terms
}
