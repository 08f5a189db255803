package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// settings are those of every command that talks to a cluster.
type settings struct {
	addrs   []string
	token   string
	ca      string
	timeout time.Duration
	format  string
	config  string
}

func (s *settings) addTo(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringSliceVar(&s.addrs, "addr", []string{"http://127.0.0.1:7400"}, "nodes to talk to, nearest first; the next is asked where one fails")
	f.StringVar(&s.token, "token", "", "bearer token sent with every request")
	f.StringVar(&s.ca, "ca", "", "PEM `FILE` of the certificate authorities to trust for https addresses")
	f.DurationVar(&s.timeout, "timeout", api.DefaultTimeout, "how long one request may take, tries included")
	f.StringVarP(&s.format, "format", "o", "table", "output: table or json")
	f.StringVar(&s.config, "config", "", "YAML `FILE` of settings, named like the flags")
	completeWith(root, "format", "table", "json")
}

// completeWith completes a flag's value from a fixed list.
func completeWith(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag does not exist: a slip in this package
	}
}

// json tells whether JSON was asked for.
func (s *settings) json() (bool, error) {
	switch s.format {
	case "table":
		return false, nil
	case "json":
		return true, nil
	}
	return false, usagef("-o %q: choose table or json", s.format)
}

// printJSON writes v on a line by itself, as the HTTP API would.
func printJSON(w io.Writer, err error, v any) error {
	if err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// open is a client for the cluster; the caller closes it. Each of its calls is bounded by --timeout, and at most conns of
// them should run at once.
func (s *settings) open(ctx context.Context, conns int) (*client.Client, error) {
	if _, err := s.json(); err != nil {
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
