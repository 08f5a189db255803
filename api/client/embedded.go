package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"

	"github.com/edgehold/edgehold/api"
)

// New returns a Client of a Store of this process, such as that of an embedded edge: reads that the edge holds leases for never
// leave the process. It has the methods of a Client that [Open] returns, with the same promises: calls are tried again, writes
// take effect once, and values are the caller's own. [Client.List] and [Client.ListPage] need a Store that is an [api.Lister],
// [Client.Status], [Client.SetPlacement] and [Client.Ready] one that is an [api.Admin]; else they return [api.CodeInvalid], and so
// do [Client.Fetch] and [Client.SendTxn], which speak HTTP. Close does not close the Store.
func New(store api.Store) *Client {
	nodes := &endpoints{all: []*endpoint{{}}}
	c, err := newClient(api.DefaultTimeout, rand.Reader, nodes, &embedded{store, nodes})
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return c
}

// embedded carries calls to a Store of this process.
type embedded struct {
	store     api.Store
	endpoints *endpoints // the one
}

func (s *embedded) attempt(ctx context.Context, e *endpoint, q *call, _ time.Duration) (*answer, *failure) {
	a := &answer{}
	var err error
	switch {
	case q.read != nil:
		a.read = new(api.ReadResult)
		if err = s.store.Read(ctx, q.read, a.read); err == nil {
			copyValues(a.read.Entries)
		}
	case q.txn != nil:
		t := *q.txn
		t.ID = q.id().request
		if a.txn, err = s.store.Do(ctx, &t); err == nil {
			own := *a.txn
			own.Entries = append([]api.Entry{}, own.Entries...)
			copyValues(own.Entries)
			a.txn = &own
		}
	case q.direct != nil:
		err = q.direct(ctx, s.store)
	default:
		err = api.Errorf(api.CodeInvalid, "this takes a client of nodes, which client.Open returns: the client's store is in this process")
	}
	return s.endpoints.judged(e, "the store", q, a, asClients(err))
}

// asClients is the error of a Store as a client of nodes sees it: codes between nodes are CodeUnavailable, and the client itself
// knows whether a key that it gives may be an old one.
func asClients(err error) error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		return err
	}
	own := *e // it may be shared
	switch own.Code {
	case api.CodeNotLeader, api.CodeWrongGroup, api.CodeSessionDead:
		own.Code = api.CodeUnavailable
	}
	if own.Code == api.CodeUnavailable {
		own.Unknown = false
	}
	return &own
}

func (s *embedded) close() {}

// copyValues has the entries hold values of their own: a Store may share those that it returns with its cache.
func copyValues(entries []api.Entry) {
	for i := range entries {
		entries[i].Value = bytes.Clone(entries[i].Value)
	}
}

// listDirectly fills p with what a Store of this process lists.
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
		p.Next = base64.RawURLEncoding.EncodeToString([]byte(p.Entries[n-1].Key))
	}
	return nil
}

// request is the list as a Store of this process takes it.
func (o *listOptions) request(prefix api.Key) (*api.ListRequest, error) {
	r := &api.ListRequest{Range: api.PrefixRange(prefix), Limit: o.limit, Reverse: o.reverse, KeysOnly: o.keysOnly}
	if o.stale {
		r.Consistency = api.Stale
	}
	if o.bounds != (api.Range{}) {
		r.Range, _ = r.Range.Intersect(o.bounds) // there are some: else nothing is asked
	}
	if o.page == "" {
		return r, nil
	}
	last, err := base64.RawURLEncoding.DecodeString(o.page)
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

// adminOf is the Store as an [api.Admin].
func adminOf(s api.Store) (api.Admin, error) {
	if a, ok := s.(api.Admin); ok {
		return a, nil
	}
	return nil, api.Errorf(api.CodeInvalid, "the client's store knows nothing of its cluster: it is no api.Admin")
}
