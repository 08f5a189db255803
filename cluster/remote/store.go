package remote

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
)

var (
	methodRead = peer.NewMethod[api.ReadRequest, api.ReadResult]("Read", peer.Requests, peer.Nodes)
	methodDo   = peer.NewMethod[api.Txn, api.TxnResult]("Do", peer.Requests, peer.Nodes)
	methodList = peer.NewMethod[api.ListRequest, api.ListResult]("List", peer.Requests, peer.Nodes)
)

// Read reads keys of one group.
func (n Node) Read(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
	if n.Self() {
		return methodRead.Call(ctx, n.Remote, q)
	}
	c, err := n.Calls(ctx)
	if err != nil {
		return nil, err
	}
	res, err := c.Read(ctx, q)
	return res, peer.Certain("read", err)
}

// Do carries out a transaction in one group.
func (n Node) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if n.Self() || t.Size() > peer.MaxCallBytes {
		return methodDo.Call(ctx, n.Remote, t)
	}
	c, err := n.Calls(ctx)
	if err != nil {
		return nil, err
	}
	return c.Do(ctx, t)
}

// List lists a range of one group.
func (n Node) List(ctx context.Context, q *api.ListRequest) (*api.ListResult, error) {
	return methodList.Ask(ctx, n.Remote, q)
}

func registerStore(s *peer.Server, groups Groups) {
	store := Store{groups}
	methodRead.Handle(s, store.Read)
	methodDo.Handle(s, store.Do)
	methodList.Handle(s, of(groups, func(q *api.ListRequest) api.GroupID { return q.Group }, Group.List))
}

// Store hands each request to the group that it names.
type Store struct{ Groups }

var _ api.Store = Store{}

// Read hands the request to the group that it names.
func (s Store) Read(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
	g, err := s.at(q.Group)
	if err != nil {
		return nil, err
	}
	return g.Read(ctx, q)
}

// Do hands the transaction to the group that it names.
func (s Store) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	g, err := s.at(t.Group)
	if err != nil {
		return nil, err
	}
	return g.Do(ctx, t)
}
