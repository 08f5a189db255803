package httpd_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/wire"
)

const getNone = "GET /v1/kv/none HTTP/1.1\r\nHost: n\r\n\r\n"

// exchangeOn sends a request on conn and reads the answer.
func exchangeOn(t *testing.T, conn net.Conn, raw string) *http.Response {
	t.Helper()
	go func() { _, _ = io.WriteString(conn, raw) }() // what does not arrive has no answer
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// closed reports whether the server has closed conn.
func closed(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// boundedAPI serves the API over p on at most two connections.
func boundedAPI(t *testing.T, run func(t *testing.T, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := memoryAPI()
		p := newPipes()
		s := httpd.Serve(p, httpd.ServerConfig{Handler: h, MaxConns: 2, HeaderTimeout: time.Minute})
		run(t, p)
		if err := s.Close(5 * time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestConnectionOverTheBound: it is answered 503 after a second and closed while the others are busy, and the node goes on
// accepting.
func TestConnectionOverTheBound(t *testing.T) {
	boundedAPI(t, func(t *testing.T, p *pipes) {
		first, second := p.dial(), p.dial()
		for raw, applied := range map[string]string{
			getNone: "no",
			"PUT /v1/kv/a HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\nx":                              "no",
			"PUT /v1/kv/a HTTP/1.1\r\nHost: n\r\nidempotency-Key: order-17\r\nContent-Length: 1\r\n\r\nx": "unknown",
			"PUT /v1/kv/a HTTP/1.1\r\nHost: n\r\n":                                                        "unknown",
		} {
			over, began := p.dial(), time.Now()
			r := exchangeOn(t, over, raw)
			if took := time.Since(began); took < time.Second || took > 2*time.Second {
				t.Errorf("%q: answered after %v", raw, took)
			}
			if body := bodyOf(t, r); r.StatusCode != 503 || !strings.Contains(body, `"applied":"`+applied+`"`) || !strings.Contains(body, "2 connections") {
				t.Errorf("%q: status %d, %s", raw, r.StatusCode, body)
			}
			if header(r, "Content-Type") != "application/problem+json" || header(r, "Retry-After") != "1" || !r.Close || !closed(over) {
				t.Errorf("%q: the headers are %v", raw, r.Header)
			}
		}
		silent := p.dial()
		time.Sleep(2 * time.Second)
		if !closed(silent) {
			t.Error("a silent connection over the bound is open")
		}
		_ = second.Close()
		synctest.Wait()
		third := p.dial() // there is room again
		wantStatus(t, exchangeOn(t, third, getNone), 404)
		wantStatus(t, exchangeOn(t, first, getNone), 404)
		_, _ = first.Close(), third.Close()
	})
}

// TestRefusalsAreBounded: of the connections over the bound 1024 are refused after a second, 256 more at once, and the rest is
// closed. None of them delays Close.
func TestRefusalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := memoryAPI()
		p := newPipes()
		s := httpd.Serve(p, httpd.ServerConfig{Handler: h, MaxConns: 1})
		began := time.Now()
		var over []net.Conn
		for range 1 + httpd.MaxRefusals {
			over = append(over, p.dial())
		}
		if c := p.dial(); !closed(c) || time.Since(began) != 0 {
			t.Errorf("one too many is not closed at once: after %v", time.Since(began))
		}
		wantStatus(t, exchangeOn(t, over[len(over)-1], getNone), 503)
		if took := time.Since(began); took != 0 {
			t.Errorf("one that is not to wait is answered after %v", took)
		}
		delayed := make(chan *http.Response)
		go func() { delayed <- exchangeOn(t, over[1], getNone) }()
		for i, c := range over {
			if i != 1 {
				_ = c.Close()
			}
		}
		if err := s.Close(time.Second); err != nil {
			t.Error(err)
		}
		wantStatus(t, <-delayed, 503)
		if took := time.Since(began); took > 100*time.Millisecond { // net/http looks every few milliseconds
			t.Errorf("closed after %v", took)
		}
	})
}

// TestIdleConnectionsGiveWay: the connection that has been idle for the longest time is closed for a new one.
func TestIdleConnectionsGiveWay(t *testing.T) {
	boundedAPI(t, func(t *testing.T, p *pipes) {
		first, second := p.dial(), p.dial()
		_ = exchangeOn(t, first, getNone)
		time.Sleep(time.Second)
		_ = exchangeOn(t, second, getNone)
		time.Sleep(time.Second)
		_ = exchangeOn(t, first, getNone) // now second has been idle for longer
		third := p.dial()
		wantStatus(t, exchangeOn(t, third, getNone), 404)
		if !closed(second) {
			t.Error("the connection that has been idle for the longest time is open")
		}
		wantStatus(t, exchangeOn(t, first, getNone), 404)
		_, _, _ = first.Close(), second.Close(), third.Close()
	})
}

// TestConnectionsAreCounted: connections of both protocols, and those that streams take over, leave room when they end.
func TestConnectionsAreCounted(t *testing.T) {
	boundedAPI(t, func(t *testing.T, p *pipes) {
		for range 3 {
			for _, protocols := range []func(*http.Protocols){http1, http2} {
				c := p.over(protocols)
				wantStatus(t, do(t, c, "GET", "none", nil), 404)
				c.CloseIdleConnections()
				synctest.Wait()
			}
			stream := p.dial()
			r := exchangeOn(t, stream, "GET /v1/calls HTTP/1.1\r\nHost: n\r\nConnection: Upgrade\r\nUpgrade: "+wire.Protocol+"\r\n\r\n")
			wantStatus(t, r, 101)
			defer func() { _ = stream.Close() }()
		}
		if r := exchangeOn(t, p.dial(), strings.Replace(getNone, "GET", "PUT", 1)); r.StatusCode != 200 {
			t.Errorf("status %d", r.StatusCode)
		}
	})
}
