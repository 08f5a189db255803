package wire

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

// BenchmarkRefusal measures a refused call over a socket, including both sides: the cost of load beyond the limits.
func BenchmarkRefusal(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	full := overload("full")
	var serving sync.WaitGroup
	serving.Go(func() {
		if conn, err := l.Accept(); err == nil {
			_ = Serve(ctx, conn, ServerConfig{Enter: func(Asked) (*admission.Ticket, *api.Error) { return nil, full }})
		}
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	c := NewClient(conn, ClientConfig{})
	value := make([]byte, 256)
	b.ReportAllocs()
	b.SetParallelism(512)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			t := &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: value}}}
			if _, err := c.Do(ctx, t); api.CodeOf(err) != api.CodeUnavailable {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	_ = c.Close()
	cancel()
	serving.Wait()
}
