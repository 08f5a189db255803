package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cluster"
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
	transport, err := s.transport(conns)
	if err != nil {
		return nil, err
	}
	token, file, err := s.credential(s.warn)
	if err != nil {
		return nil, err
	}
	addrs := s.addrs
	if s.data != "" {
		addrs, token, file = []string{socketURL}, "", ""
	}
	c, err := client.Open(ctx, client.Config{
		Endpoints: addrs, Timeout: s.timeout, Token: token, TokenFile: file, UserAgent: "edgehold-cli",
		PlainHTTP:  conns == 1, // opening a stream costs a round trip before the first call
		HTTPClient: &http.Client{Transport: transport},
	})
	if api.CodeOf(err) == api.CodeInvalid {
		return nil, usagef("--addr: %s", api.AsError(err).Hint)
	}
	return c, err
}

// outside returns the settings with which nodes are reached at their addresses, also if --data names one of this machine: the roots in
// its folder are trusted then.
func (s settings) outside() settings {
	if s.data != "" && s.ca == "" {
		if roots := filepath.Join(s.data, "identity", "roots.pem"); isFile(roots) {
			s.ca = roots
		}
	}
	s.data = ""
	return s
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// at returns the settings with which one node is reached at its URL. What is to be warned of, the settings themselves have said.
func (s settings) at(url string) settings {
	s.addrs, s.data, s.warn = []string{url}, "", io.Discard
	return s
}

// socketURL is the address of a node that is reached by its admin socket. Its host is not looked up.
const socketURL = "http://admin.sock"

// transport returns how nodes are reached: by the addresses of --addr, or the one node by the admin socket of --data.
func (s *settings) transport(conns int) (*http.Transport, error) {
	trust, err := s.trust()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     trust,
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: conns,
		IdleConnTimeout:     90 * time.Second, // less than the server's two minutes
		DisableCompression:  true,
	}
	if s.data == "" {
		return t, nil
	}
	path, err := socketIn(s.data)
	if err != nil {
		return nil, err
	}
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
	return t, nil
}

// socketIn returns the path of the admin socket of the node with the data folder; data may also be that path.
func socketIn(data string) (string, error) {
	path := data
	info, err := os.Stat(data)
	if err == nil && info.IsDir() {
		path = filepath.Join(data, cluster.SocketName)
		info, err = os.Stat(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("--data %s: no node runs there (%s is missing): start it, or name a node with --addr", data, path)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("--data %s: this user may not open %s: run the command as the user that runs the node", data, path)
	case err != nil:
		return "", fmt.Errorf("--data %s: %w", data, err)
	case info.Mode().Type() != fs.ModeSocket:
		return "", usagef("--data %s: %s is no admin socket of a node", data, path)
	}
	return path, nil
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
