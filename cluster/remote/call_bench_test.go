package remote

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/transport"
)

// benchNode is a node over TCP, seen from another, which its map names.
func benchNode(b *testing.B, g *fakeGroup) Node {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	known := &peer.Caller{Node: "c", Role: api.RoleEdge, Num: 1}
	port, err := transport.Open(transport.Config{
		Listener: l, Identify: func(context.Context, transport.Arrival) (any, error) { return known, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	server, err := peer.NewServer(peer.ServerConfig{
		Self: "s", Role: api.RoleServer, Identify: func(c net.Conn) peer.Identity { return transport.PeerOf(c).(peer.Identity) },
	})
	if err != nil {
		b.Fatal(err)
	}
	Register(server, g.only)
	var lanes sync.WaitGroup
	lanes.Go(func() { _ = server.ServeCalls(port.Calls(), Calls{Store{g.only}}) })
	lanes.Go(func() { _ = server.Serve(port.Peer()) })
	var d net.Dialer
	dialer := transport.Dialer{Caller: "c", Dial: func(ctx context.Context, a string) (net.Conn, error) { return d.DialContext(ctx, "tcp", a) }}
	own, err := peer.NewServer(peer.ServerConfig{Self: "c", Role: api.RoleEdge})
	if err != nil {
		b.Fatal(err)
	}
	to := func(ctx context.Context, _ api.NodeID) (net.Conn, error) {
		return dialer.DialCalls(ctx, l.Addr().String(), "s")
	}
	pool, err := peer.NewPool(peer.PoolConfig{Server: own, DialCalls: to, Dial: func(ctx context.Context, _ api.NodeID) (net.Conn, error) {
		return dialer.DialPeer(ctx, l.Addr().String(), "s")
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		pool.Close()
		own.Close()
		server.Close()
		_ = port.Close()
		lanes.Wait()
	})
	return Node{pool.Remote("s")}
}

// BenchmarkRead measures a read at another node, over the lane of calls.
func BenchmarkRead(b *testing.B) {
	g := newGroup("g")
	answer := &words.ReadResult{ReadResult: api.ReadResult{Entries: []api.Entry{{Key: "k"}}}}
	g.read = func(context.Context, *words.ReadRequest) (*words.ReadResult, error) { return answer, nil }
	n, q := benchNode(b, g), &words.ReadRequest{Group: "g", ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}}
	var out words.ReadResult
	b.ReportAllocs()
	for b.Loop() {
		if err := n.Read(context.Background(), q, &out); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDo measures a write at another node, over the lane of calls.
func BenchmarkDo(b *testing.B) {
	g := newGroup("g")
	answer := &api.TxnResult{Committed: true, Entries: []api.Entry{{Key: "k"}}}
	g.do = func(context.Context, *words.Txn) (*api.TxnResult, error) { return answer, nil }
	n, t := benchNode(b, g), &words.Txn{Group: "g", Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte("v")}}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Do(context.Background(), t); err != nil {
			b.Fatal(err)
		}
	}
}
