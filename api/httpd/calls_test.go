package httpd_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/wire"
)

// upgrade opens a stream to a server of the handler; the status is what it answered.
func upgrade(t *testing.T, h http.Handler) (c *wire.Client, status int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpd.Serve(l, httpd.ServerConfig{Handler: h})
	t.Cleanup(func() { _ = s.Close(time.Second) })
	return upgradeAt(t, l.Addr().String())
}

func upgradeAt(t *testing.T, address string) (c *wire.Client, status int) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("GET /v1/calls HTTP/1.1\r\nHost: n1\r\nConnection: Upgrade\r\nUpgrade: " + wire.Protocol + "\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	from := bufio.NewReader(conn)
	res, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		_ = res.Body.Close()
		_ = conn.Close()
		return nil, res.StatusCode
	}
	c = wire.NewClient(conn, wire.ClientConfig{})
	t.Cleanup(func() { _ = c.Close() })
	return c, res.StatusCode
}

// TestCallsAreOfClients: what nodes alone may say to each other is not heard from a client.
func TestCallsAreOfClients(t *testing.T) {
	var read *api.ReadRequest
	var txn *api.Txn
	c, _ := upgrade(t, httpd.New(httpd.Config{Store: fake{
		read: func(_ context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
			read = q
			return nil, api.CodeNotLeader
		},
		do: func(_ context.Context, t *api.Txn) (*api.TxnResult, error) {
			txn = t
			return nil, context.DeadlineExceeded
		},
	}}))
	_, err := c.Read(t.Context(), &api.ReadRequest{Keys: []api.Key{"a"}, Group: "g", Session: api.SessionID{Index: 1}})
	if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable || e.RetryAfter == 0 {
		t.Errorf("read: %v", err)
	}
	if read.Group != "" || !read.Session.IsZero() {
		t.Errorf("read: %+v", read)
	}
	id := api.RequestID{Client: api.ClientID{1}, Seq: 5, AckedBelow: 3, Epoch: api.DedupEpoch{Group: "g.1", Incarnation: 1, Count: 9}}
	_, err = c.Do(t.Context(), &api.Txn{
		ID: id, Then: []api.Op{{Kind: api.OpPut, Key: "a"}}, Group: "g",
		Dropped: []api.DroppedLease{{Key: "a", Lease: 1, Group: "g"}},
	})
	if !errors.Is(err, api.CodeAmbiguous) {
		t.Errorf("a write that does not say what became of it: %v", err)
	}
	if id.Epoch = (api.DedupEpoch{}); txn.Group != "" || txn.Dropped != nil || txn.ID != id {
		t.Errorf("write: %+v", txn)
	}
	txn = nil
	for what, bad := range map[string]api.RequestID{
		"acknowledges itself":        {Client: id.Client, Seq: 5, AckedBelow: 6},
		"speaks as a node":           {Client: api.NewGatewayClient(), Seq: 5, AckedBelow: 3},
		"acknowledges all of a node": {Client: api.NewGatewayClient(), Seq: 4e9, AckedBelow: 4e9},
	} {
		if _, err := c.Do(t.Context(), &api.Txn{ID: bad, Then: []api.Op{{Kind: api.OpPut, Key: "a"}}}); !errors.Is(err, api.CodeInvalid) || txn != nil {
			t.Errorf("a write that %s: %v", what, err)
		}
	}
}

func TestCallsNeedAnUpgrade(t *testing.T) {
	h, _ := memoryAPI()
	r := request(h, "GET", "/v1/calls", "")
	wantProblem(t, r, 426, api.CodeInvalid, wire.Protocol)
	if header(r, "Upgrade") != wire.Protocol {
		t.Errorf("Upgrade %q", header(r, "Upgrade"))
	}
	wantProblem(t, request(h, "GET", "/v1/calls", "", "Upgrade: "+wire.Protocol), 426, api.CodeInvalid, "HTTP/1.1") // no connection to take over
	wantProblem(t, request(h, "POST", "/v1/calls", ""), 405, api.CodeInvalid)
}

// TestCallsAreLimited: streams by number, and the calls on them as requests are.
func TestCallsAreLimited(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	h := httpd.New(httpd.Config{MaxInFlight: 1, MaxStreams: 2, Store: fake{read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
		entered <- struct{}{}
		<-leave
		return &api.ReadResult{}, nil
	}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpd.Serve(l, httpd.ServerConfig{Handler: h})
	defer func() { _ = s.Close(time.Second) }()
	first, _ := upgradeAt(t, l.Addr().String())
	second, _ := upgradeAt(t, l.Addr().String())
	if _, status := upgradeAt(t, l.Addr().String()); status != http.StatusServiceUnavailable {
		t.Errorf("a third stream: %d", status)
	}
	q := &api.ReadRequest{Keys: []api.Key{"a"}}
	result := make(chan error, 1)
	go func() {
		_, err := first.Read(t.Context(), q)
		result <- err
	}()
	<-entered
	if _, err := second.Read(t.Context(), q); !errors.Is(err, api.CodeUnavailable) || api.AsError(err).RetryAfter == 0 {
		t.Errorf("a second call: %v", err)
	}
	wantProblem(t, request(h, "GET", "/v1/kv/a", ""), 503, api.CodeUnavailable, "1 requests")
	close(leave)
	if err := <-result; err != nil {
		t.Error(err)
	}
}
