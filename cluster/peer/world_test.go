package peer

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/transport"
	"github.com/edgehold/edgehold/transport/rpc"
	"github.com/edgehold/edgehold/transport/wan"
)

// world is nodes on a network in memory.
type world struct {
	t      *testing.T
	fabric *wan.Fabric
	moved  bool // other nodes than those that are meant answer at all addresses
}

func newWorld(t *testing.T) *world {
	return &world{t: t, fabric: wan.NewFabric(1, wan.Real())}
}

// station is one node: server, port, pool.
type station struct {
	world  *world
	id     api.NodeID
	server *Server
	pool   *Pool
	rpc    *rpc.Server
	port   *transport.Port
	served sync.WaitGroup
}

// start starts a node of region us-east. Nodes are closed with the test, or by close.
func (w *world) start(id api.NodeID, cfg ServerConfig) *station {
	w.t.Helper()
	if cfg.Self = id; cfg.Groups == nil {
		cfg.Groups = func(api.GroupID) (Group, bool) { return nil, false }
	}
	server, err := NewServer(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	dial := func(ctx context.Context, to string) (net.Conn, error) { return w.fabric.Dial(ctx, string(id), to) }
	lanes := transport.Dialer{Dial: dial}
	to := func(lane func(ctx context.Context, address, name string) (net.Conn, error)) func(context.Context, api.NodeID) (net.Conn, error) {
		return func(ctx context.Context, node api.NodeID) (net.Conn, error) {
			return lane(ctx, string(node), string(node))
		}
	}
	pool, err := NewPool(PoolConfig{
		Self: id, Server: server, Dial: to(lanes.DialPeer), DialCalls: to(lanes.DialCalls),
		DialAddress: func(ctx context.Context, address string) (net.Conn, error) { return lanes.DialPeer(ctx, address, "") },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := w.fabric.Listen(string(id), "us-east")
	if err != nil {
		w.t.Fatal(err)
	}
	port, err := transport.Open(transport.Config{Listener: l, Answers: func(name string) bool { return name == string(id) && !w.moved }})
	if err != nil {
		w.t.Fatal(err)
	}
	s := &station{world: w, id: id, server: server, pool: pool, rpc: rpc.NewServer(rpc.ServerConfig{}), port: port}
	server.Register(s.rpc)
	s.served.Go(func() { _ = s.rpc.Serve(port.Peer()) }) // a crash closes the listener under it
	s.served.Go(func() { _ = server.ServeCalls(port.Calls()) })
	return s
}

func (s *station) close() {
	s.pool.Close()
	s.rpc.Close()
	s.server.Close()
	_ = s.port.Close()
	s.served.Wait()
}

// fakeGroup is a group whose parts are functions; those that are not set behave as a Memory, or do nothing.
type fakeGroup struct {
	*storetest.Memory
	Participant // nil: nobody asks
	id          api.GroupID
	read        func(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error)
	do          func(ctx context.Context, t *api.Txn) (*api.TxnResult, error)
	keepAlive   func(ctx context.Context, k *words.KeepAlive, s words.SessionKeepAlive) (words.SessionStatus, bool)
	acked       func(a words.RevokeAck)
	cede        func(r api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error)
	adopt       func(receipt *fsm.Receipt, shard fsm.Shard) error
	released    []api.DroppedLease
	closed      api.SessionID
}

func newGroup(id api.GroupID) *fakeGroup { return &fakeGroup{Memory: storetest.NewMemory(), id: id} }

// only serves one group.
func (g *fakeGroup) only(id api.GroupID) (Group, bool) { return g, id == g.id }

func (g *fakeGroup) Read(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
	if g.read != nil {
		return g.read(ctx, q)
	}
	return g.Memory.Read(ctx, q)
}

func (g *fakeGroup) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if g.do != nil {
		return g.do(ctx, t)
	}
	return g.Memory.Do(ctx, t)
}

func (g *fakeGroup) OpenSession(_ context.Context, o words.OpenSession) (words.SessionGrant, error) {
	if o.Term > words.MaxLeaseTerm {
		return words.SessionGrant{}, api.Errorf(api.CodeInvalid, "too long")
	}
	return words.SessionGrant{Session: api.SessionID{Incarnation: 1, Index: 7}, DedupEpoch: 3}, nil
}

func (g *fakeGroup) CloseSession(_ context.Context, _ api.GroupID, sid api.SessionID, _ ident.Nonce) error {
	g.closed = sid
	return nil
}

func (g *fakeGroup) Release(_ context.Context, _ api.GroupID, leases []api.DroppedLease) error {
	g.released = leases
	return nil
}

func (g *fakeGroup) KeepAlive(ctx context.Context, k *words.KeepAlive, s words.SessionKeepAlive) (words.SessionStatus, bool) {
	if g.keepAlive != nil {
		return g.keepAlive(ctx, k, s)
	}
	return words.SessionStatus{Group: s.Group, Session: s.Session, Seq: k.Seq, Extended: true}, true
}

func (g *fakeGroup) Acked(a words.RevokeAck) {
	if g.acked != nil {
		g.acked(a)
	}
}

func (g *fakeGroup) Cede(_ context.Context, r api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error) {
	return g.cede(r, epoch, to)
}

func (g *fakeGroup) Adopt(_ context.Context, receipt *fsm.Receipt, shard fsm.Shard) error {
	return g.adopt(receipt, shard)
}

func (g *fakeGroup) Index(context.Context) (uint64, error) { return 7, nil }

func (g *fakeGroup) Status() (api.GroupStatus, int, int) {
	return api.GroupStatus{Group: g.id, Leader: "s", Term: 4, Applied: 9}, 2, 5
}

// named is a Remote whose requests name a group.
type named struct {
	*Remote
	group api.GroupID
}

func (n named) Read(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
	x := *q
	x.Group = n.group
	return n.Remote.Read(ctx, &x)
}

func (n named) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	x := *t
	x.Group = n.group
	return n.Remote.Do(ctx, &x)
}

func (n named) List(ctx context.Context, q *api.ListRequest) (*api.ListResult, error) {
	x := *q
	x.Group = n.group
	return n.Remote.List(ctx, &x)
}

func TestStoretest(t *testing.T) {
	for _, from := range []api.NodeID{"c", "s"} {
		t.Run("from "+string(from), func(t *testing.T) {
			w := newWorld(t)
			w.fabric = wan.NewFabric(1, wan.Off())
			s := w.start("s", ServerConfig{Groups: newGroup("g").only})
			defer s.close()
			at := s
			if from == "c" {
				at = w.start("c", ServerConfig{})
				defer at.close()
			}
			store := named{at.pool.Remote("s"), "g"}
			storetest.RunLister(t, func(*testing.T) storetest.ListStore { return store })
		})
	}
}

// eventually is how long a virtual wait may take; in a bubble it costs nothing.
const eventually = time.Minute
