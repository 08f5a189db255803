package remote

import (
	"context"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/api/wire"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
)

var (
	methodRead = peer.NewMethod[words.ReadRequest, words.ReadResult]("Read", admission.Request, peer.Nodes)
	methodDo   = peer.NewMethod[words.Txn, api.TxnResult]("Do", admission.Request, peer.Nodes)
	methodList = peer.NewMethod[words.ListRequest, words.ListResult]("List", admission.Request, peer.Nodes)
)

// Read reads keys of one group.
func (n Node) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	if n.Self() || trace.Sampled(ctx) { // the shared connection carries no traces
		res, err := methodRead.Ask(ctx, n.Remote, q)
		if err == nil {
			*out = *res
		}
		return err
	}
	c, err := n.Calls(ctx)
	if err != nil {
		return err
	}
	answer, err := c.ReadIn(ctx, (*readEnvelope)(q), &q.ReadRequest, &out.ReadResult)
	if err != nil {
		return peer.Certain("read", err)
	}
	return (*grants)(out).parse(answer)
}

// Do carries out a transaction in one group.
func (n Node) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	if n.Self() || t.Size() > peer.MaxCallBytes || trace.Sampled(ctx) {
		return methodDo.Call(ctx, n.Remote, t)
	}
	c, err := n.Calls(ctx)
	if err != nil {
		return nil, err
	}
	return c.DoIn(ctx, (*txnEnvelope)(t), &t.Txn)
}

// List lists a range of one group.
func (n Node) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	return methodList.Ask(ctx, n.Remote, q)
}

func registerStore(s *peer.Server, groups Groups) {
	store := Store{groups}
	methodRead.Handle(s, func(ctx context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
		return words.Read(ctx, store, q)
	})
	methodDo.Handle(s, store.Do)
	methodList.Handle(s, of(groups, func(q *words.ListRequest) api.GroupID { return q.Group },
		func(g Group, ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
			if err := rangeInScope(peer.CallerFrom(ctx), q.Range); err != nil {
				return nil, err
			}
			for i := range q.Also {
				if err := rangeInScope(peer.CallerFrom(ctx), q.Also[i].Range); err != nil {
					return nil, err
				}
			}
			return g.List(ctx, q)
		}))
}

// Store hands each request to the group that it names, if its keys are in the scope of the caller.
type Store struct{ Groups }

var _ words.Store = Store{}

// Read hands the request to the group that it names.
func (s Store) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	g, err := s.at(q.Group)
	if err == nil {
		err = keysInScope(peer.CallerFrom(ctx), q.Keys...)
	}
	if err != nil {
		return err
	}
	return g.Read(ctx, q, out)
}

// Do hands the transaction to the group that it names.
func (s Store) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	g, err := s.at(t.Group)
	if err == nil {
		err = partInScope(peer.CallerFrom(ctx), t.If, t.Then, t.Else)
	}
	if err != nil {
		return nil, err
	}
	return g.Do(ctx, t)
}

// Calls has a Store answer the calls of other nodes, which come in envelopes.
type Calls struct{ Store words.Store }

var _ wire.Nodes = Calls{}

// reads and txns keep the memory of calls for the next ones: a Store keeps neither a request nor its result.
var (
	reads = sync.Pool{New: func() any { return new(reading) }}
	txns  = sync.Pool{New: func() any { return new(words.Txn) }}
)

type reading struct {
	request words.ReadRequest
	out     words.ReadResult
}

// Read reads by the request and its envelope.
func (c Calls) Read(ctx context.Context, envelope []byte, q *api.ReadRequest, out *api.ReadResult) (wire.Envelope, error) {
	x := reads.Get().(*reading)
	*x = reading{request: words.ReadRequest{ReadRequest: *q}, out: words.ReadResult{ReadResult: *out}}
	defer func() { *x = reading{}; reads.Put(x) }()
	if err := (*readEnvelope)(&x.request).parse(envelope); err != nil {
		return nil, err
	}
	if err := c.Store.Read(ctx, &x.request, &x.out); err != nil {
		return nil, err
	}
	*out = x.out.ReadResult
	if len(x.out.Leases) == 0 && len(x.out.Deadlines) == 0 {
		return nil, nil
	}
	return &grants{Leases: x.out.Leases, Deadlines: x.out.Deadlines}, nil
}

// Do carries out the transaction and its envelope.
func (c Calls) Do(ctx context.Context, envelope []byte, q *api.Txn) (*api.TxnResult, error) {
	t := txns.Get().(*words.Txn)
	*t = words.Txn{Txn: *q}
	defer func() { *t = words.Txn{}; txns.Put(t) }()
	if err := (*txnEnvelope)(t).parse(envelope); err != nil {
		return nil, err
	}
	return c.Store.Do(ctx, t)
}
