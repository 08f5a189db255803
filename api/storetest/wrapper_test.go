package storetest_test

import (
	"context"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// static answers each read with one entry, in the caller's memory.
type static struct{ api.Store }

func (static) Read(_ context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	*out = api.ReadResult{Entries: append(out.Entries[:0], api.Entry{Key: r.Keys[0], Exists: true}), ServedBy: api.ServedByLease}
	return nil
}

// wrapper is a Store that adds nothing.
type wrapper struct{ inner api.Store }

func (w wrapper) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	return w.inner.Read(ctx, r, out)
}

func (w wrapper) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	return w.inner.Do(ctx, t)
}

// wrapped returns the Store behind n wrappers.
func wrapped(s api.Store, n int) api.Store {
	for range n {
		s = wrapper{s}
	}
	return s
}

// TestWrappersAllocateNothing checks that wrapping a Store does not allocate.
func TestWrappersAllocateNothing(t *testing.T) {
	s := wrapped(static{}, 8)
	r, out := &api.ReadRequest{Keys: []api.Key{"k"}}, &api.ReadResult{Entries: make([]api.Entry, 0, 1)}
	read := func() {
		if err := s.Read(t.Context(), r, out); err != nil || out.Entries[0].Key != "k" {
			t.Error(err)
		}
	}
	if n := testing.AllocsPerRun(1000, read); n != 0 {
		t.Errorf("a read through 8 wrappers allocates %v times", n)
	}
}

// BenchmarkWrapper measures what one wrapper that adds nothing costs a read.
func BenchmarkWrapper(b *testing.B) {
	const wrappers = 64
	s := wrapped(static{}, wrappers)
	r, out := &api.ReadRequest{Keys: []api.Key{"k"}}, &api.ReadResult{Entries: make([]api.Entry, 0, 1)}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Read(b.Context(), r, out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/wrappers, "ns/wrapper")
}
