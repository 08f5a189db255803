package httpd_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestRests: who is refused and comes again at once is refused at once, and then not read for a while, longer each time;
// who waits as told, or is served, is not. The end of the server does not wait for it.
func TestRests(t *testing.T) {
	for name, calm := range map[string]int{"refused by the handler": 0, "refused on the doorstep": 1} {
		t.Run(name, func(t *testing.T) { testRests(t, calm) })
	}
}

func testRests(t *testing.T, calm int) {
	synctest.Test(t, func(t *testing.T) {
		full := &api.Error{Code: api.CodeUnavailable, RetryAfter: 500 * time.Millisecond}
		var open atomic.Bool
		p := newPipes()
		s := httpd.Serve(p, httpd.ServerConfig{Handler: httpd.New(httpd.Config{
			Store: storetest.NewMemory(), CalmInFlight: calm,
			Full: func(api.Key, bool, api.Consistency, int64) *api.Error {
				if open.Load() {
					return nil
				}
				return full
			},
		})})
		conn := p.dial()
		in := bufio.NewReader(conn)
		var last *http.Response
		ask := func(status int, told string, wait time.Duration) {
			t.Helper()
			began := time.Now()
			if _, err := conn.Write([]byte("PUT /v1/kv/k HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\nv")); err != nil {
				t.Fatal(err)
			}
			res, _ := answerOf(t, in, "PUT")
			last = res
			if took := time.Since(began); res.StatusCode != status || res.Header.Get("Retry-After") != told || took != wait {
				t.Errorf("%d, Retry-After %q, after %v; not %d, %q, %v", res.StatusCode, res.Header.Get("Retry-After"), took, status, told, wait)
			}
		}
		ask(503, "1", 0)
		ask(503, "4", 0) // too early: now it rests
		ask(503, "5", 3*time.Second)
		ask(503, "5", 4*time.Second)
		if got := early(last); got != (calm == 1) {
			t.Errorf("refused on the doorstep: %v", got)
		}
		time.Sleep(5 * time.Second)
		ask(503, "1", 0) // as told
		time.Sleep(500 * time.Millisecond)
		ask(503, "1", 0) // not much too early
		ask(503, "4", 0)
		open.Store(true)
		ask(200, "", 3*time.Second)
		ask(200, "", 0)
		open.Store(false)
		ask(503, "1", 0)
		ask(503, "4", 0)
		began := time.Now()
		if err := s.Close(10 * time.Second); err != nil || time.Since(began) > time.Second/2 {
			t.Errorf("closing took %v: %v", time.Since(began), err)
		}
		_ = conn.Close()
	})
}

// TestRestsBehindOneAnother: who sends requests without waiting for answers rests as well.
func TestRestsBehindOneAnother(t *testing.T) {
	for name, doorstep := range map[string]bool{"refused by the handler": false, "refused on the doorstep": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				s := guarded(p, doorstep, httpd.ServerConfig{})
				conn := p.dial()
				in := bufio.NewReader(conn)
				began := time.Now()
				go func() { _, _ = io.WriteString(conn, strings.Repeat(refusedGet, 4)) }() // what does not arrive has no answer
				for i, after := range []time.Duration{0, 0, 3 * time.Second, 7 * time.Second} {
					answerOf(t, in, "GET")
					if took := time.Since(began); took != after {
						t.Errorf("refusal %d came after %v, not %v", i, took, after)
					}
				}
				_ = conn.Close()
				if err := s.Close(time.Minute); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
