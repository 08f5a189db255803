// Package peertest is nodes on a network in memory, for tests of what nodes ask of each other.
package peertest

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/wire"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/transport"
	"github.com/edgehold/edgehold/transport/wan"
)

// World is the nodes of a test.
type World struct {
	Fabric *wan.Fabric
	// Moved: other nodes than those that are meant answer at all addresses.
	Moved bool
	t     *testing.T
}

// New makes a world without nodes.
func New(t *testing.T) *World { return &World{Fabric: wan.NewFabric(1, wan.Real()), t: t} }

// Station is one node: its server, its port, and its pool.
type Station struct {
	Server *peer.Server
	Pool   *peer.Pool
	port   *transport.Port
	lanes  sync.WaitGroup
}

// Start starts a server of region us-east, which answers what register registers, and has nodes answer small calls; both may be nil.
// Close closes it.
func (w *World) Start(id api.NodeID, cfg peer.ServerConfig, nodes wire.Nodes, register func(*peer.Server)) *Station {
	w.t.Helper()
	cfg.Self, cfg.Role = id, api.RoleServer
	server, err := peer.NewServer(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	if register != nil {
		register(server)
	}
	s := &Station{Server: server, Pool: w.pool(id, server)}
	l, err := w.Fabric.Listen(string(id), "us-east")
	if err != nil {
		w.t.Fatal(err)
	}
	if s.port, err = transport.Open(transport.Config{
		Listener: l, Answers: func(name string) bool { return name == string(id) && !w.Moved },
	}); err != nil {
		w.t.Fatal(err)
	}
	s.lanes.Go(func() { _ = server.Serve(s.port.Peer()) }) // a crash closes the listener under it
	s.lanes.Go(func() { _ = server.ServeCalls(s.port.Calls(), nodes) })
	return s
}

func (w *World) pool(id api.NodeID, server *peer.Server) *peer.Pool {
	w.t.Helper()
	lanes := transport.Dialer{Dial: func(ctx context.Context, to string) (net.Conn, error) { return w.Fabric.Dial(ctx, string(id), to) }}
	to := func(lane func(ctx context.Context, address, name string) (net.Conn, error)) func(context.Context, api.NodeID) (net.Conn, error) {
		return func(ctx context.Context, node api.NodeID) (net.Conn, error) {
			return lane(ctx, string(node), string(node))
		}
	}
	pool, err := peer.NewPool(peer.PoolConfig{
		Server: server, Dial: to(lanes.DialPeer), DialCalls: to(lanes.DialCalls),
		DialAddress: func(ctx context.Context, address string) (net.Conn, error) { return lanes.DialPeer(ctx, address, "") },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return pool
}

// Close ends the node.
func (s *Station) Close() {
	s.Pool.Close()
	s.Server.Close()
	_ = s.port.Close() // of a listener in memory
	s.lanes.Wait()
}

// Nowhere is the dialer of a node that reaches no other.
func Nowhere(context.Context, api.NodeID) (net.Conn, error) {
	return nil, api.Errorf(api.CodeUnavailable, "there is no network")
}
