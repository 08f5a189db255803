package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// with lets do use a client for the cluster. Each call of the client is bounded by --timeout, and at most conns of them should run
// at once.
func (s *settings) with(ctx context.Context, conns int, do func(*client.Client) error) error {
	c, err := s.open(ctx, conns)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	return do(c)
}

// open returns a client as with has it; the caller closes it.
func (s *settings) open(ctx context.Context, conns int) (*client.Client, error) {
	if err := s.checkFormat(); err != nil {
		return nil, err
	}
	if s.timeout <= 0 || s.timeout > api.MaxTimeout {
		return nil, usagef("--timeout %v: choose a time above 0 and up to %v", s.timeout, api.MaxTimeout)
	}
	trust, err := s.trust()
	if err != nil {
		return nil, err
	}
	c, err := client.Open(ctx, client.Config{
		Endpoints: s.addrs, Timeout: s.timeout, Token: s.token, UserAgent: "edgehold-cli",
		PlainHTTP: conns == 1, // a stream costs a round trip before the first call
		HTTPClient: &http.Client{Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSClientConfig:     trust,
			TLSHandshakeTimeout: 5 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: conns,
			IdleConnTimeout:     90 * time.Second, // before the server's two minutes
			DisableCompression:  true,
		}},
	})
	if api.CodeOf(err) == api.CodeInvalid {
		return nil, usagef("--addr: %s", api.AsError(err).Hint)
	}
	return c, err
}

// trust is the TLS configuration that --ca asks for; nil is the machine's own.
func (s *settings) trust() (*tls.Config, error) {
	if s.ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, usagef("--ca: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usagef("--ca %s: no PEM certificate in it", s.ca)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
