package transfer

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestPagesAhead checks that the next page is fetched while the loop has the first, and that few are fetched when the loop ends.
func TestPagesAhead(t *testing.T) {
	store := storetest.NewMemory()
	for n := range 6500 {
		if _, err := store.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: api.Key(fmt.Sprintf("k%06d", n))}}}); err != nil {
			t.Fatal(err)
		}
	}
	var pages atomic.Int64
	second := make(chan struct{})
	node := httpd.New(front.New(front.Config{Store: store, Lister: store, Node: "here-1"}), httpd.Config{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/kv" && pages.Add(1) == 2 {
			close(second)
		}
		node.ServeHTTP(w, r)
	}))
	defer server.Close()
	c, err := client.Open(t.Context(), client.Config{Endpoints: []string{server.URL}, PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n := 0
	for page := range pagesAhead(t.Context(), c, api.PrefixRange("")) {
		<-second // or the test hangs
		if n++; page.err != nil || len(page.Entries) != api.MaxListLimit || string(page.Entries[0].Key) != fmt.Sprintf("k%06d", (n-1)*api.MaxListLimit) {
			t.Fatalf("page %d: %d entries, %v", n, len(page.Entries), page.err)
		}
		if n == 2 {
			break
		}
	}
	if asked := pages.Load(); asked > 5 { // two read, one in the channel, one to be sent, one in flight
		t.Errorf("%d pages were asked for", asked)
	}
}
