package client

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// store is the SDK as an [api.Store], as far as HTTP can express it: reads key by key, and transactions of one write.
type store struct{ c *Client }

var _ storetest.ListStore = store{}

func (s store) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	res := api.ReadResult{Entries: out.Entries[:0], ServedBy: api.ServedByLease}
	for i, k := range r.Keys {
		opts := []ReadOption{WithConsistency(r.Consistency)}
		if r.Consistency == api.Bounded {
			opts = append(opts, MaxStale(r.MaxStale))
		}
		if len(r.Known) > 0 {
			opts = append(opts, IfChanged(r.Known[i]))
		}
		v, err := s.c.Get(ctx, k, opts...)
		if err != nil && api.CodeOf(err) != api.CodeNotFound {
			return err
		}
		res.Entries = append(res.Entries, api.Entry{Key: k, Value: v.Value, Version: v.Version, Exists: err == nil, Unchanged: v.Unchanged, TTL: v.TTL})
		res.Group, res.Age = v.Owner, max(res.Age, v.Age)
		if res.ServedBy != api.ServedByStale && v.ServedBy != api.ServedByLease {
			res.ServedBy = v.ServedBy
		}
	}
	*out = res
	return nil
}

func (s store) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	var o writeOptions
	for _, c := range t.If {
		switch c.Kind {
		case api.CondVersion:
			o.version = &c.Version
		case api.CondExists:
			o.exists = true
		case api.CondAbsent:
			o.absent = true
		default:
			return nil, api.Errorf(api.CodeInvalid, "HTTP has no such condition")
		}
	}
	if t.ID.Seq > 0 {
		o.key = new(string)
		*o.key = fmt.Sprintf("eh1-%s-%d-%d", t.ID.Client, t.ID.Seq, t.ID.AckedBelow)
	} else if !t.ID.IsZero() {
		o.key = new(string)
		*o.key = t.ID.Client.String()
	}
	op := t.Then[0]
	q := keyCall("put", http.MethodPut, op.Key)
	if op.Kind == api.OpDelete {
		q = keyCall("delete", http.MethodDelete, op.Key)
	} else {
		if err := api.CheckValue(op.Value); err != nil {
			return nil, err
		}
		q.body = append([]byte{}, op.Value...)
	}
	q.txn = &api.Txn{Then: t.Then}
	q.query = url.Values{}
	if op.TTL != 0 {
		q.query.Set("ttl", op.TTL.String())
	}
	if op.KeepTTL {
		q.query.Set("keep_ttl", "true")
	}
	w, err := s.c.write(ctx, q, &o)
	res := &api.TxnResult{Committed: err == nil, Group: w.owner, Replayed: w.replayed}
	if err != nil && api.CodeOf(err) != api.CodePreconditionFailed {
		return nil, err
	}
	for range max(1, len(t.If)) {
		res.Entries = append(res.Entries, api.Entry{Key: op.Key, Version: w.version, Exists: w.exists})
	}
	return res, nil
}

func (s store) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	opts := []ListOption{Between(r.Range.Start, r.Range.End), Limit(r.Limit)}
	if r.Reverse {
		opts = append(opts, Reverse())
	}
	if r.KeysOnly {
		opts = append(opts, KeysOnly())
	}
	p, err := s.c.ListPage(ctx, "", opts...)
	if err != nil {
		return nil, err
	}
	return &api.ListResult{Entries: p.Entries, More: p.Next != ""}, nil
}

// serve serves an API on loopback until the test ends.
func serve(t testing.TB, h http.Handler) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpd.Serve(l, httpd.ServerConfig{Handler: h})
	t.Cleanup(func() {
		if err := s.Close(5 * time.Second); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

func open(t testing.TB, cfg Config) *Client {
	t.Helper()
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// clients returns Clients of a Store: over a stream, with plain requests, and in this process.
func clients(t *testing.T, s *storetest.Memory) map[string]*Client {
	url := serve(t, httpd.New(front.New(front.Config{Store: s, Lister: s, Node: "n1"}), httpd.Config{}))
	return map[string]*Client{
		"stream": open(t, Config{Endpoints: []string{url}}), "plain": open(t, Config{Endpoints: []string{url}, PlainHTTP: true}), "embedded": New(s),
	}
}

// TestStore runs the suite on the SDK, in every way of connecting.
func TestStore(t *testing.T) {
	for name, c := range clients(t, storetest.NewMemory()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // times to live take real time
			storetest.RunLister(t, func(*testing.T) storetest.ListStore { return store{c} }, storetest.Options{SingleKey: true, Time: true, Functions: true})
		})
	}
}

// TestStoreOverHTTP2 runs the suite over HTTP/2.
func TestStoreOverHTTP2(t *testing.T) {
	m := storetest.NewMemory()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	c := open(t, Config{
		Endpoints:  []string{serve(t, httpd.New(front.New(front.Config{Store: m, Lister: m}), httpd.Config{}))},
		HTTPClient: &http.Client{Transport: transport},
	})
	storetest.Run(t, func(*testing.T) api.Store { return store{c} }, storetest.Options{SingleKey: true})
}
