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

// with calls do with a client for the cluster and closes the client afterwards. --timeout bounds each of its calls. The client is
// configured for conns calls at once.
func (s *settings) with(ctx context.Context, conns int, do func(*client.Client) error) error {
	c, err := s.open(ctx, conns)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	return do(c)
}

// open returns a client like that of with, which the caller closes.
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
		PlainHTTP: conns == 1, // opening a stream costs a round trip before the first call
		HTTPClient: &http.Client{Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSClientConfig:     trust,
			TLSHandshakeTimeout: 5 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: conns,
			IdleConnTimeout:     90 * time.Second, // less than the server's two minutes
			DisableCompression:  true,
		}},
	})
	if api.CodeOf(err) == api.CodeInvalid {
		return nil, usagef("--addr: %s", api.AsError(err).Hint)
	}
	return c, err
}

// trust returns the TLS configuration that --ca asks for, or nil for the default of the system.
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
		return nil, usagef("--ca %s: the file has no PEM certificate", s.ca)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
