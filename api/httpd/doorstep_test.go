package httpd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// guarded is a server that refuses keys below no/ for load, on the doorstep of its connections where early, else in its
// handler.
func guarded(p *pipes, early bool, c httpd.ServerConfig) *httpd.Server {
	full := &api.Error{Code: api.CodeUnavailable, Hint: "the owner is full", RetryAfter: 100 * time.Millisecond}
	config := httpd.Config{
		Store: storetest.NewMemory(), Node: "n1",
		Full: func(k api.Key, writes bool, _ api.Consistency, _ int64) *api.Error {
			if strings.HasPrefix(string(k), "no/") {
				return full
			}
			return nil
		},
	}
	if early {
		config.CalmInFlight = 1 // none is so few that nobody need be refused
	}
	c.Handler = httpd.New(config)
	return httpd.Serve(p, c)
}

// answerOf reads an answer to its end.
func answerOf(t *testing.T, in *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// early tells who said no: what is refused on the doorstep has no Date, which net/http puts in every answer.
func early(res *http.Response) bool { return res.StatusCode == 503 && res.Header.Get("Date") == "" }

// TestDoorstep: a request that is refused for load is told the same on the doorstep as by the handler, and what is not
// clearly one to refuse goes to the handler.
func TestDoorstep(t *testing.T) {
	long := strings.Repeat("v", 5000)
	for _, x := range []struct {
		name, request string
		early         bool
	}{
		{"put", "PUT /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\nv", true},
		{"put under a key", "PUT /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nIdempotency-Key: order-17\r\nContent-Length: 1\r\n\r\nv", true},
		{"get", "GET /v1/kv/no/1?consistency=quorum HTTP/1.1\r\nHost: n\r\n\r\n", true},
		{"head", "HEAD /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\n\r\n", true},
		{"delete", "DELETE /v1/kv/no%2F1?timeout=3s HTTP/1.1\r\nHost: n\r\n\r\n", true},
		{"another key", "PUT /v1/kv/yes HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\nv", false},
		{"no such parameter", "GET /v1/kv/no/1?nonsense=1 HTTP/1.1\r\nHost: n\r\n\r\n", false},
		{"no such path", "GET /no/1 HTTP/1.1\r\nHost: n\r\n\r\n", false},
		{"no such method", "PATCH /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\nv", false},
		{"a probe", "GET /livez HTTP/1.1\r\nHost: n\r\n\r\n", false},
		{"another origin", "PUT /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 1\r\n\r\nv", false},
		{"no host", "GET /v1/kv/no/1 HTTP/1.1\r\n\r\n", false},
		{"no HTTP", "GET /v1/kv/no/1\r\n\r\n", false},
		{"an old one", "GET /v1/kv/no/1 HTTP/1.0\r\nHost: n\r\n\r\n", false},
		{"an upgrade", "GET /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", false},
		{"the last one", "GET /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n", false},
		{"chunks", "PUT /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nv\r\n0\r\n\r\n", false},
		{"a name with a space", "PUT /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nContent-Length : 38\r\n\r\n", false},
		{"chunks, with a space", "PUT /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nTransfer-Encoding : chunked\r\n\r\n", false},
		{"a malformed host", "GET /v1/kv/no/1 HTTP/1.1\r\nHost: n m\r\n\r\n", false},
		{"a host in the path alone", "GET http://n/v1/kv/no/1 HTTP/1.1\r\n\r\n", false},
		{"a malformed value", "GET /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nX: a\x01b\r\n\r\n", false},
		{"the last one, among others", "GET /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nConnection: x close\r\n\r\n", false},
		{"one that says that more will come", "GET /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nConnection: Keep-Alive\r\n\r\n", true},
		{"more than is looked at", "PUT /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nContent-Length: 5000\r\n\r\n" + long, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			inTurn := func(doorstep bool) (all []string) {
				synctest.Test(t, func(t *testing.T) {
					p := newPipes()
					s := guarded(p, doorstep, httpd.ServerConfig{})
					for _, before := range []string{"", "GET /v1/kv/before HTTP/1.1\r\nHost: n\r\n\r\n"} { // a new connection, and one in use
						conn := p.dial()
						in := bufio.NewReader(conn)
						if before != "" {
							_, _ = io.WriteString(conn, before) // what does not arrive has no answer
							answerOf(t, in, "GET")
							synctest.Wait() // until net/http does not read ahead for that one any more
						}
						go func() { _, _ = io.WriteString(conn, x.request) }() // a server that has read enough closes
						method, _, _ := strings.Cut(x.request, " ")
						res, body := answerOf(t, in, method)
						if early(res) != (doorstep && x.early) {
							t.Errorf("with the doorstep %v: refused early: %v", doorstep, early(res))
						}
						res.Header.Del("Date")
						all = append(all, fmt.Sprint(res.Status, res.Header, res.ContentLength, body))
						_ = conn.Close()
					}
					if err := s.Close(time.Minute); err != nil {
						t.Error(err)
					}
				})
				return all
			}
			if with, without := inTurn(true), inTurn(false); !slices.Equal(with, without) {
				t.Errorf("on the doorstep\n%q, by the handler\n%q", with, without)
			}
		})
	}
}

// TestDoorstepKeepsRequestsApart: however the bytes of requests are cut into pieces, and whatever their bodies look like, each
// is answered once, in order, and none for another.
func TestDoorstepKeepsRequestsApart(t *testing.T) {
	const inBody = "GET /v1/kv/no/body HTTP/1.1\r\nHost: n\r\n\r\n"
	kinds := []struct {
		text   string
		status int
	}{
		{"GET /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\n\r\n", 503},
		{fmt.Sprintf("PUT /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\nContent-Length: %d\r\n\r\n%s", len(inBody), inBody), 503},
		{fmt.Sprintf("PUT /v1/kv/yes HTTP/1.1\r\nHost: n\r\nContent-Length: %d\r\n\r\n%s", len(inBody), inBody), 200},
		{fmt.Sprintf("PUT /v1/kv/yes HTTP/1.1\r\nHost: n\r\nContent-Length: %d\r\n\r\n%s", 100*len(inBody), strings.Repeat(inBody, 100)), 200},
		{fmt.Sprintf("PUT /v1/kv/yes HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(inBody), inBody), 200},
		{"GET /v1/kv/none HTTP/1.1\r\nHost: n\r\n\r\n", 404},
		{"X" + inBody, 405},
	}
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			p := newPipes()
			s := guarded(p, true, httpd.ServerConfig{})
			var text string
			var ends, want []int
			for range 20 {
				k := kinds[rng.IntN(len(kinds))]
				text += k.text
				ends, want = append(ends, len(text)), append(want, k.status)
			}
			conn := p.dial()
			go func() { // ends with the connection
				for from := 0; from < len(text); synctest.Wait() {
					to := from + 1 + rng.IntN(1+rng.IntN(5000))
					if rng.IntN(10) > 0 { // to the end of a request, as clients do, or hardly beyond
						i, _ := slices.BinarySearch(ends, from+1)
						to = ends[i] + max(0, rng.IntN(6)-3)
					}
					to = min(to, len(text))
					if _, err := io.WriteString(conn, text[from:to]); err != nil {
						return
					}
					from = to
				}
			}()
			in := bufio.NewReader(conn)
			var got []int
			for range want {
				_ = conn.SetReadDeadline(time.Now().Add(time.Hour)) // in virtual time
				res, _ := answerOf(t, in, "GET")
				got = append(got, res.StatusCode)
			}
			if !slices.Equal(got, want) {
				t.Errorf("seed %d: %v, not %v", seed, got, want)
			}
			_ = conn.Close()
			if err := s.Close(time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDoorstepTimes: who was refused on a new connection may wait for longer than a header may take, and no longer than a
// connection may be idle; the end of the server does not wait for it.
func TestDoorstepTimes(t *testing.T) {
	const refused, served = "GET /v1/kv/no/1 HTTP/1.1\r\nHost: n\r\n\r\n", "GET /v1/kv/none HTTP/1.1\r\nHost: n\r\n\r\n"
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := guarded(p, true, httpd.ServerConfig{HeaderTimeout: 3 * time.Second, IdleTimeout: 20 * time.Second})
		dial := func() (net.Conn, *bufio.Reader) {
			conn := p.dial()
			in := bufio.NewReader(conn)
			_, _ = io.WriteString(conn, refused)
			if res, _ := answerOf(t, in, "GET"); !early(res) {
				t.Fatalf("%d with %v", res.StatusCode, res.Header)
			}
			return conn, in
		}
		conn, in := dial()
		for _, wait := range []time.Duration{10 * time.Second, time.Second, 19 * time.Second} {
			time.Sleep(wait)
			_, _ = io.WriteString(conn, served[:20])
			time.Sleep(2 * time.Second) // within the time of a header
			_, _ = io.WriteString(conn, served[20:])
			if res, _ := answerOf(t, in, "GET"); res.StatusCode != 404 {
				t.Fatalf("%d after %v", res.StatusCode, wait)
			}
		}

		conn, _ = dial()
		began := time.Now()
		if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(began) != 20*time.Second {
			t.Errorf("%d bytes, %v, after %v", n, err, time.Since(began))
		}

		conn, _ = dial()
		time.Sleep(10 * time.Second)
		_, _ = io.WriteString(conn, served[:20])
		began = time.Now()
		if n, err := io.ReadAll(conn); err != nil || time.Since(began) != 3*time.Second {
			t.Errorf("half of a header: %q, %v, after %v", n, err, time.Since(began))
		}

		dial()
		began = time.Now()
		if err := s.Close(time.Minute); err != nil || time.Since(began) > time.Second {
			t.Errorf("closing took %v: %v", time.Since(began), err)
		}
	})
}

// TestDoorstepIsForTheCrowded: a node with nothing to do asks only its handler.
func TestDoorstepIsForTheCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		p := newPipes()
		s := httpd.Serve(p, httpd.ServerConfig{Handler: httpd.New(httpd.Config{
			Store: fake{read: func(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
				<-block
				return &api.ReadResult{Entries: make([]api.Entry, len(q.Keys))}, nil
			}},
			CalmInFlight: 4, Busy: func() bool { return true },
		})})
		var conns []*bufio.Reader
		ask := func() *bufio.Reader {
			conn := p.dial()
			_, _ = io.WriteString(conn, "GET /v1/kv/k HTTP/1.1\r\nHost: n\r\n\r\n")
			synctest.Wait()
			t.Cleanup(func() { _ = conn.Close() })
			return bufio.NewReader(conn)
		}
		for range 4 {
			conns = append(conns, ask())
		}
		if res, body := answerOf(t, ask(), "GET"); !early(res) || !strings.Contains(body, "more to do than it can") {
			t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
		}
		close(block)
		for _, in := range conns {
			if res, _ := answerOf(t, in, "GET"); res.StatusCode != 404 {
				t.Errorf("%d", res.StatusCode)
			}
		}
		if err := s.Close(time.Minute); err != nil {
			t.Error(err)
		}
	})
}
