package door_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/door"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestLocalPage: what is for programs of this machine and for pages of the node itself is refused to pages of other origins, also to those whose
// name resolves to this machine.
func TestLocalPage(t *testing.T) {
	loopback, other, socket := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7400}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, &net.UnixAddr{Name: "s"}
	for name, c := range map[string]struct {
		local net.Addr
		tls   bool
		host  string
		lines map[string]string
		allow bool
	}{
		"a program":                 {loopback, false, "127.0.0.1:7400", nil, true},
		"by name":                   {loopback, false, "localhost:7400", nil, true},
		"by name, with a dot":       {loopback, false, "LocalHost.:7400", nil, true},
		"by a name of this machine": {loopback, false, "edge.localhost", nil, true},
		"IPv6":                      {&net.TCPAddr{IP: net.IPv6loopback}, false, "[::1]:7400", nil, true},
		"IPv6 without a port":       {loopback, false, "[::1]", nil, true},
		"as IPv6":                   {loopback, false, "[::ffff:127.0.0.1]:7400", nil, true},
		"what it advertises":        {loopback, false, "Node.example:7400", nil, true},
		"the page":                  {loopback, false, "127.0.0.1:7400", map[string]string{"Origin": "http://127.0.0.1:7400", "Sec-Fetch-Site": "same-origin"}, true},
		"typed by the user":         {loopback, false, "127.0.0.1:7400", map[string]string{"Sec-Fetch-Site": "none"}, true},
		"rebinding":                 {loopback, false, "evil.example:7400", map[string]string{"Origin": "http://evil.example:7400", "Sec-Fetch-Site": "same-origin"}, false},
		"rebinding without headers": {loopback, false, "evil.example:7400", nil, false},
		"a name that looks local":   {loopback, false, "localhost.evil.example", nil, false},
		"another address":           {loopback, false, "10.0.0.1:7400", nil, false},
		"no host":                   {loopback, false, "", nil, false},
		"an unknown way":            {nil, false, "evil.example", nil, false},
		"another site":              {loopback, false, "127.0.0.1:7400", map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		"another port":              {loopback, false, "127.0.0.1:7400", map[string]string{"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"}, false},
		"another origin":            {loopback, false, "127.0.0.1:7400", map[string]string{"Origin": "http://evil.example"}, false},
		"no origin":                 {loopback, false, "127.0.0.1:7400", map[string]string{"Origin": "null"}, false},
		"a malformed origin":        {loopback, false, "127.0.0.1:7400", map[string]string{"Origin": "http://%zz"}, false},
		"on a network":              {other, false, "10.0.0.1:7400", nil, true},
		"on a network, by IPv6":     {other, false, "[fd00::1]:7400", nil, true},
		"on a network, by name":     {other, false, "node:7400", nil, true},
		"on a private domain":       {other, false, "node.Home.arpa.", nil, true},
		"mapped from loopback":      {other, false, "localhost:7400", nil, true},
		"advertised on a network":   {other, false, "node.example:7400", nil, true},
		"rebinding on a network":    {other, false, "evil.example:7400", map[string]string{"Origin": "http://evil.example:7400", "Sec-Fetch-Site": "same-origin"}, false},
		"the same without headers":  {other, false, "evil.example:7400", nil, false},
		"a name that looks private": {other, false, "internal.evil.example", nil, false},
		"a network without a host":  {other, false, "", nil, false},
		"TLS":                       {loopback, true, "node.lan:7400", nil, true},
		"the admin socket":          {socket, false, "edgehold", nil, true},
	} {
		h := door.Handler(front.New(front.Config{Store: storetest.NewMemory(), URL: "http://node.example:7400"}), echo(func(x *door.Exchange) error {
			if err := x.LocalPage(); err != nil {
				return err
			}
			x.Reply(http.StatusOK, 0)
			return nil
		}))
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, c.local), http.MethodGet, "/k", nil)
		r.Host = c.host
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		for line, value := range c.lines {
			r.Header.Set(line, value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if want := map[bool]int{true: http.StatusOK, false: api.CodeDenied.HTTPStatus()}[c.allow]; w.Code != want {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, want, w.Body)
		}
	}
}
