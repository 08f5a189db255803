package client

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// serveTLS serves the handler on TLS, and returns the URL and the certificate to trust.
func serveTLS(t *testing.T, h http.Handler, http2 bool) (url string, ca []byte) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// TestTLS: streams and requests work over https, and by default whatever the server names of HTTP/2.
func TestTLS(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		h := &counter{Handler: httpd.New(front.New(front.Config{Store: storetest.NewMemory(), Node: "n1"}), httpd.Config{})}
		url, ca := serveTLS(t, h, http2)
		c := open(t, Config{Endpoints: []string{url}, CA: ca})
		for _, value := range []string{"small", strings.Repeat("large", maxStreamedValue)} {
			if _, err := c.Put(t.Context(), "k", []byte(value)); err != nil {
				t.Fatal(err)
			}
			if v, err := c.Get(t.Context(), "k"); err != nil || string(v.Value) != value {
				t.Errorf("got %d bytes, %v", len(v.Value), err)
			}
		}
		if n := h.of(callsPath); n != 1 {
			t.Errorf("HTTP/2 %v: %d streams were opened", http2, n)
		}
	}
}

// TestProxyOfHTTP2: behind what takes no Upgrade, calls are plain requests over HTTP/2.
func TestProxyOfHTTP2(t *testing.T) {
	inner := httpd.New(front.New(front.Config{Store: storetest.NewMemory(), Node: "n1"}), httpd.Config{})
	var protocols []string
	url, ca := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == callsPath {
			http.Error(w, "no Upgrades here", http.StatusBadRequest)
			return
		}
		protocols = append(protocols, r.Proto)
		inner.ServeHTTP(w, r)
	}), true)
	c := open(t, Config{Endpoints: []string{url}, CA: ca})
	if _, err := c.Put(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if len(protocols) != 1 || protocols[0] != "HTTP/2.0" {
		t.Errorf("the requests came by %v", protocols)
	}
}

// TestDistrusted: a node that cannot prove to be trusted is named at once, with the remedy; nothing was sent.
func TestDistrusted(t *testing.T) {
	h := &counter{Handler: httpd.New(front.New(front.Config{Store: storetest.NewMemory()}), httpd.Config{})}
	url, ca := serveTLS(t, h, false)
	for _, plain := range []bool{false, true} {
		for what, x := range map[string]struct {
			cfg  Config
			hint string
		}{
			"unknown":      {Config{Endpoints: []string{url}}, "give --ca DATA/identity/roots.pem of a server"},
			"another name": {Config{Endpoints: []string{strings.Replace(url, "127.0.0.1", "localhost", 1)}, CA: ca}, "for other names than localhost"},
		} {
			x.cfg.PlainHTTP = plain
			began := time.Now()
			_, err := open(t, x.cfg).Put(t.Context(), "k", []byte("v"))
			if api.CodeOf(err) != api.CodeUnavailable || !strings.Contains(err.Error(), x.hint) {
				t.Errorf("%s: got %v", what, err)
			}
			if d := time.Since(began); d > api.DefaultTimeout/2 {
				t.Errorf("%s: the error came after %v", what, d)
			}
		}
	}
	if len(h.asked) != 0 {
		t.Errorf("sent: %v", h.asked)
	}
}

// TestUseHTTPS: the answer of a port that speaks TLS alone to a plain request.
func TestUseHTTPS(t *testing.T) {
	c := open(t, Config{Endpoints: []string{serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "use https://\n")
	}))}})
	if _, err := c.Get(t.Context(), "k"); api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), "write https://127.0.0.1:") {
		t.Errorf("got %v", err)
	}
}

// TestCA: what cannot be trusted is refused when the client is opened.
func TestCA(t *testing.T) {
	for what, cfg := range map[string]Config{
		"no certificate": {CA: []byte("nothing")},
		"both":           {CA: []byte("-----BEGIN CERTIFICATE-----"), HTTPClient: http.DefaultClient},
	} {
		cfg.Endpoints = []string{"https://127.0.0.1:1"}
		if _, err := Open(t.Context(), cfg); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
