package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/lock"
)

// New returns a Client of a Store in this process, such as that of an embedded edge. Reads under leases that the edge holds never
// leave the process.
//
// The Client has the same methods and guarantees as one that [Open] returns: calls are retried, writes take effect once, and the
// caller owns the values that it gets. [Client.List] and [Client.ListPage] require that the Store is an [api.Lister].
// [Client.Watch] and [Client.Follow] require that it is an [api.Watcher]. [Client.Status], [Client.SetPlacement] and [Client.Ready] require that it is an [api.Admin]. If it is not, they return
// [api.CodeInvalid]. [Client.Fetch] and [Client.SendTxn], which need HTTP, always return [api.CodeInvalid]. [Client.Lock] alone writes keys of
// locks, as at every node; its waiters poll if the Store is no Watcher. If the Store has a method ID() api.NodeID, [Value].Node is what it
// returns. If it has a method ReadLeased, as an embedded edge has, a Get without options is answered by that, if it can be, in less than a
// microsecond. Close does not close the Store.
func New(store api.Store, opts ...Option) *Client {
	nodes := &endpoints{all: []*endpoint{{}}}
	e := &embedded{store: store, endpoints: nodes}
	if n, ok := store.(interface{ ID() api.NodeID }); ok {
		e.node = n.ID()
	}
	c, err := newClient(api.DefaultTimeout, rand.Reader, nodes, e)
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	c.leased, _ = store.(leaser)
	for _, o := range opts {
		o(c)
	}
	return c
}

// leaser is a Store that knows at once whether it can answer a linearizable read by itself.
type leaser interface {
	// ReadLeased returns the entry of the key, of which the caller must not change the Value, and the key's owner; or ok is false, and
	// nothing was done. It does not block.
	ReadLeased(k api.Key) (e api.Entry, owner api.GroupID, ok bool)
}

// getLeased is Get if the Store in this process answers it at once. ok is false if it does not.
func (c *Client) getLeased(ctx context.Context, key api.Key) (v Value, ok bool, err error) {
	if c.leased == nil || ctx.Err() != nil {
		return Value{}, false, nil //nolint:nilerr // the longer way says that ctx is over
	}
	e, owner, ok := c.leased.ReadLeased(key)
	if !ok {
		return Value{}, false, nil
	}
	v = Value{Version: e.Version, ServedBy: api.ServedByLease, Owner: owner, Node: c.carrier.(*embedded).node, TTL: e.TTL}
	if !e.Exists {
		return v, true, absent(keyCall("get", http.MethodGet, key), e.Version)
	}
	v.Value = append([]byte{}, e.Value...)
	return v, true, nil
}

// embedded carries calls to a Store in this process.
type embedded struct {
	store     api.Store
	node      api.NodeID // "" if it is not known
	endpoints *endpoints // exactly one

	mu      sync.Mutex
	service *lock.Service // guarded by mu: nil before the first lock
}

// locks returns what keeps locks in the Store. It watches if the Store is an [api.Watcher].
func (s *embedded) locks() *lock.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.service == nil {
		watcher, _ := s.store.(api.Watcher)
		s.service = lock.New(lock.Config{Store: s.store, Watcher: watcher})
	}
	return s.service
}

func (s *embedded) attempt(ctx context.Context, e *endpoint, q *call, _ time.Duration) (*answer, *failure) {
	a := &answer{node: s.node}
	var err error
	switch {
	case q.read != nil:
		a.read = new(api.ReadResult)
		if err = s.store.Read(ctx, q.read, a.read); err == nil {
			copyValues(a.read.Entries)
		}
	case q.txn != nil:
		a.txn, err = s.do(ctx, q)
	case q.locking != nil:
		err = q.locking(ctx, s.locks())
	case q.direct != nil:
		err = q.direct(ctx, s.store)
	default:
		err = api.Errorf(api.CodeInvalid, "this takes a client of nodes, which client.Open returns: the client's store is in this process")
	}
	return s.endpoints.judged(e, "the store", q, a, asClients(err))
}

// do carries out a transaction. No front stands before the Store, so what fronts refuse for the sake of locks is refused here.
func (s *embedded) do(ctx context.Context, q *call) (*api.TxnResult, error) {
	t := *q.txn
	if err := lock.CheckTxn(&t); err != nil {
		return nil, err
	}
	if q.id != nil {
		t.ID = q.id().request
	}
	res, err := s.store.Do(ctx, &t)
	if err != nil {
		return nil, err
	}
	own := *res
	own.Entries = append([]api.Entry{}, own.Entries...)
	copyValues(own.Entries)
	return &own, nil
}

// asClients converts an error of a Store to the form that a client of nodes gets. Codes used between nodes become
// CodeUnavailable. Unknown is cleared, because the client itself knows whether the caller gave a key that may have been used
// before.
func asClients(err error) error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		return err
	}
	own := *e // the error may be shared
	switch own.Code {
	case api.CodeNotLeader, api.CodeWrongGroup, api.CodeSessionDead:
		own.Code = api.CodeUnavailable
	}
	if own.Code == api.CodeUnavailable {
		own.Unknown = false
	}
	return &own
}

func (s *embedded) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.service != nil {
		_ = s.service.Close() // it has no error to close with
	}
}

// copyValues gives the entries values of their own, because a Store may share the returned values with its cache.
func copyValues(entries []api.Entry) {
	for i := range entries {
		entries[i].Value = bytes.Clone(entries[i].Value)
	}
}

// listDirectly fills p with a page that a Store in this process lists.
func (o *listOptions) listDirectly(ctx context.Context, s api.Store, prefix api.Key, p *Page) error {
	l, ok := s.(api.Lister)
	if !ok {
		return api.Errorf(api.CodeInvalid, "the client's store does not list: it is no api.Lister")
	}
	r, err := o.request(prefix)
	if err != nil {
		return err
	}
	res, err := l.List(ctx, r)
	if err != nil {
		return err
	}
	*p = Page{Entries: append([]api.Entry{}, res.Entries...), Stale: res.Stale, Age: res.Age}
	copyValues(p.Entries)
	if n := len(p.Entries); res.More && n > 0 {
		p.Next = base64.RawURLEncoding.EncodeToString([]byte(p.Entries[n-1].Key)) + "." + string(res.Cursor)
	} else if o.page == "" || r.Cursor != "" { // else it would cover what is left of the list alone
		p.Cursor = res.Cursor
	}
	return nil
}

// request returns the list as a Store in this process takes it.
func (o *listOptions) request(prefix api.Key) (*api.ListRequest, error) {
	r := &api.ListRequest{Range: api.PrefixRange(prefix), Limit: o.limit, Reverse: o.reverse, KeysOnly: o.keysOnly}
	if o.stale {
		r.Consistency = api.Stale
	}
	if o.bounds != (api.Range{}) {
		r.Range, _ = r.Range.Intersect(o.bounds) // the ranges intersect: otherwise no request is made
	}
	if o.page == "" {
		return r, nil
	}
	page, cursor, _ := strings.Cut(o.page, ".")
	r.Cursor = api.Cursor(cursor)
	last, err := base64.RawURLEncoding.DecodeString(page)
	if err != nil || !r.Range.Contains(api.Key(last)) {
		return nil, api.Errorf(api.CodeInvalid, "the page is not one of this list")
	}
	if o.reverse {
		r.Range.End = api.Key(last)
	} else {
		r.Range.Start = api.Key(last) + "\x00"
	}
	return r, nil
}

// adminOf returns the Store as an [api.Admin].
func adminOf(s api.Store) (api.Admin, error) {
	if a, ok := s.(api.Admin); ok {
		return a, nil
	}
	return nil, api.Errorf(api.CodeInvalid, "the client's store knows nothing of its cluster: it is no api.Admin")
}
