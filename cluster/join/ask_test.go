package join

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/transport/wan"
)

// asked is a node that joiners ask, and how many bytes they have sent to it.
type asked struct {
	address string
	heard   atomic.Int64
}

// heardConn counts what is read after the handshake.
type heardConn struct {
	net.Conn
	n *atomic.Int64
}

func (c heardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// ask serves joiners with the identity, nil for one without TLS.
func serveJoin(t *testing.T, shown *tls.Certificate, h http.HandlerFunc) *asked {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &asked{address: l.Addr().String()}
	if shown != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*shown}, NextProtos: []string{Protocol}, MinVersion: tls.VersionTLS13})
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	go func() { _ = s.Serve(countingListener{l, &a.heard}) }()
	t.Cleanup(func() { _ = s.Close() })
	return a
}

type countingListener struct {
	net.Listener
	n *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return heardConn{c, l.n}, nil
}

func askerFor(t *testing.T, ca *CA) Asker {
	t.Helper()
	token, err := NewToken(Fingerprint(ca.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	return Asker{Token: token, Dial: func(ctx context.Context, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}}
}

func refuseAll(t *testing.T) http.HandlerFunc {
	return func(http.ResponseWriter, *http.Request) { t.Error("a request has come") }
}

// TestAskTellsNoOther: a node that joins says nothing to a node that has not proved to be a server of the token's cluster, and says
// in one line which it is. Attack 20.
func TestAskTellsNoOther(t *testing.T) {
	ca, other := must(NewCA(testCluster)), must(NewCA(testCluster))
	edges := ca.issue(t, edge("edge-1"))
	forged := other.issue(t, server("us-east-1")).ForClients()
	forged.Certificate = [][]byte{forged.Certificate[0], ca.Certificate.Raw} // the right root beside another's certificate
	bare := ca.issue(t, server("us-east-1")).ForClients()
	bare.Certificate = bare.Certificate[:1]
	for name, c := range map[string]struct {
		shown *tls.Certificate
		says  string
	}{
		"another root":           {other.issue(t, server("us-east-1")).ForClients(), " is not of the token's cluster (root sha256:"},
		"a root that signed not": {forged, "is not of the token's cluster"},
		"no root shown":          {bare, "(root sha256:none, token sha256:"},
		"an edge":                {edges.ForClients(), "edge-1 is an edge: name a server in --join"},
		"no TLS":                 {nil, " speaks no TLS: if that cluster is plain, leave --join-token out"},
	} {
		t.Run(name, func(t *testing.T) {
			h := refuseAll(t)
			if c.shown == nil {
				h = func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/v1/cluster" {
						t.Errorf("the node is asked for %s", r.URL.Path)
					}
					_, _ = io.WriteString(w, "ok")
				}
			}
			to := serveJoin(t, c.shown, h)
			_, err := askerFor(t, ca).Ask(t.Context(), to.address, &api.JoinRequest{Token: "secret"})
			wrong, ok := errors.AsType[*WrongNodeError](err)
			if !ok || !strings.Contains(wrong.Text, c.says) || strings.Contains(wrong.Text, "\n") {
				t.Errorf("the error is %v", err)
			}
			if c.shown != nil && to.heard.Load() != 0 {
				t.Errorf("%d bytes were said", to.heard.Load())
			}
		})
	}
}

// TestAskWaitsForCertificates: a node that has no certificate yet, because it knows no cluster, is asked again.
func TestAskWaitsForCertificates(t *testing.T) {
	to := serveJoin(t, nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	if _, err := askerFor(t, must(NewCA(testCluster))).Ask(t.Context(), to.address, &api.JoinRequest{}); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("the error is %v", err)
	}
}

// TestAskAnswers: answers become errors by their status, with the cluster's own words; a redirect is not followed. Attack 20.
func TestAskAnswers(t *testing.T) {
	ca := must(NewCA(testCluster))
	shown := ca.issue(t, server("us-east-1")).ForClients()
	var elsewhere atomic.Int64
	for status, code := range map[int]api.Code{
		400: api.CodeInvalid, 401: api.CodeUnauthenticated, 403: api.CodeDenied, 409: api.CodeConflict, 413: api.CodeTooLarge,
		429: api.CodeUnavailable, 503: api.CodeUnavailable, 504: api.CodeUnavailable, 500: api.CodeUnavailable, 307: api.CodeUnavailable, 404: api.CodeUnavailable,
	} {
		to := serveJoin(t, shown, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != Path || r.Method != http.MethodPost {
				elsewhere.Add(1)
			}
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"code":"x","detail":"the words"}`)
		})
		_, err := askerFor(t, ca).Ask(t.Context(), to.address, &api.JoinRequest{})
		if e := api.AsError(err); e.Code != code || e.Hint != "the words" || (e.RetryAfter == 2*time.Second) != (code == api.CodeUnavailable) {
			t.Errorf("%d: %v", status, err)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	to := serveJoin(t, shown, func(w http.ResponseWriter, r *http.Request) {
		var q api.JoinRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Node != "n" {
			t.Errorf("%+v, %v", q, err)
		}
		_ = json.NewEncoder(w).Encode(api.JoinAnswer{ClusterID: "c", Num: 7})
	})
	if a, err := askerFor(t, ca).Ask(t.Context(), to.address, &api.JoinRequest{Node: "n"}); err != nil || a.ClusterID != "c" || a.Num != 7 {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestAskIsBounded: a node that accepts and says nothing, or answers drop by drop, holds the joining node for a bounded time, and is
// asked again. Attack 20.
func TestAskIsBounded(t *testing.T) {
	ca := must(NewCA(testCluster))
	shown := ca.issue(t, server("us-east-1")).ForClients()
	for name, there := range map[string]func(net.Conn){
		"silent": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"drip": func(raw net.Conn) {
			c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{*shown}, NextProtos: []string{Protocol}, MinVersion: tls.VersionTLS13})
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
			for {
				time.Sleep(time.Second)
				if _, err := io.WriteString(c, " "); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := askerFor(t, ca)
				var others sync.WaitGroup
				defer others.Wait()
				// A connection that buffers: net/http closes it under a mutex, and on a pipe TLS's last word would wait for a
				// reader while the bubble's time stands still, since a goroutine that waits for a mutex is not idle.
				network := wan.NewFabric(1, nil)
				network.Place("here", "")
				l, err := network.Listen("there", "")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				others.Go(func() {
					for {
						far, err := l.Accept()
						if err != nil {
							return
						}
						others.Go(func() {
							there(far)
							_ = far.Close()
						})
					}
				})
				a.Dial = network.Dialer("here")
				began := time.Now()
				_, err = a.Ask(t.Context(), "there", &api.JoinRequest{})
				if took := time.Since(began); api.CodeOf(err) != api.CodeUnavailable || took > askTimeout+time.Second {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// TestUse: an answer that is not what was asked for is not used.
func TestUse(t *testing.T) {
	ca, other := must(NewCA(testCluster)), must(NewCA(testCluster))
	a := askerFor(t, ca)
	key, wrongKey := must(NewKey()), must(NewKey())
	s := server("us-east-4")
	leaf := must(ca.Sign(Template{Subject: s, Key: &key.PublicKey, Now: epoch}))
	q := &api.JoinRequest{Node: s.Node, Region: s.Region, Role: s.Role}
	good := api.JoinAnswer{ClusterID: s.Cluster, Certificate: leaf, Roots: [][]byte{ca.Certificate.Raw}}
	if id, roots, err := a.Use(&good, q, key); err != nil || id.Subject != s || len(roots) != 1 {
		t.Errorf("%+v, %v", id, err)
	}
	for name, change := range map[string]func(*api.JoinAnswer, *api.JoinRequest){
		"without the root": func(x *api.JoinAnswer, _ *api.JoinRequest) { x.Roots = [][]byte{other.Certificate.Raw} },
		"another cluster":  func(x *api.JoinAnswer, _ *api.JoinRequest) { x.ClusterID = "fedcba9876543210" },
		"another node":     func(_ *api.JoinAnswer, q *api.JoinRequest) { q.Node = "us-east-5" },
		"another role":     func(_ *api.JoinAnswer, q *api.JoinRequest) { q.Role = api.RoleEdge },
		"garbage":          func(x *api.JoinAnswer, _ *api.JoinRequest) { x.Certificate = []byte("x") },
		"another key's": func(x *api.JoinAnswer, _ *api.JoinRequest) {
			x.Certificate = must(ca.Sign(Template{Subject: s, Key: &wrongKey.PublicKey, Now: epoch}))
		},
		"signed by another": func(x *api.JoinAnswer, _ *api.JoinRequest) {
			x.Certificate = must(other.Sign(Template{Subject: s, Key: &key.PublicKey, Now: epoch}))
		},
		"garbage for a root":  func(x *api.JoinAnswer, _ *api.JoinRequest) { x.Roots = [][]byte{[]byte("x")} },
		"garbage as vouchers": func(x *api.JoinAnswer, _ *api.JoinRequest) { x.Vouchers = [][]byte{[]byte("x")} },
	} {
		x, r := good, *q
		change(&x, &r)
		if _, _, err := a.Use(&x, &r, key); err == nil {
			t.Errorf("%s: used", name)
		}
	}
}
