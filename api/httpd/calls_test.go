package httpd_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/observe/slow"
	"github.com/edgehold/edgehold/api/storetest"
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

// envelope is what nodes add to a request.
type envelope string

func (e envelope) Append(b []byte) []byte { return append(b, e...) }

// TestCallsAreOfClients: a client cannot say what nodes alone say to each other: its words have no place for it, and what comes
// behind them ends the stream. Errors are as clients may see them, and ids are those of clients.
func TestCallsAreOfClients(t *testing.T) {
	calls := 0
	h := newAPI(front.Config{Store: fake{
		read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
			calls++
			return nil, api.CodeNotLeader
		},
		do: func(_ context.Context, txn *api.Txn) (*api.TxnResult, error) {
			if err := txn.Check(); err != nil { // as every Store does
				return nil, err
			}
			calls++
			return nil, context.DeadlineExceeded
		},
	}}, httpd.Config{})
	c, _ := upgrade(t, h)
	read := &api.ReadRequest{Keys: []api.Key{"a"}}
	_, err := storetest.Read(t.Context(), c, read)
	if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable || e.RetryAfter == 0 {
		t.Errorf("read: %v", err)
	}
	id := api.RequestID{Client: api.ClientID{1}, Seq: 5, AckedBelow: 3}
	put := func(id api.RequestID) *api.Txn {
		return &api.Txn{ID: id, Then: []api.Op{{Kind: api.OpPut, Key: "a"}}}
	}
	if _, err = c.Do(t.Context(), put(id)); !errors.Is(err, api.CodeAmbiguous) {
		t.Errorf("a write that does not say what became of it: %v", err)
	}
	calls = 0
	for what, bad := range map[string]api.RequestID{
		"acknowledges itself":        {Client: id.Client, Seq: 5, AckedBelow: 6},
		"speaks as a node":           {Client: api.ClientID([]byte("gateway:12345678")), Seq: 5, AckedBelow: 3},
		"acknowledges all of a node": {Client: api.ClientID([]byte("gateway:12345678")), Seq: 4e9, AckedBelow: 4e9},
	} {
		if _, err := c.Do(t.Context(), put(bad)); !errors.Is(err, api.CodeInvalid) || calls > 0 {
			t.Errorf("a write that %s: %v", what, err)
		}
	}
	for _, e := range []envelope{"\x00", "\x01g\x00\x00\x00\x00"} {
		c, _ := upgrade(t, h)
		if _, err := c.ReadIn(t.Context(), e, read, new(api.ReadResult)); !errors.Is(err, wire.ErrBroken) || calls > 0 {
			t.Errorf("a read in the envelope %q: %v", e, err)
		}
		c, _ = upgrade(t, h)
		if _, err := c.DoIn(t.Context(), e, put(id)); !errors.Is(err, wire.ErrBroken) || calls > 0 {
			t.Errorf("a write in the envelope %q: %v", e, err)
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
	h := newAPI(front.Config{Store: fake{read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
		entered <- struct{}{}
		<-leave
		return &api.ReadResult{}, nil
	}}, Room: admission.New(admission.Config{SlowAfter: time.Hour, Shares: admission.Shares{admission.Request: 1, admission.Waiting: 2}})}, httpd.Config{})
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
		_, err := storetest.Read(t.Context(), first, q)
		result <- err
	}()
	<-entered
	if _, err := storetest.Read(t.Context(), second, q); !errors.Is(err, api.CodeUnavailable) || api.AsError(err).RetryAfter == 0 {
		t.Errorf("a second call: %v", err)
	}
	wantProblem(t, request(h, "GET", "/v1/kv/a", ""), 503, api.CodeUnavailable, "1 requests")
	close(leave)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// TestCallsAreNotedOneByOne: the calls of a stream, which go on at the same time, are each remembered by themselves, and the stream is no
// request of its own that takes as long as it is open.
func TestCallsAreNotedOneByOne(t *testing.T) {
	log, over := slow.NewLog(), make(chan struct{})
	h := newAPI(front.Config{SlowLog: log, Store: fake{read: func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
		time.Sleep(2 * slow.Least)
		return &api.ReadResult{Entries: make([]api.Entry, 1)}, nil
	}}}, httpd.Config{})
	c, _ := upgrade(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		h.ServeHTTP(w, r)
	}))
	const calls = 8
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if _, err := storetest.Read(t.Context(), c, &api.ReadRequest{Keys: []api.Key{"a"}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_ = c.Close()
	<-over
	all := log.Newest(time.Now())
	if len(all) != calls {
		t.Errorf("%d requests are remembered of %d calls", len(all), calls)
	}
	for _, x := range all {
		if x.Front != "calls" || x.Keys != 0 {
			t.Errorf("it remembers %+v", x)
		}
	}
}
