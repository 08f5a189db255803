package client

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/storetest"
)

// txnStore is the SDK as an [api.Store] of whole transactions and reads of several keys.
type txnStore struct{ store }

func (s txnStore) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	if r.Consistency != api.Linearizable || len(r.Known) > 0 {
		return s.store.Read(ctx, r, out)
	}
	res, _, err := s.c.readAll(ctx, "read", r)
	return storetest.Answer(out, res, err)
}

func (s txnStore) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	id := identity{request: t.ID}
	switch {
	case t.ID.IsZero():
		request, end, err := s.c.beginWrite()
		if err != nil {
			return nil, err
		}
		defer end()
		id.request = request()
	case t.ID.Seq == 0: // a text for which the node makes exactly this client
		id.key = fmt.Sprintf("opaque-%s", t.ID.Client)
		id.request, _ = api.ParseIdempotencyKey(id.key)
	}
	res, err := s.c.do(ctx, t, func() identity { return id })
	if err != nil || res.Committed || len(t.Else) > 0 || len(res.Entries) > 0 {
		return res, err
	}
	for _, c := range t.If { // plain HTTP leaves out the current state
		now, _, err := s.c.readAll(ctx, "read", &api.ReadRequest{Keys: []api.Key{c.Key}})
		if err != nil {
			return nil, err
		}
		now.Entries[0].Value = nil
		res.Entries = append(res.Entries, now.Entries[0])
	}
	return res, nil
}

// TestTxnStore checks that the SDK carries every transaction of the suite, in every way of connecting.
func TestTxnStore(t *testing.T) {
	for name, c := range clients(t, storetest.NewMemory()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // times to live take real time
			for _, test := range storetest.Cases(storetest.Options{Time: true, Functions: true}) {
				if name == "plain" && test.Name == "OnceReplaysRefusals" {
					continue // it needs the state that plain HTTP leaves out
				}
				t.Run(test.Name, func(t *testing.T) { test.Run(t, txnStore{store{c}}) })
			}
		})
	}
}

// TestBothFormsOfATxnAreOne checks that a transaction sent over a stream and again as a plain request is the same one.
func TestBothFormsOfATxnAreOne(t *testing.T) {
	m := storetest.NewMemory()
	url := serve(t, httpd.New(front.New(front.Config{Store: m}), httpd.Config{}))
	stream, plain := open(t, Config{Endpoints: []string{url}}), open(t, Config{Endpoints: []string{url}, PlainHTTP: true})
	for name, txn := range map[string]*api.Txn{
		"writes": {Then: []api.Op{
			{Kind: api.OpPut, Key: "a", Value: []byte("<&>\u2028\x00\"\\")}, {Kind: api.OpPut, Key: "\xff/", Value: []byte("\xfe")}, {Kind: api.OpPut, Key: "b"},
			{Kind: api.OpAdd, Key: "n", Delta: -1 << 63}, {Kind: api.OpAdd, Key: "m"}, {Kind: api.OpAppendIfAbsent, Key: "s", Value: []byte("<1>")},
			{Kind: api.OpDelete, Key: "a"}, {Kind: api.OpGet, Key: "a"}, {Kind: api.OpGet, Key: "s"},
		}},
		"conditions": {If: []api.Cond{
			{Kind: api.CondVersion, Key: "never"}, {Kind: api.CondAbsent, Key: "never"}, {Kind: api.CondExists, Key: "exists"},
			{Kind: api.CondValue, Key: "exists", Value: []byte{}}, {Kind: api.CondVersion, Key: "exists", Version: api.Version{Epoch: 1, Index: 1}},
		}},
		"else": {If: []api.Cond{{Kind: api.CondValue, Key: "\xff", Value: []byte("\xff")}}, Else: []api.Op{{Kind: api.OpPut, Key: "e", Value: []byte("é")}}},
		"times": {Then: []api.Op{
			{Kind: api.OpPut, Key: "t/1", Value: []byte("x"), TTL: 1234567890123}, {Kind: api.OpTouch, Key: "t/1", TTL: time.Hour + 1},
			{Kind: api.OpAppendIfAbsent, Key: "t/\xff", Value: []byte("x"), TTL: api.MaxTTL},
		}},
		"functions": {Then: []api.Op{
			{Kind: api.OpPut, Key: "f/1", Value: []byte("x"), KeepTTL: true}, {Kind: api.OpAppend, Key: "f/\xff", Value: []byte("\xff"), TTL: time.Hour},
			{Kind: api.OpSum64, Key: "f/2", Value: []byte("12345678"), KeepTTL: true}, {Kind: api.OpMin64, Key: "f/2", Value: make([]byte, 8)},
			{Kind: api.OpMax64, Key: "f/2", Value: []byte("\x00\x01\x02\x03\xff\xfe\x80\x00")},
		}},
		"list":    {Then: []api.Op{{Kind: api.OpDelete, Key: "t/2"}, {Kind: api.OpList, Key: "t/\xff", Limit: 7}}},
		"neither": {If: []api.Cond{{Kind: api.CondAbsent, Key: "exists"}}, Then: []api.Op{{Kind: api.OpDelete, Key: "exists"}}, Age: 1 << 63},
	} {
		id, _ := api.ParseIdempotencyKey(name)
		same := func() identity { return identity{request: id, key: name} }
		if _, err := stream.Put(t.Context(), "exists", nil, IfAbsent()); err != nil && api.CodeOf(err) != api.CodePreconditionFailed {
			t.Fatal(err)
		}
		first, err := stream.do(t.Context(), txn, same)
		if err != nil || first.Replayed {
			t.Errorf("%s: %+v, %v", name, first, err)
			continue
		}
		again, err := plain.do(t.Context(), txn, same)
		if err != nil || !again.Replayed || again.Committed != first.Committed || again.Version != first.Version || again.Group != first.Group {
			t.Errorf("%s: %+v, then %+v, %v", name, first, again, err)
			continue
		}
		for i, e := range again.Entries {
			if f := first.Entries[i]; e.Key != f.Key || e.Version != f.Version || e.Exists != f.Exists || string(e.Value) != string(f.Value) {
				t.Errorf("%s: entry %d is %+v, then %+v", name, i, f, e)
			}
		}
		other := *txn
		other.Then = append([]api.Op{{Kind: api.OpGet, Key: "z"}}, txn.Then...)
		if _, err := plain.do(t.Context(), &other, same); api.CodeOf(err) != api.CodeConflict {
			t.Errorf("%s with another body: %v", name, err)
		}
	}
}
