package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// counter counts the requests to a handler by path.
type counter struct {
	http.Handler
	mu    sync.Mutex
	asked map[string]int
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	if c.asked == nil {
		c.asked = map[string]int{}
	}
	c.asked[r.URL.Path]++
	c.mu.Unlock()
	c.Handler.ServeHTTP(w, r)
}

func (c *counter) of(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[path]
}

// TestStreamIsShared checks that concurrent calls share one stream, and that only large values are sent by themselves.
func TestStreamIsShared(t *testing.T) {
	h := &counter{Handler: httpd.New(front.New(front.Config{Store: storetest.NewMemory(), Node: "n1"}), httpd.Config{})}
	c := open(t, Config{Endpoints: []string{serve(t, h)}})
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() {
			if _, err := c.Put(t.Context(), "small", []byte("v")); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	v, err := c.Get(t.Context(), "small")
	if err != nil || string(v.Value) != "v" || v.Node != "n1" || v.Version.IsZero() {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := c.Get(t.Context(), "absent"); !errors.Is(err, api.CodeNotFound) {
		t.Error(err)
	}
	if h.of("/v1/calls") != 1 || h.of("/v1/kv/small") != 0 {
		t.Errorf("asked: %v", h.asked)
	}
	large := make([]byte, maxStreamedValue+1)
	if _, err := c.Put(t.Context(), "large", large); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Get(t.Context(), "large"); err != nil || len(v.Value) != len(large) {
		t.Errorf("%d bytes, %v", len(v.Value), err)
	}
	if h.of("/v1/kv/large") != 1 {
		t.Errorf("asked: %v", h.asked)
	}
}

// TestNoUpgrade checks that plain requests are used if a node, or a proxy in front of it, refuses the Upgrade.
func TestNoUpgrade(t *testing.T) {
	api := httpd.New(front.New(front.Config{Store: storetest.NewMemory()}), httpd.Config{})
	h := &counter{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Upgrade") // as proxies do
		r.Header.Del("Connection")
		api.ServeHTTP(w, r)
	})}
	c := open(t, Config{Endpoints: []string{serve(t, h)}})
	for range 3 {
		if _, err := c.Put(t.Context(), "k", []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	if h.of("/v1/calls") != 1 || h.of("/v1/kv/k") != 3 {
		t.Errorf("asked: %v", h.asked)
	}
}

// cut is a listener whose connections can be broken.
type cut struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cut) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		c.conns = append(c.conns, conn)
		c.mu.Unlock()
	}
	return conn, err
}

func (c *cut) all() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// losing is a Store whose first write is carried out while its answer is lost.
type losing struct {
	api.Store
	lose func()
	once sync.Once
	done atomic.Int64 // writes that reached it
}

func (l *losing) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	l.done.Add(1)
	res, err := l.Store.Do(ctx, t)
	l.once.Do(l.lose)
	return res, err
}

// TestBrokenStream checks that a write whose stream broke is sent again over a new stream and takes effect once.
func TestBrokenStream(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	breaking := &cut{Listener: l}
	s := &losing{Store: storetest.NewMemory(), lose: breaking.all}
	server := httpd.Serve(breaking, httpd.ServerConfig{Handler: httpd.New(front.New(front.Config{Store: s}), httpd.Config{})})
	defer func() { _ = server.Close(time.Second) }()
	c := open(t, Config{Endpoints: []string{"http://" + l.Addr().String()}})
	version, err := c.Put(t.Context(), "k", []byte("v"), IfAbsent())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.done.Load(); n != 2 {
		t.Errorf("it was sent %d times", n)
	}
	if v, err := c.Get(t.Context(), "k"); err != nil || v.Version != version {
		t.Errorf("%+v, %v, want version %v", v, err, version)
	}
}

// TestBothFormsAreOne checks that a write sent over a stream and again as a plain request is the same write.
func TestBothFormsAreOne(t *testing.T) {
	m := storetest.NewMemory()
	url := serve(t, httpd.New(front.New(front.Config{Store: m}), httpd.Config{}))
	stream, plain := open(t, Config{Endpoints: []string{url}}), open(t, Config{Endpoints: []string{url}, PlainHTTP: true})
	if _, err := plain.Put(t.Context(), "exists", nil); err != nil {
		t.Fatal(err)
	}
	base, err := plain.Put(t.Context(), "exists and version", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string][]WriteOption{
		"none": nil, "absent": {IfAbsent()}, "version": {IfVersion(api.Version{})},
		"exists": {IfExists()}, "version and absent": {IfVersion(api.Version{}), IfAbsent()}, "exists and version": {IfExists(), IfVersion(base)},
	} {
		key := api.Key(name)
		opts = append(opts, IdempotencyKey(name))
		first, err := stream.Put(t.Context(), key, []byte("v"), opts...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, err := plain.Put(t.Context(), key, []byte("v"), opts...); err != nil || again != first {
			t.Errorf("%s: %v, then %v (%v)", name, first, again, err)
		}
		if _, err := plain.Put(t.Context(), key, []byte("other"), opts...); !errors.Is(err, api.CodeConflict) {
			t.Errorf("%s with another body: %v", name, err)
		}
	}
}

// TestServerCloses checks that calls under way are answered and that new ones go to another node.
func TestServerCloses(t *testing.T) {
	m := storetest.NewMemory()
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	slow := holding{m, func() { entered <- struct{}{}; <-leave }}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := httpd.Serve(l, httpd.ServerConfig{Handler: httpd.New(front.New(front.Config{Store: slow, Node: "n1"}), httpd.Config{})})
	second := serve(t, httpd.New(front.New(front.Config{Store: m, Node: "n2"}), httpd.Config{}))
	c := open(t, Config{Endpoints: []string{"http://" + l.Addr().String(), second}})
	result := make(chan error, 1)
	go func() {
		_, err := c.Put(t.Context(), "k", []byte("v"))
		result <- err
	}()
	<-entered
	closed := make(chan error, 1)
	go func() { closed <- first.Close(10 * time.Second) }()
	e := c.endpoints.all[0]
	e.stream.mu.Lock()
	now := e.stream.now
	e.stream.mu.Unlock()
	<-now.client.Done() // it has received the goodbye
	if v, err := c.Get(t.Context(), "other"); !errors.Is(err, api.CodeNotFound) || v.Node != "n2" {
		t.Errorf("answered by %q, %v", v.Node, err)
	}
	close(leave)
	if err := <-result; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
}

// holding is a Store whose writes call wait first.
type holding struct {
	api.Store
	wait func()
}

func (h holding) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	h.wait()
	return h.Store.Do(ctx, t)
}

// TestRefusedConnection checks that the error says that nothing was sent.
func TestRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// The port of an open connection's near end has no listener, and none can be opened there while the connection is open.
	near, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	c := open(t, Config{Endpoints: []string{"http://" + near.LocalAddr().String()}, Timeout: 300 * time.Millisecond})
	if _, err := c.Put(t.Context(), "k", nil); !errors.Is(err, api.CodeUnavailable) {
		t.Error(err)
	}
}
