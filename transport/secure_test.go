package transport

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// certificate is one of a key that is made anew.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"port"}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secure is TLS for nodes and clients, which checks no certificate.
func secure(t testing.TB) *Secure {
	own := certificate(t)
	node := &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert,
		NextProtos: []string{ALPNNode}, SessionTicketsDisabled: true}
	client := &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
	joining := &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13, NextProtos: []string{ALPNJoin}}
	fixed := func(c *tls.Config) func() *tls.Config { return func() *tls.Config { return c } }
	return &Secure{Node: fixed(node), Client: fixed(client), Join: fixed(joining)}
}

// asClient is the TLS of a client that names these protocols.
func asClient(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols} //nolint:gosec // the port's certificate is made for the test
}

func asNode(t testing.TB) *tls.Config {
	c := asClient(ALPNNode)
	c.Certificates = []tls.Certificate{certificate(t)}
	return c
}

// securely makes a dialer speak TLS.
func (p place) securely(t testing.TB, links *Links) Dialer {
	own := asNode(t)
	return Dialer{Dial: p.dialer.Dial, Secure: &DialSecure{
		Config:   func(string) (*tls.Config, error) { return own, nil },
		Identify: func(name string, _ tls.ConnectionState) (any, error) { return "node " + name, nil },
		Links:    links,
	}}
}

// tls connects, and shakes hands.
func (p place) tls(t *testing.T, cfg *tls.Config) *tls.Conn {
	t.Helper()
	c := tls.Client(p.raw(t, ""), cfg)
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSecureLanes: every lane works under TLS, and its owner learns which node is at the other end.
func TestSecureLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{Secure: secure(t), Identify: func(_ context.Context, a Arrival) (any, error) {
			if a.TLS == nil || len(a.TLS.PeerCertificates) != 1 {
				return nil, errors.New("no certificate")
			}
			return "a node", nil
		}})
		d := p.securely(t, nil)
		echo(t, p.Raft("g"), "raft")
		echo(t, p.Peer(), "peer")
		echo(t, p.Calls(), "calls")
		c, err := d.DialRaft(t.Context(), "port", "g")
		expectEcho(t, c, err, "raft")
		c, err = d.DialPeer(t.Context(), "port", "")
		expectEcho(t, c, err, "peer")
		c, err = d.DialCalls(t.Context(), "port", "n")
		expectEcho(t, c, err, "calls")
		for _, protocols := range [][]string{nil, {"http/1.1"}, {"h2", "http/1.1"}, {ALPNJoin}} {
			echo(t, p.HTTP(), "http")
			c := p.tls(t, asClient(protocols...))
			if _, err := io.WriteString(c, "GET /"); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(c); err != nil || string(b) != "http GET /" {
				t.Errorf("%v: got %q, %v", protocols, b, err)
			}
		}
		if n := p.Unmatched(); n != 0 {
			t.Errorf("%d connections count as unmatched", n)
		}
	})
}

// TestSecureRESP: on TLS, RESP is for clients that name no protocol; a client without TLS is refused with the advice to use it.
func TestSecureRESP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{Secure: secure(t)})
		l := p.RESP()
		for _, protocols := range [][]string{nil, {"http/1.1"}, {"h2", "http/1.1"}, {ALPNJoin}} {
			if protocols == nil {
				echo(t, l, "resp")
			}
			c := p.tls(t, asClient(protocols...))
			if _, err := io.WriteString(c, "*1\r\n$"); err != nil {
				t.Fatal(err)
			}
			want := map[bool]string{true: "resp *1\r\n$"}[protocols == nil]
			if b, err := io.ReadAll(c); err != nil || string(b) != want {
				t.Errorf("%v: got %q, %v", protocols, b, err)
			}
		}
		c := p.raw(t, "*1\r\n$4\r\nPING\r\n")
		b := make([]byte, len(useTLS))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != useTLS {
			t.Errorf("without TLS: got %q, %v", b, err)
		}
		_ = c.Close()
	})
}

// TestNotTLS is Attack 1: a connection without TLS is closed, an HTTP client after an answer that it must use HTTPS; so is one with
// TLS that is not valid.
func TestNotTLS(t *testing.T) {
	old := asClient("http/1.1")
	old.MaxVersion = tls.VersionTLS12
	for what, x := range map[string]struct {
		words    string
		answered bool
		after    time.Duration
	}{
		"HTTP":            {"GET / HTTP/1.1\r\n\r\n", true, 0},
		"HTTP/2":          {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true, 0},
		"SSH":             {"SSH-2.0-OpenSSH_9.6\r\n", true, 0},
		"raft":            {"\x01\x01x\x01y", false, 0},
		"peer":            {"\x02\x00\x00", false, 0},
		"calls":           {"\x03\x01n\x00", false, 0},
		"other bytes":     {"\xff\xff\xff\xff", false, 0},
		"garbage records": {"\x16\x03\x01\x00\x05hello", false, 0},
		"half a record":   {"\x16\x03\x01\x02\x00\x01", false, 5 * time.Second},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, Config{Secure: secure(t)})
				c, start := p.raw(t, x.words), time.Now()
				_ = c.SetReadDeadline(start.Add(time.Minute))
				b := make([]byte, len(useHTTPS))
				n, _ := io.ReadFull(c, b)
				if answered := string(b[:n]) == useHTTPS; answered != x.answered || !answered && n > 0 && b[0] != 0x15 { // an alert
					t.Errorf("got %q", b[:n])
				}
				if !x.answered && time.Since(start) != x.after {
					t.Errorf("closed after %v", time.Since(start))
				}
				_ = c.Close()
				synctest.Wait()
				if n := p.Unmatched(); n != 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{Secure: secure(t)})
		if err := tls.Client(p.raw(t, ""), old).HandshakeContext(t.Context()); err == nil {
			t.Error("TLS 1.2 is taken")
		}
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(useHTTPS)), nil)
		if err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Fatalf("got %v, %v", resp, err)
		}
		defer func() { _ = resp.Body.Close() }()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "use https://\n" {
			t.Errorf("got %q, %v", b, err)
		}
	})
}

// TestWrongProtocols is Attack 2: the protocol names the kind of the caller, the first byte the lane. A connection with a byte that is
// not for its protocol is closed.
func TestWrongProtocols(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{Secure: secure(t)})
		p.Raft("x")
		for _, words := range []string{"\x01\x01x\x01y", "\x02\x00\x00", "\x03\x01n\x00", "\x00", "\xff"} {
			for _, protocols := range [][]string{nil, {"h2"}, {ALPNJoin}} {
				c := p.tls(t, asClient(protocols...))
				if _, err := io.WriteString(c, words); err != nil {
					t.Fatal(err)
				}
				closedAfter(t, c, time.Millisecond)
			}
		}
		c := p.tls(t, asNode(t))
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		closedAfter(t, c, time.Millisecond)
		for _, protocols := range [][]string{{ALPNNode, "h2"}, {"http/1.1", ALPNNode}, {ALPNJoin, ALPNNode}, {"h2", ALPNJoin}, {"edgehold/0"}} {
			cfg := asNode(t)
			cfg.NextProtos = protocols
			if err := tls.Client(p.raw(t, ""), cfg).HandshakeContext(t.Context()); err == nil {
				t.Errorf("%v are taken", protocols)
			}
		}
		c = tls.Client(p.raw(t, ""), asClient(ALPNNode)) // without a certificate: the server's refusal comes after the handshake
		if err := c.HandshakeContext(t.Context()); err == nil {
			closedAfter(t, c, time.Millisecond)
		}
	})
}

// TestTickets is Attack 5, of the port: a client's ticket opens nothing at the lanes of nodes, and nodes get none.
func TestTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{Secure: secure(t)})
		cache := tls.NewLRUClientSessionCache(4)
		resumed := func(cfg *tls.Config, words string, lane net.Listener) bool {
			cfg.ClientSessionCache, cfg.ServerName = cache, "port"
			echo(t, lane, "lane")
			c := p.tls(t, cfg)
			if _, err := io.WriteString(c, words+"hello"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(c); err != nil { // the ticket comes with the first answer
				t.Error(err)
			}
			return c.ConnectionState().DidResume
		}
		for range 2 {
			if resumed(asNode(t), "\x02\x00\x00", p.Peer()) {
				t.Error("a node has resumed")
			}
		}
		if resumed(asClient("http/1.1"), "", p.HTTP()) || !resumed(asClient("http/1.1"), "", p.HTTP()) {
			t.Error("a client has not resumed its own session")
		}
		if resumed(asNode(t), "\x02\x00\x00", p.Peer()) {
			t.Error("a client's ticket was taken for a node's")
		}
	})
}

// dripping is a connection that writes one byte at a time.
type dripping struct{ net.Conn }

func (c dripping) Write(b []byte) (int, error) {
	for i := range b {
		if n, err := c.Conn.Write(b[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(b), nil
}

// TestSplitRecords is Attack 6: records in bytes of their own, the preface over several records, and a half that closes work as
// they do without TLS.
func TestSplitRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{Secure: secure(t)})
		echo(t, p.Raft("group"), "raft")
		c := tls.Client(dripping{p.raw(t, "")}, asNode(t))
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, b := range []byte("\x01\x05group\x01nhello") { // a record each
			if _, err := c.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); err != nil || string(b) != "raft hello" {
			t.Errorf("got %q, %v", b, err)
		}
	})
}

// TestBothKinds: a port that takes plain connections too.
func TestBothKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := true
		s := secure(t)
		s.Plain = func() bool { return plain }
		p := open(t, Config{Secure: s})
		for _, d := range []Dialer{p.dialer, p.securely(t, nil)} {
			echo(t, p.Peer(), "peer")
			c, err := d.DialPeer(t.Context(), "port", "n")
			expectEcho(t, c, err, "peer")
		}
		echo(t, p.HTTP(), "http")
		if b, err := io.ReadAll(p.raw(t, "GET /")); err != nil || string(b) != "http GET /" {
			t.Errorf("got %q, %v", b, err)
		}
		plain = false
		closedAfter(t, p.raw(t, "\x02\x00\x00"), time.Millisecond)
		none := func() *tls.Config { return nil }
		p = open(t, Config{Secure: &Secure{Node: none, Client: none, Plain: func() bool { return true }}})
		closedAfter(t, p.raw(t, "\x16\x03\x01 what is this?"), time.Millisecond)
	})
}

// TestDenied: a node that has proved its identity learns why it is denied.
func TestDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var why error = &Denied{Why: "removed", Text: "node n was removed from the cluster"}
		p := open(t, Config{Secure: secure(t), Identify: func(context.Context, Arrival) (any, error) { return nil, why }})
		d := p.securely(t, nil)
		var answered *RefusedError
		d.Answered = func(_ string, r *RefusedError) { answered = r }
		read := func(name string) error {
			c, err := d.DialPeer(t.Context(), "port", name)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_, err = c.Read(make([]byte, 10))
			return err
		}
		for _, name := range []string{"n", ""} {
			e, ok := errors.AsType[*RefusedError](read(name))
			if !ok || e.Why != "removed" || e.Answers != "node n was removed from the cluster" || answered != e {
				t.Errorf("got %v, %v", e, answered)
			}
		}
		why = errors.New("something else")
		if err := read("n"); err == nil {
			t.Error("no error")
		} else if _, ok := errors.AsType[*RefusedError](err); ok {
			t.Errorf("got %v", err)
		}
	})
}

// TestLinks: connections that may not stay are cut at both ends, also those that were made meanwhile, and nothing waits.
func TestLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := map[any]bool{}
		keep := func(peer any) bool { return !gone[peer] }
		accepted, dialed := NewLinks(keep), NewLinks(keep)
		name := "accepted 1"
		p := open(t, Config{Secure: secure(t), Links: accepted, Identify: func(context.Context, Arrival) (any, error) { return name, nil }})
		dial := func(target string) (mine, theirs net.Conn) {
			t.Helper()
			mine, err := p.securely(t, dialed).DialPeer(t.Context(), "port", target)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err = p.Peer().Accept()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = mine.Close(), theirs.Close() })
			return mine, theirs
		}
		mine1, theirs1 := dial("1")
		name = "accepted 2"
		mine2, theirs2 := dial("2")
		if accepted.Len() != 2 || dialed.Len() != 2 {
			t.Fatalf("%d and %d are counted", accepted.Len(), dialed.Len())
		}
		gone["accepted 1"] = true
		accepted.Review()
		closedAfter(t, mine1, time.Millisecond)
		closedAfter(t, theirs1, time.Millisecond)
		gone["node 2"] = true
		dialed.Review()
		closedAfter(t, theirs2, time.Millisecond)
		closedAfter(t, mine2, time.Millisecond)
		_, _ = mine1.Close(), theirs2.Close()
		if accepted.Len() != 0 || dialed.Len() != 0 {
			t.Errorf("%d and %d are counted", accepted.Len(), dialed.Len())
		}
		name = "accepted 1" // while it was identified
		c, err := p.securely(t, dialed).DialPeer(t.Context(), "port", "3")
		if err != nil {
			t.Fatal(err)
		}
		closedAfter(t, c, time.Millisecond)
		if _, err := p.securely(t, dialed).DialPeer(t.Context(), "port", "2"); err == nil {
			t.Error("a connection that may not stay was made")
		}
	})
}

// TestFullPeer: to close a connection whose other end takes nothing costs 50 ms, and to cut it nothing.
func TestFullPeer(t *testing.T) {
	a, b := net.Pipe() // a write waits for a read
	server := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	x := &secured{below: &socket{Conn: a}}
	x.Conn = tls.Client(x.below, asClient())
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Handshake() })
	if err := x.Handshake(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	start := time.Now()
	_ = x.Close()
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("close took %v", d)
	}
	_ = b.Close()
}

// TestHalfHandshakes: many clients that stop in the middle of a handshake hold no slot, and are closed in time; nodes from known
// addresses pass meanwhile.
func TestHalfHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := secure(t)
		s.Known = func(net.Addr) bool { return true }
		p := open(t, Config{Secure: s})
		hello := clientHello(t, asClient("h2"))
		var stalled []net.Conn
		for range 50 {
			stalled = append(stalled, p.raw(t, hello))
		}
		synctest.Wait()
		if n := len(p.slots); n != 0 {
			t.Errorf("%d slots are held", n)
		}
		for range cap(p.slots) { // as if clients were being computed for
			p.slots <- struct{}{}
		}
		waiting := p.raw(t, hello)
		synctest.Wait()
		start := time.Now()
		echo(t, p.Peer(), "peer")
		c, err := p.securely(t, nil).DialPeer(t.Context(), "port", "n")
		expectEcho(t, c, err, "peer")
		if d := time.Since(start); d > time.Second {
			t.Errorf("a node has waited %v", d)
		}
		for _, c := range stalled {
			answeredThenClosed(t, c)
		}
		if d := time.Since(start); d != DefaultPreface {
			t.Errorf("the stalled were closed after %v", d)
		}
		<-p.slots // a slot for the connection that waits: its time begins now
		answeredThenClosed(t, waiting)
		if d := time.Since(start); d != 2*DefaultPreface {
			t.Errorf("the one that had to wait was closed after %v", d)
		}
	})
}

// answeredThenClosed reads the server's first answer, and then its end.
func answeredThenClosed(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if b, err := io.ReadAll(c); len(b) < 100 || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %d bytes, %v", len(b), err)
	}
}

// clientHello is the first message of a client.
func clientHello(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	a, b := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { _ = tls.Client(a, cfg).Handshake() })
	hello := make([]byte, 64<<10)
	n, err := b.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = a.Close(), b.Close()
	wg.Wait()
	return string(hello[:n])
}

// TestMostGoes: of too many connections that say nothing, one goes of the address that has most.
func TestMostGoes(t *testing.T) {
	u := newUnmatched()
	add := func(address string) (*conn, *conn) {
		c := &conn{Conn: from{address: address}}
		return c, u.add(c, 6)
	}
	far, _ := add("192.0.2.1:1")
	var first *conn
	for i, a := range []string{"[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::ffff]:2"} {
		c, over := add(a)
		if over != nil {
			t.Fatalf("%d: one goes", i)
		}
		if i == 0 {
			first = c
		}
	}
	add("198.51.100.1:1")
	add("[2001:db8:0:1::1]:1")
	if _, over := add("203.0.113.1:1"); over != first {
		t.Errorf("%v goes, and not the oldest of one network", over.RemoteAddr())
	}
	u.remove(far)
	u.remove(far)
	if u.n != 5 || len(u.all()) != 5 || len(u.sources) != 4 {
		t.Errorf("%d, %d, %d are counted", u.n, len(u.all()), len(u.sources))
	}
}

type from struct {
	net.Conn
	address string
}

func (c from) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", c.address)
	return a
}
