package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// writePair writes a certificate for the host with its key, and returns the files and the certificate.
func writePair(t *testing.T, dir, host string, mode fs.FileMode) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), mode)
	return certFile, keyFile
}

func write(t *testing.T, file string, b []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

// TestClientCertificate: clients are shown the certificate of the files, after a change the new one; broken files change nothing but
// a metric; a client that asks for the cluster's own name of the node is shown the node's own.
func TestClientCertificate(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t, time.Now(), "s1")
		cfg := s.cfgs["s1"]
		cfg.TLSCert, cfg.TLSKey = writePair(t, dir, "api.example.com", 0o600)
		n := s.open(cfg)
		s.ready(n)
		shown := func(name string) *x509.Certificate {
			t.Helper()
			raw, err := s.fabric.Dialer("client")(t.Context(), "s1")
			if err != nil {
				t.Fatal(err)
			}
			c := tls.Client(raw, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // the test looks at what is shown
			defer func() { _ = c.Close() }()
			if err := c.HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			return c.ConnectionState().PeerCertificates[0]
		}
		if err := shown("").VerifyHostname("api.example.com"); err != nil {
			t.Error(err)
		}
		if err := shown("S1.test.edgehold").VerifyHostname("s1.test.edgehold"); err != nil {
			t.Error(err)
		}
		writePair(t, dir, "new.example.com", 0o600)
		time.Sleep(clientCertificateEvery + time.Second)
		if err := shown("").VerifyHostname("new.example.com"); err != nil {
			t.Error(err)
		}
		write(t, cfg.TLSKey, []byte("nothing"), 0o600)
		n.Reload()
		time.Sleep(clientCertificateEvery)
		if err := shown("").VerifyHostname("new.example.com"); err != nil {
			t.Error(err)
		}
		if counterOf(t, n, "edgehold_identity_client_cert_errors_total") == 0 {
			t.Error("no error was counted")
		}
		writePair(t, dir, "third.example.com", 0o600)
		n.Reload()
		if err := shown("").VerifyHostname("third.example.com"); err != nil {
			t.Error(err)
		}
	})
}

// TestBrokenClientCertificate: a node does not start with a certificate for clients that cannot be used.
func TestBrokenClientCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, "api.example.com", 0o644)
	if _, err := openClientCertificate(cert, key); api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), "chmod 600 "+key) {
		t.Errorf("a key that others may read: %v", err)
	}
	write(t, key, []byte("nothing"), 0o600)
	for what, pair := range map[string][2]string{
		"a broken key": {cert, key}, "no key": {cert, ""}, "no certificate": {"", key}, "no file": {filepath.Join(dir, "none"), key},
	} {
		if _, err := openClientCertificate(pair[0], pair[1]); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if c, err := openClientCertificate("", ""); c != nil || err != nil {
		t.Errorf("got %v, %v", c, err)
	}
}

// TestHTTPS: HTTP/1.1 and HTTP/2, as the client names them, are served on sockets with the node's own certificate.
func TestHTTPS(t *testing.T) {
	n := onSockets(t, t.TempDir(), "s1", api.RoleServer, func(c *Config) {
		var err error
		if c.Static, err = Plan(Planned{ClusterID: "test", Nodes: []PlannedNode{
			{ID: "s1", Region: "r", Role: api.RoleServer, Address: c.Listener.Addr().String()},
		}}, 1, 3); err != nil {
			t.Fatal(err)
		}
		ids, err := SecurePlan(c.Static)
		if err != nil {
			t.Fatal(err)
		}
		c.Identity = ids["s1"]
	})
	until(t, "the node is ready", func() string { return fmt.Sprint(n.Ready(context.Background())) }, "<nil>")
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(n.Root()) {
		t.Fatal("no root")
	}
	token, err := n.CreateAccessToken(t.Context(), api.AccessTokenSpec{Name: "t", Policies: []string{"all"}}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, http2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: http2}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, n.URL()+"/v1/kv/k", strings.NewReader("v"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token.Token)
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || (res.ProtoMajor == 2) != http2 {
			t.Errorf("got %s by %s", res.Status, res.Proto)
		}
		tr.CloseIdleConnections()
	}
}
