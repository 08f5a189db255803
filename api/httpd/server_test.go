package httpd_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// pipes is a listener whose connections are pipes in memory, so that time can be virtual.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7400} }

func (p *pipes) dial() net.Conn {
	mine, theirs := net.Pipe()
	p.conns <- theirs
	return mine
}

// over is an HTTP client over p.
func (p *pipes) over(protocols func(*http.Protocols)) *http.Client {
	t := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil }, Protocols: new(http.Protocols)}
	protocols(t.Protocols)
	return &http.Client{Transport: t}
}

func http1(p *http.Protocols) { p.SetHTTP1(true) }
func http2(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }

// inBubble serves h in virtual time.
func inBubble(t *testing.T, h http.Handler, run func(t *testing.T, p *pipes, s *httpd.Server)) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := httpd.Serve(p, httpd.ServerConfig{Handler: h})
		run(t, p, s)
		if err := s.Close(5 * time.Second); err != nil { // a connection of HTTP/2 needs one of them to say goodbye
			t.Errorf("close: %v", err)
		}
		if err := s.Err(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
}

func TestBothProtocols(t *testing.T) {
	for name, protocols := range map[string]func(*http.Protocols){"HTTP/1.1": http1, "HTTP/2.0": http2} {
		h, _ := memoryAPI()
		inBubble(t, h, func(t *testing.T, p *pipes, _ *httpd.Server) {
			c := p.over(protocols)
			defer c.CloseIdleConnections()
			for _, key := range []string{"a", "a//b/../c%2F%ff", strings.Repeat("%ff", api.MaxKeyBytes)} {
				value := strings.Repeat("v", api.MaxValueBytes)
				r := do(t, c, "PUT", key, strings.NewReader(value))
				if r.StatusCode != 200 || r.Proto != name {
					t.Fatalf("status %d over %s, want %s", r.StatusCode, r.Proto, name)
				}
				r = do(t, c, "GET", key, nil)
				if got := bodyOf(t, r); r.StatusCode != 200 || got != value {
					t.Errorf("read status %d and %d bytes", r.StatusCode, len(got))
				}
			}
		})
	}
}

func do(t *testing.T, c *http.Client, method, key string, body io.Reader) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://edgehold/v1/kv/"+key, body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(got))
	return r
}

// TestSlowClients: each way to be slow ends within a bounded time, and no other client waits for it.
func TestSlowClients(t *testing.T) {
	for _, c := range []struct {
		name, sends string
		atMost      time.Duration
		answer      string
	}{
		{"silent", "", 6 * time.Second, ""},
		{"empty lines", strings.Repeat("\r\n", 5000), 6 * time.Second, ""},
		{"half a header", "GET /v1/kv/a HTTP/1.1\r\nHost: e\r\nX: ", 6 * time.Second, ""},
		{"a body that does not come", "PUT /v1/kv/slow?timeout=3s HTTP/1.1\r\nHost: e\r\nContent-Length: 10\r\n\r\nhalf", 9 * time.Second, "503"},
		{"chunks that do not come", "PUT /v1/kv/slow?timeout=3s HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", 9 * time.Second, "503"},
		{"an unwanted body", "GET /v1/kv/a HTTP/1.1\r\nHost: e\r\nContent-Length: 10\r\n\r\nhalf", 6 * time.Second, "404"},
		{"a body for nothing", "POST /nothing HTTP/1.1\r\nHost: e\r\nContent-Length: 10\r\n\r\nhalf", 6 * time.Second, "404"},
		{"a value over the limit", "PUT /v1/kv/slow HTTP/1.1\r\nHost: e\r\nContent-Length: 99999999\r\n\r\nhalf", 6 * time.Second, "413"},
		{"idle after a request", "GET /v1/kv/a HTTP/1.1\r\nHost: e\r\n\r\n", 121 * time.Second, "404"},
		{"half of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 130 * time.Second, ""},
	} {
		h, m := memoryAPI()
		inBubble(t, h, func(t *testing.T, p *pipes, _ *httpd.Server) {
			conn := p.dial()
			begin := time.Now()
			go func() { _, _ = io.WriteString(conn, c.sends) }()
			got, _ := io.ReadAll(conn) // ends when the server gives the connection up
			if took := time.Since(begin); took > c.atMost {
				t.Errorf("%s: the connection lived %v, want at most %v", c.name, took, c.atMost)
			}
			if !strings.HasPrefix(string(got), "HTTP/1.1 "+c.answer) && c.answer != "" {
				t.Errorf("%s: answer %.100q, want %s", c.name, got, c.answer)
			}
			_ = conn.Close()
			if r, err := storetest.Read(t.Context(), m, &api.ReadRequest{Keys: []api.Key{"slow"}}); err != nil || r.Entries[0].Exists {
				t.Errorf("%s: half a value was written: %v, %v", c.name, r, err)
			}
		})
	}
}

// TestSlowBodyDoesNotEndItsRequest: the deadline for a body is gone once the body is there.
func TestSlowBodyDoesNotEndItsRequest(t *testing.T) {
	memory := storetest.NewMemory()
	slow := fake{do: func(ctx context.Context, txn *api.Txn) (*api.TxnResult, error) {
		select {
		case <-ctx.Done():
			return nil, api.CodeAmbiguous
		case <-time.After(20 * time.Second):
			return memory.Do(ctx, txn)
		}
	}}
	inBubble(t, newAPI(front.Config{Store: slow}, httpd.Config{}), func(t *testing.T, p *pipes, _ *httpd.Server) {
		c := p.over(http1)
		defer c.CloseIdleConnections()
		for _, query := range []string{"a?timeout=30s", "a?timeout=19s", "a?timeout=30s"} {
			want := map[string]int{"a?timeout=30s": 200, "a?timeout=19s": 504}[query]
			if r := do(t, c, "PUT", query, strings.NewReader("x")); r.StatusCode != want {
				t.Errorf("%s: status %d, want %d", query, r.StatusCode, want)
			}
		}
	})
}

func TestExpectContinue(t *testing.T) {
	h, _ := memoryAPI()
	inBubble(t, h, func(t *testing.T, p *pipes, _ *httpd.Server) {
		conn := p.dial()
		defer func() { _ = conn.Close() }()
		in := bufio.NewReader(conn)
		ask := func(length int) string {
			if _, err := fmt.Fprintf(conn, "PUT /v1/kv/a HTTP/1.1\r\nHost: e\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", length); err != nil {
				t.Fatal(err)
			}
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(line)
		}
		if got := ask(5); got != "HTTP/1.1 100 Continue" {
			t.Fatal(got)
		}
		_, _ = in.ReadString('\n')
		go func() { _, _ = io.WriteString(conn, "hello") }()
		r, err := http.ReadResponse(in, nil)
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("%v, %v", r, err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		if got := ask(api.MaxValueBytes + 1); got != "HTTP/1.1 413 Request Entity Too Large" {
			t.Errorf("a value over the limit was asked for: %s", got)
		}
	})
}

// TestClose: requests in flight may finish within the grace, then their contexts end; Close waits for both.
func TestClose(t *testing.T) {
	for name, c := range map[string]struct {
		takes, grace time.Duration
		status       int
	}{"in time": {2 * time.Second, 3 * time.Second, 500}, "too long": {time.Hour, 3 * time.Second, 0}} {
		synctest.Test(t, func(t *testing.T) {
			began, ended := make(chan struct{}), false
			h := newAPI(front.Config{Store: fake{read: func(ctx context.Context, _ *api.ReadRequest) (*api.ReadResult, error) {
				close(began)
				select {
				case <-time.After(c.takes):
				case <-ctx.Done():
				}
				ended = true
				return nil, api.CodeInternal
			}}}, httpd.Config{})
			p := newPipes()
			s := httpd.Serve(p, httpd.ServerConfig{Handler: h})
			status := make(chan int, 1)
			go func() {
				client := p.over(http1)
				r, err := client.Get("http://edgehold/v1/kv/a?timeout=5m")
				if err != nil {
					status <- 0
					return
				}
				_ = r.Body.Close()
				client.CloseIdleConnections()
				status <- r.StatusCode
			}()
			<-began
			if err := s.Close(c.grace); (err == nil) != (c.status != 0) {
				t.Errorf("%s: close: %v", name, err)
			}
			if !ended {
				t.Errorf("%s: Close returned before the handler", name)
			}
			if got := <-status; got != c.status {
				t.Errorf("%s: status %d, want %d", name, got, c.status)
			}
			if err := s.Err(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestListenerFails(t *testing.T) {
	broken := errors.New("broken")
	s := httpd.Serve(failing{err: broken}, httpd.ServerConfig{Handler: http.NotFoundHandler()})
	<-s.Done()
	if err := s.Err(); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if err := s.Close(time.Second); err != nil {
		t.Error(err)
	}
}

type failing struct {
	net.Listener
	err error
}

func (f failing) Accept() (net.Conn, error) { return nil, f.err }
func (f failing) Close() error              { return nil }
func (f failing) Addr() net.Addr            { return &net.TCPAddr{} }

// TestUnreadableRequests: net/http refuses what it cannot read before a handler sees it, and ends the connection, also one that
// has answered before.
func TestUnreadableRequests(t *testing.T) {
	for _, c := range []struct {
		name, sends string
		status      int
	}{
		{"a bad escape", "GET /v1/kv/a%zz HTTP/1.1\r\nHost: e\r\n\r\n", 400},
		{"a space in the path", "GET /v1/kv/a b HTTP/1.1\r\nHost: e\r\n\r\n", 400},
		{"no host", "GET /v1/kv/a HTTP/1.1\r\n\r\n", 400},
		{"an endless path", "GET /v1/kv/" + strings.Repeat("x", 100<<10) + " HTTP/1.1\r\nHost: e\r\n\r\n", 431},
		{"an unknown coding", "PUT /v1/kv/a HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: zip\r\n\r\n", 501},
		{"no HTTP", "\x16\x03\x01 what is this\r\n\r\n", 400},
	} {
		for _, before := range []string{"", "GET /v1/kv/before HTTP/1.1\r\nHost: e\r\n\r\n"} {
			h, _ := memoryAPI()
			inBubble(t, h, func(t *testing.T, p *pipes, _ *httpd.Server) {
				conn := p.dial()
				defer func() { _ = conn.Close() }()
				go func() { _, _ = io.WriteString(conn, before+c.sends) }()
				answers := bufio.NewReader(conn)
				if before != "" {
					r, err := http.ReadResponse(answers, nil)
					if err != nil {
						t.Fatal(err)
					}
					wantProblem(t, r, 404, api.CodeNotFound)
				}
				r, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				if r.StatusCode != c.status || !r.Close {
					t.Errorf("%s: status %d, the connection ends: %v", c.name, r.StatusCode, r.Close)
				}
			})
		}
	}
}

// TestUnwantedBodies: over HTTP/2 a body that no handler reads is taken up to a bound, so that no client is reset while it
// sends one that is a little over the limit; a longer one is refused while it comes.
func TestUnwantedBodies(t *testing.T) {
	for size, whole := range map[int]bool{api.MaxValueBytes + 1: true, 3 * api.MaxValueBytes: true, 16 * api.MaxValueBytes: false} {
		h, _ := memoryAPI()
		inBubble(t, h, func(t *testing.T, p *pipes, _ *httpd.Server) {
			c := p.over(http2)
			defer c.CloseIdleConnections()
			body := &counting{r: strings.NewReader(strings.Repeat("v", size))}
			r := do(t, c, "PUT", "k", body)
			wantProblem(t, r, 413, api.CodeTooLarge)
			if got := body.read.Load(); (got == int64(size)) != whole {
				t.Errorf("%d of %d bytes were taken", got, size)
			}
		})
	}
}

// TestUnwantedBodyThatDoesNotEnd: over HTTP/2 too, the answer waits a bounded time for a body that no handler reads.
func TestUnwantedBodyThatDoesNotEnd(t *testing.T) {
	h, _ := memoryAPI()
	inBubble(t, h, func(t *testing.T, p *pipes, _ *httpd.Server) {
		c := p.over(http2)
		defer c.CloseIdleConnections()
		body, w := io.Pipe()
		defer func() { _ = w.Close() }()
		go func() { _, _ = w.Write(make([]byte, api.MaxValueBytes+1)) }() // and then nothing
		begin := time.Now()
		wantProblem(t, do(t, c, "PUT", "k?timeout=5m", body), 413, api.CodeTooLarge)
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("the answer took %v", took)
		}
	})
}

// counting counts what is read.
type counting struct {
	r    io.Reader
	read atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.read.Add(int64(n))
	return n, err
}
