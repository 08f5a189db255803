package resp

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// listStore is what a server of a test has its keys in.
type listStore interface {
	api.Store
	api.Lister
}

// served is a server under test.
type testServer struct {
	*Server
	store   listStore
	address string
}

// serve starts a server on loopback, which ends with the test. change may change its configuration.
func serve(t *testing.T, change func(f *front.Config, c *Config)) *testServer {
	t.Helper()
	m := storetest.NewMemory()
	f, c := front.Config{Store: m, Lister: m, Node: "n1"}, Config{}
	if change != nil {
		change(&f, &c)
	}
	s := &testServer{Server: New(front.New(f), c)}
	s.store, _ = f.Store.(listStore)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.Serve(l)
	t.Cleanup(func() {
		if err := s.Close(30 * time.Second); err != nil {
			t.Error(err)
		}
	})
	return s
}

var keyNumber int

// prefixedKey returns a key that no call has returned before.
func prefixedKey() api.Key {
	keyNumber++
	return api.Key(fmt.Sprintf("redis/0/%d", keyNumber))
}

// keyOf returns a key of so many bytes.
func keyOf(n int) api.Key { return api.Key(strings.Repeat("k", n)) }
