package wire

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// BenchmarkCall measures a call over a socket, including both sides. A Store answers it from memory, at the stack depth of a
// lookup in the state machine. Each call has a goroutine of its own, or one of the Workers.
func BenchmarkCall(b *testing.B) {
	b.Run("goroutines", func(b *testing.B) { benchmarkCall(b, nil) })
	w := NewWorkers(2048)
	defer w.Close()
	b.Run("workers", func(b *testing.B) { benchmarkCall(b, w) })
}

func benchmarkCall(b *testing.B, w *Workers) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	value := make([]byte, 256)
	store := fake{read: func(_ context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
		deep(12)
		return &api.ReadResult{Entries: []api.Entry{{Key: q.Keys[0], Value: value, Exists: true}}}, nil
	}}
	var serving sync.WaitGroup
	serving.Go(func() {
		if conn, err := l.Accept(); err == nil {
			_ = Serve(ctx, conn, ServerConfig{Store: store, Workers: w})
		}
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	c := NewClient(conn, ClientConfig{})
	b.ReportAllocs()
	b.SetParallelism(256)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		var out api.ReadResult
		for p.Next() {
			if err := c.Read(ctx, &api.ReadRequest{Keys: []api.Key{"k"}}, &out); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	_ = c.Close()
	cancel()
	serving.Wait()
}
