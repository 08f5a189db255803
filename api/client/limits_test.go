package client

import (
	"net/http"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/wire"
)

// TestLimitsFit checks that limits of the SDK are not above the corresponding limits of a node.
func TestLimitsFit(t *testing.T) {
	own, err := Config{}.httpClient()
	if err != nil {
		t.Fatal(err)
	}
	conns := own.Transport.(*http.Transport)
	for _, x := range []struct {
		what   string
		value  int
		within string
		most   int
		why    string
	}{
		{"an idle connection here", int(conns.IdleConnTimeout), "the same at a node", int(httpd.DefaultIdleTimeout) - 1, "the node closes none under a new request"},
		{"idle connections to a node", conns.MaxIdleConnsPerHost, "connections of a node", httpd.DefaultMaxConns / 4, "one client leaves room for others"},
		{"calls of a kind under way", mostInside, "calls of a stream here", wire.DefaultMaxCalls, "the pace holds calls back, and not the stream"},
		{"the least calls of a kind", leastInside, "the most", mostInside - 1, "there is something to learn"},
		{"a streamed value and its keys", maxStreamedValue + 8*api.MaxKeyBytes, "a call on a stream", httpd.MaxCallBytes, "no node closes a stream for it"},
		{"a transaction's answer", 6 * (api.MaxTxnBytes + api.MaxTxnWorkBytes), "what is read of it", maxTxnAnswer, "every answer can be read"},
		{"a page", api.MaxListBytes + 5*api.MaxKeyBytes, "what is read of it", maxPageAnswer, "every page can be read"},
		{"a write's answer", 6*api.MaxKeyBytes + httpd.DefaultMaxHeaderBytes/2, "what is read of it", maxWriteAnswer, "every answer can be read"},
	} {
		if x.value > x.most {
			t.Errorf("%s: %d is over %d of %s; but %s", x.what, x.value, x.most, x.within, x.why)
		}
	}
}
