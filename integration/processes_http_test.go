package integration

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func (d *daemon) url() string { return "http://" + d.address }

// reply is what a node said to one request, and when.
type reply struct {
	status       int
	header       http.Header
	body         string
	began, ended time.Time
	err          error
}

func (r *reply) servedBy() string { return r.header.Get("Edgehold-Served-By") }

// plainHTTP is curl: what the SDK does beyond one request would hide what a node says.
var plainHTTP = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}

func (d *daemon) get(path string) reply        { return d.send(http.MethodGet, path, "") }
func (d *daemon) put(path, value string) reply { return d.send(http.MethodPut, path, value) }

func (d *daemon) send(method, path, body string) (r reply) {
	req, err := http.NewRequest(method, d.url()+path, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	r.began = time.Now()
	defer func() { r.ended = time.Now() }()
	res, err := plainHTTP.Do(req)
	if err != nil {
		return reply{err: err, began: r.began}
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	r.status, r.header, r.body, r.err = res.StatusCode, res.Header, string(b), err
	return r
}

// metric is the value of one row of the node's metrics, such as `edgehold_edge_sessions`; 0 if there is no such row.
func (d *daemon) metric(t *testing.T, row string) float64 {
	t.Helper()
	a := d.get("/metrics")
	if a.err != nil {
		t.Fatal(a.err)
	}
	for line := range strings.Lines(a.body) {
		if rest, ok := strings.CutPrefix(line, row+" "); ok {
			var v float64
			if _, err := fmt.Sscan(rest, &v); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return v
		}
	}
	return 0
}

// eventually waits until ok says yes.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// freeAddress returns an address of loopback at which no process listens, and another one each time: a process that has got one before may
// not listen yet. Its port is below those that systems give to outgoing connections: a node that was killed finds it free when it
// comes back.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(17000))
		if _, given := givenAddresses.LoadOrStore(address, true); given {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no free port was found")
	return ""
}

// givenAddresses are those that freeAddress has looked at.
var givenAddresses sync.Map
