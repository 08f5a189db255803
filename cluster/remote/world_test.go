package remote

import (
	"context"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/peer/peertest"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/transport/wan"
)

// world is nodes with groups.
type world struct {
	*peertest.World
	t *testing.T
}

func newWorld(t *testing.T) *world { return &world{peertest.New(t), t} }

// config is a node's.
type config struct {
	peer.ServerConfig
	LeasesConfig
}

// station is one node.
type station struct {
	*peertest.Station
	id     api.NodeID
	num    uint32 // the node's number
	leases *Leases
}

// start starts a node. Nodes are closed with the test, or by close.
func (w *world) start(id api.NodeID, cfg config) *station {
	w.t.Helper()
	if cfg.Groups == nil {
		cfg.Groups = func(api.GroupID) (Group, bool) { return nil, false }
	}
	cfg.LeasesConfig.Faults = cfg.ServerConfig.Faults
	s := &station{id: id}
	s.Station = w.Start(id, cfg.ServerConfig, Calls{Store{cfg.Groups}}, func(server *peer.Server) {
		Register(server, cfg.Groups)
		s.leases = NewLeases(server, cfg.LeasesConfig)
	})
	s.num = w.Identity(id).Caller().Num
	return s
}

// attempt is one of the node's own attempts, number seq of some client.
func (s *station) attempt(seq uint64, decider api.GroupID) ident.TxnID {
	number, _ := ident.NextAttempt(0, s.num, 1)
	return ident.TxnID{Client: api.ClientID{1}, Seq: seq, Attempt: number, Decider: decider}
}

// node is another node, or this one, as it is seen here.
func (s *station) node(id api.NodeID) Node { return Node{s.Pool.Remote(id)} }

func (s *station) close() {
	s.leases.Close()
	s.Close()
}

// fakeGroup is a group whose parts are functions; those that are not set behave as a Memory, or do nothing.
type fakeGroup struct {
	*storetest.Memory
	Participant // nil: it is not asked
	id          api.GroupID
	read        func(ctx context.Context, q *words.ReadRequest) (*words.ReadResult, error)
	do          func(ctx context.Context, t *words.Txn) (*api.TxnResult, error)
	keepAlive   func(ctx context.Context, k *words.KeepAlive, s words.SessionKeepAlive) (words.SessionStatus, bool)
	acked       func(a words.RevokeAck)
	cede        func(r api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error)
	adopt       func(receipt *fsm.Receipt, shard fsm.Shard) error
	released    []ident.DroppedLease
	closed      ident.SessionID
	opened      words.OpenSession
	hinted      []ident.TxnID
	at          []words.Listed
	feed        func(ctx context.Context, r *words.FeedRequest) (words.Feed, error)
}

func newGroup(id api.GroupID) *fakeGroup { return &fakeGroup{Memory: storetest.NewMemory(), id: id} }

// only serves one group.
func (g *fakeGroup) only(id api.GroupID) (Group, bool) { return g, id == g.id }

func (g *fakeGroup) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	if g.read == nil {
		return g.Memory.Read(ctx, &q.ReadRequest, &out.ReadResult)
	}
	res, err := g.read(ctx, q)
	if err == nil {
		*out = *res
	}
	return err
}

func (g *fakeGroup) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	res, err := g.Memory.List(ctx, &q.ListRequest)
	if err != nil {
		return nil, err
	}
	return &words.ListResult{ListResult: *res, At: g.at}, nil
}

func (g *fakeGroup) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	if g.do != nil {
		return g.do(ctx, t)
	}
	return g.Memory.Do(ctx, &t.Txn)
}

func (g *fakeGroup) OpenSession(_ context.Context, o words.OpenSession) (words.SessionGrant, error) {
	g.opened = o
	if o.Term > words.MaxLeaseTerm {
		return words.SessionGrant{}, api.Errorf(api.CodeInvalid, "too long")
	}
	return words.SessionGrant{Session: ident.SessionID{Incarnation: 1, Index: 7}, DedupEpoch: 3}, nil
}

func (g *fakeGroup) CloseSession(_ context.Context, _ api.GroupID, sid ident.SessionID, _ ident.Nonce) error {
	g.closed = sid
	return nil
}

func (g *fakeGroup) Release(_ context.Context, _ api.GroupID, leases []ident.DroppedLease) error {
	g.released = leases
	return nil
}

func (g *fakeGroup) KeepAlive(ctx context.Context, k *words.KeepAlive, s words.SessionKeepAlive) (words.SessionStatus, bool) {
	if g.keepAlive != nil {
		return g.keepAlive(ctx, k, s)
	}
	return words.SessionStatus{Group: s.Group, Session: s.Session, Seq: k.Seq, Extended: true}, true
}

func (g *fakeGroup) Feed(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
	return g.feed(ctx, r)
}

func (g *fakeGroup) Acked(a words.RevokeAck) {
	if g.acked != nil {
		g.acked(a)
	}
}

func (g *fakeGroup) ResolveHint(_ context.Context, _ api.GroupID, id ident.TxnID) error {
	g.hinted = append(g.hinted, id)
	return nil
}

func (g *fakeGroup) Cede(_ context.Context, r api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error) {
	return g.cede(r, epoch, to)
}

func (g *fakeGroup) Adopt(_ context.Context, receipt *fsm.Receipt, shard fsm.Shard) error {
	return g.adopt(receipt, shard)
}

// named is a Node whose requests name a group.
type named struct {
	Node
	group api.GroupID
}

func (n named) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	x := *q
	x.Group = n.group
	return n.Node.Read(ctx, &x, out)
}

func (n named) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	x := *t
	x.Group = n.group
	return n.Node.Do(ctx, &x)
}

func (n named) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	x := *q
	x.Group = n.group
	return n.Node.List(ctx, &x)
}

func TestStoretest(t *testing.T) {
	for _, from := range []api.NodeID{"c", "s"} {
		t.Run("from "+string(from), func(t *testing.T) {
			w := newWorld(t)
			w.Fabric = wan.NewFabric(1, wan.Off())
			s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: newGroup("g").only}})
			defer s.close()
			at := s
			if from == "c" {
				at = w.start("c", config{})
				defer at.close()
			}
			store := named{at.node("s"), "g"}
			storetest.RunLister(t, func(*testing.T) storetest.ListStore { return words.Plain{Store: store, Lister: store} }, storetest.Options{Time: true, Functions: true, Together: true})
		})
	}
}
