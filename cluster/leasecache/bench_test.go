package leasecache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// stillClock stands still and costs nothing.
type stillClock struct{}

func (stillClock) Now() words.ClockSample {
	return words.ClockSample{Boottime: time.Hour, Raw: time.Hour}
}

// warmEdge returns a cache that is not started and holds leases on n keys, and the keys in random order.
func warmEdge(tb testing.TB, clock words.Clock, n int) (*Cache, []api.Key) {
	tb.Helper()
	none := &fakeStore{}
	e, err := New(Config{
		Store: none, Lister: none, Lessor: &fakeLessor{},
		Locate: func(api.Key) (api.GroupID, bool) { return "a", true },
		Peers:  func() []PeerGroups { return nil },
		Open:   func(context.Context, api.NodeID) (words.LeaseStream, error) { return nil, api.CodeUnavailable },
		Clock:  clock, Node: "edge", Nonce: testNonce, Term: words.MaxLeaseTerm,
	})
	if err != nil {
		tb.Fatal(err)
	}
	g := newGroup(e, "a")
	s := newSession(g, ident.SessionID{Incarnation: 1, Index: 1}, clock.Now(), time.Hour)
	g.current.Store(s)
	keys := make([]api.Key, n)
	for i, j := range rand.New(rand.NewPCG(3, 3)).Perm(n) {
		keys[i] = api.Key(fmt.Sprintf("us-east/users/%08d/profile", j))
		got := api.Entry{Key: keys[i], Value: make([]byte, 100), Exists: true, Version: api.Version{Epoch: 1, Index: 1}}
		if o := e.entries.install(s, got, ident.LeaseID(i+1), 0, clock.Now()); o != installed {
			tb.Fatalf("key %d was not installed: %d", i, o)
		}
	}
	return e, keys
}

const benchKeys = 10_000

// BenchmarkLeasedReadBatch64 reads 64 keys under one clock sample. The figure to look at is ns/read.
func BenchmarkLeasedReadBatch64(b *testing.B) {
	e, keys := warmEdge(b, stillClock{}, benchKeys)
	req, res := new(api.ReadRequest), new(api.ReadResult)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		req.Keys = keys[i : i+64]
		if err := e.Read(b.Context(), req, res); err != nil || res.ServedBy != api.ServedByLease {
			b.Fatal(err, res.ServedBy)
		}
		i = (i + 64) % (benchKeys - 64)
	}
	perRead(b, 64)
}

// BenchmarkLeasedReadBatch64Parallel is the same on all cores, over the same keys.
func BenchmarkLeasedReadBatch64Parallel(b *testing.B) {
	e, keys := warmEdge(b, stillClock{}, benchKeys)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		req, res := new(api.ReadRequest), new(api.ReadResult)
		for i := 0; pb.Next(); i = (i + 64) % (benchKeys - 64) {
			req.Keys = keys[i : i+64]
			if err := e.Read(context.Background(), req, res); err != nil || res.ServedBy != api.ServedByLease {
				b.Error(err, res.ServedBy)
				return
			}
		}
	})
	perRead(b, 64)
}

// BenchmarkLeasedReadHotKeyParallel is the worst case of sharing: all cores read one key.
func BenchmarkLeasedReadHotKeyParallel(b *testing.B) {
	e, keys := warmEdge(b, stillClock{}, benchKeys)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		req, res := &api.ReadRequest{Keys: keys[:1]}, new(api.ReadResult)
		for pb.Next() {
			if err := e.Read(context.Background(), req, res); err != nil || res.ServedBy != api.ServedByLease {
				b.Error(err, res.ServedBy)
				return
			}
		}
	})
}

// BenchmarkLeasedReadSingle is one read of one key that reuses its result.
func BenchmarkLeasedReadSingle(b *testing.B) { benchSingle(b, stillClock{}) }

func benchSingle(b *testing.B, clock words.Clock) {
	e, keys := warmEdge(b, clock, benchKeys)
	req, res := &api.ReadRequest{Keys: make([]api.Key, 1)}, new(api.ReadResult)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		req.Keys[0] = keys[i]
		if err := e.Read(b.Context(), req, res); err != nil || res.ServedBy != api.ServedByLease {
			b.Fatal(err, res.ServedBy)
		}
		i = (i + 1) % benchKeys
	}
}

// BenchmarkLeasedReadSingleParallel is the same on all cores.
func BenchmarkLeasedReadSingleParallel(b *testing.B) {
	e, keys := warmEdge(b, stillClock{}, benchKeys)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		req, res := &api.ReadRequest{Keys: make([]api.Key, 1)}, new(api.ReadResult)
		for i := rand.IntN(benchKeys); pb.Next(); i = (i + 1) % benchKeys {
			req.Keys[0] = keys[i]
			if err := e.Read(context.Background(), req, res); err != nil || res.ServedBy != api.ServedByLease {
				b.Error(err, res.ServedBy)
				return
			}
		}
	})
}

// BenchmarkInstall is a grant into a full cache, which has to make room for it.
func BenchmarkInstall(b *testing.B) {
	e, keys := warmEdge(b, stillClock{}, benchKeys)
	e.entries.room.maxEntries = benchKeys / 2
	s := e.entries.get(e.entries.hasher.hash(keys[0]), keys[0]).session
	lid := ident.LeaseID(benchKeys)
	b.ReportAllocs()
	for b.Loop() {
		lid++
		got := api.Entry{Key: keys[int(lid)%benchKeys], Value: make([]byte, 100), Exists: true, Version: api.Version{Epoch: 1, Index: uint64(lid)}}
		e.entries.install(s, got, lid, 0, words.ClockSample{})
	}
}

func perRead(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/read")
}

// TestNoAllocations checks that a read that a lease serves allocates nothing, with and without deadlines.
func TestNoAllocations(t *testing.T) {
	e, keys := warmEdge(t, stillClock{}, 1000)
	for _, k := range keys[:32] {
		en := e.entries.get(e.entries.hasher.hash(k), k)
		en.session.group.tells(1, stillClock{}.Now())
		en.deadline.Store(1 << 40)
	}
	req, res := &api.ReadRequest{Keys: keys[:64]}, new(api.ReadResult)
	read := func() {
		if err := e.Read(t.Context(), req, res); err != nil || res.ServedBy != api.ServedByLease {
			t.Error(err, res.ServedBy)
		}
	}
	read()
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("a read of 64 keys allocates %v times", n)
	}
}
