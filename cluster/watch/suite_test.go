package watch

import (
	"context"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
)

// suiteStore is a store in memory whose changes a world's group tells.
type suiteStore struct {
	*storetest.Memory
	*Hub
	mu sync.Mutex
	w  *world
}

func (s *suiteStore) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := t.Check(); err != nil {
		return nil, err
	}
	keys := t.WrittenKeys()
	before := s.entries(keys)
	res, err := s.Memory.Do(ctx, t)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	g := s.w.groups["g"]
	g.index++
	for i, e := range s.entries(keys) {
		x := api.Event{Kind: api.EventPut, Key: e.Key, Version: e.Version, Value: e.Value}
		if !e.Exists {
			x.Kind = api.EventDelete
		}
		if e.Exists && e.Version != before[i].Version || !e.Exists && before[i].Exists {
			g.history = append(g.history, told{x, g.id, 1, g.index})
		}
	}
	s.w.wake()
	return res, err
}

func (s *suiteStore) entries(keys []api.Key) []api.Entry {
	var res api.ReadResult
	if len(keys) > 0 {
		if err := s.Memory.Read(context.Background(), &api.ReadRequest{Keys: keys}, &res); err != nil {
			panic(err)
		}
	}
	return res.Entries
}

// List implements Lister for the hub.
func (s *suiteStore) list(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	res, err := s.Memory.List(ctx, &q.ListRequest)
	if err != nil {
		return nil, err
	}
	p := piecesOf(s.w.placement(), q.Range)[0]
	p.At = words.Position{Incarnation: 1, Index: s.w.groups["g"].index}
	if res.More {
		p.Range.End = res.Entries[len(res.Entries)-1].Key + "\x00"
	}
	return &words.ListResult{ListResult: *res, At: []words.Listed{{Piece: p.Piece, At: p.At}}}, nil
}

func (s *suiteStore) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	res, err := s.Hub.List(ctx, &words.ListRequest{ListRequest: *r})
	if err != nil {
		return nil, err
	}
	return &res.ListResult, nil
}

func (s *suiteStore) Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	return s.Hub.Watch(ctx, r)
}

type listerFunc func(ctx context.Context, q *words.ListRequest) (*words.ListResult, error)

func (f listerFunc) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	return f(ctx, q)
}

// TestSuite: the hub is a Watcher like any other.
func TestSuite(t *testing.T) {
	storetest.RunWatcher(t, func(t *testing.T) storetest.WatchStore {
		t.Parallel()
		s := &suiteStore{Memory: storetest.NewMemory(), w: newWorld("g")}
		h, err := New(Config{Feeder: s.w, Lister: listerFunc(s.list), Map: s.w.placement})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		s.Hub = h
		return s
	})
}
