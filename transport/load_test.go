package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestSilentConnections: a thousand connections that say nothing, on real sockets, cost under 64 MiB and are gone in
// time; meanwhile every lane answers. In the end no goroutine and no descriptor is left.
func TestSilentConnections(t *testing.T) {
	goroutines, descriptors := count(t)
	func() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, err := Open(Config{Listener: l, Preface: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}()
		before := memory()
		start := time.Now()
		silent := dialMany(t, l.Addr().String(), 1000)
		until(t, "all silent connections wait", func() bool { return p.Unmatched() == 1000 })
		if used := memory() - before; used > 64<<20 {
			t.Errorf("1,000 silent connections cost %d MiB", used>>20)
		}
		everyLane(t, p, l.Addr().String())
		var wg sync.WaitGroup
		for _, c := range silent {
			wg.Go(func() {
				closedAfter(t, c, 30*time.Second)
				_ = c.Close()
			})
		}
		wg.Wait()
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("they were gone after %v", d)
		}
	}()
	until(t, "goroutines and descriptors are as before", func() bool {
		g, d := count(t)
		return g <= goroutines && d <= descriptors
	})
}

// everyLane talks Raft, peer, HTTP/1.1 and HTTP/2 on one port.
func everyLane(t *testing.T, p *Port, address string) {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }),
		Protocols:         &protocols,
		ReadHeaderTimeout: 10 * time.Second,
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(p.HTTP()) })
	defer wg.Wait()
	defer func() { _ = server.Close() }()
	expectHTTP(t, address, "HTTP/1.1", (*http.Protocols).SetHTTP1)
	expectHTTP(t, address, "HTTP/2.0", (*http.Protocols).SetUnencryptedHTTP2)

	var nd net.Dialer
	d := Dialer{Dial: func(ctx context.Context, a string) (net.Conn, error) { return nd.DialContext(ctx, "tcp", a) }}
	echo(t, p.Raft("g"), "raft")
	echo(t, p.Peer(), "peer")
	c, err := d.DialRaft(t.Context(), address, "g")
	expectEcho(t, c, err, "raft")
	c, err = d.DialPeer(t.Context(), address, "")
	expectEcho(t, c, err, "peer")
}

func expectHTTP(t *testing.T, address, proto string, set func(*http.Protocols, bool)) {
	t.Helper()
	var protocols http.Protocols
	set(&protocols, true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s/", address), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Errorf("%s: %v", proto, err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != proto {
		t.Errorf("%s: got %q, %v", proto, b, err)
	}
}

func dialMany(t *testing.T, address string, n int) []net.Conn {
	t.Helper()
	var d net.Dialer
	all := make([]net.Conn, n)
	for i := range all {
		c, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = c
	}
	return all
}

// memory is what the heap and the stacks hold.
func memory() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

// count counts goroutines and, on systems that list them, descriptors.
func count(t *testing.T) (goroutines, descriptors int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return runtime.NumGoroutine(), 0
	}
	return runtime.NumGoroutine(), len(all)
}

// until waits for a condition of real time.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		runtime.Gosched()
	}
}

// TestStalledHandshakes is Attack 1, of many: a thousand clients that stop after the server's first answer, on real sockets, cost less
// than 40 KiB each and are gone in time; meanwhile a node from a known address waits for none of them.
func TestStalledHandshakes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := secure(t)
	s.Known = func(net.Addr) bool { return true }
	p, err := Open(Config{Listener: l, Preface: 3 * time.Second, Secure: s})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	hello := clientHello(t, asClient("h2"))
	const n = 1000
	before, start := memory(), time.Now()
	stalled := dialMany(t, l.Addr().String(), n)
	for _, c := range stalled {
		if _, err := io.WriteString(c, hello); err != nil {
			t.Fatal(err)
		}
	}
	var nd net.Dialer
	own := asNode(t)
	d := Dialer{Dial: func(ctx context.Context, a string) (net.Conn, error) { return nd.DialContext(ctx, "tcp", a) },
		Secure: &DialSecure{Config: func(string) (*tls.Config, error) { return own, nil }, Identify: func(string, tls.ConnectionState) (any, error) { return nil, nil }}}
	echo(t, p.Peer(), "peer")
	c, err := d.DialPeer(t.Context(), l.Addr().String(), "n")
	expectEcho(t, c, err, "peer")
	t.Logf("a node was let in %v after the first of %d clients", time.Since(start), n)
	answered := 0
	for _, c := range stalled { // the server has answered each
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			answered++
		}
	}
	if each := (memory() - before) / n; p.Unmatched() == n && each > 40<<10 {
		t.Errorf("each costs %d KiB", each>>10)
	} else {
		t.Logf("each costs %d KiB; %d are open, %d were answered", each>>10, p.Unmatched(), answered)
	}
	for _, c := range stalled {
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("one is open after 30 s")
		}
		_ = c.Close()
	}
	until(t, "none is left", func() bool { return p.Unmatched() == 0 })
}
