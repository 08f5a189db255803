// Package peertest is nodes on a network in memory, for tests of what nodes ask of each other.
package peertest

import (
	"cmp"
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

// World is the nodes of a test, and what they know of each other. Safe for concurrent use, but for its fields.
type World struct {
	Fabric *wan.Fabric
	// Moved: other nodes than those that are meant answer at all addresses.
	Moved bool
	t     testing.TB

	mu    sync.Mutex
	nodes map[api.NodeID]*peer.Caller // guarded by mu: as a placement map would have them
	last  uint32                      // guarded by mu: the newest number of a node
}

// New makes a world without nodes.
func New(t testing.TB) *World {
	return &World{Fabric: wan.NewFabric(1, wan.Real()), t: t, nodes: map[api.NodeID]*peer.Caller{}}
}

// Admit makes all nodes know the node from now on, with a number of its own and these prefixes; none means all keys.
func (w *World) Admit(id api.NodeID, role api.Role, scope ...api.Key) *peer.Caller {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	c := &peer.Caller{Node: id, Role: role, Num: w.last, Scope: scope, Plain: true}
	w.nodes[id] = c
	return c
}

// Remove makes all nodes forget the node: it is not of their cluster any more.
func (w *World) Remove(id api.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, id)
}

// identity is the other end of a connection, by the name that it gives.
type identity struct {
	w  *World
	id api.NodeID
}

// Caller returns what the world knows of the node now.
func (x identity) Caller() *peer.Caller {
	x.w.mu.Lock()
	defer x.w.mu.Unlock()
	if c := x.w.nodes[x.id]; c != nil {
		return c
	}
	return &peer.Caller{Node: x.id, Plain: true}
}

// Identity is what the nodes know of a connection of that node. It changes with [World.Admit] and [World.Remove].
func (w *World) Identity(id api.NodeID) peer.Identity { return identity{w, id} }

// Station is one node: its server, its port, and its pool.
type Station struct {
	Server *peer.Server
	Pool   *peer.Pool
	port   *transport.Port
	lanes  sync.WaitGroup
}

// Start starts a node of region us-east, which answers what register registers, and has nodes answer small calls; both may be nil.
// It is a server unless cfg has another role, and all nodes know it at once. Close closes it.
func (w *World) Start(id api.NodeID, cfg peer.ServerConfig, nodes wire.Nodes, register func(*peer.Server)) *Station {
	w.t.Helper()
	cfg.Self, cfg.Role = id, cmp.Or(cfg.Role, api.RoleServer)
	w.Admit(id, cfg.Role)
	cfg.Own = w.Identity(id)
	cfg.Identify = func(c net.Conn) peer.Identity {
		x, _ := transport.PeerOf(c).(peer.Identity)
		return x
	}
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
		Identify: func(_ context.Context, a transport.Arrival) (any, error) {
			return w.Identity(api.NodeID(a.Caller)), nil
		},
	}); err != nil {
		w.t.Fatal(err)
	}
	s.lanes.Go(func() { _ = server.Serve(s.port.Peer()) }) // a crash closes the listener under it
	s.lanes.Go(func() { _ = server.ServeCalls(s.port.Calls(), nodes) })
	return s
}

func (w *World) pool(id api.NodeID, server *peer.Server) *peer.Pool {
	w.t.Helper()
	lanes := transport.Dialer{Caller: string(id), Dial: func(ctx context.Context, to string) (net.Conn, error) { return w.Fabric.Dial(ctx, string(id), to) }}
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
