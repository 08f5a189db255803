package front

import (
	"context"

	"github.com/edgehold/edgehold/api"
)

// Caller is the store as one principal may use it. Each method checks the rights that it needs before it does anything. It is
// safe for concurrent use.
type Caller struct {
	backend   *Backend
	principal Principal
}

var (
	_ api.Store  = Caller{}
	_ api.Lister = Caller{}
)

// For returns the store for the principal of ctx.
func (b *Backend) For(ctx context.Context) Caller {
	return Caller{backend: b, principal: PrincipalFrom(ctx)}
}

// Read implements api.Store. It needs [Read] on every key.
func (c Caller) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	if c.backend.allow != nil {
		for _, k := range r.Keys {
			if err := c.allowKey(Read, k); err != nil {
				return err
			}
		}
	}
	return c.backend.store.Read(ctx, r, out)
}

// Do implements api.Store. It needs [Read] on every key that is tested or got, and [Write] on every other one, in both branches.
func (c Caller) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if c.backend.allow != nil {
		if err := c.allowTxn(t); err != nil {
			return nil, err
		}
	}
	return c.backend.store.Do(ctx, t)
}

func (c Caller) allowTxn(t *api.Txn) error {
	for i := range t.If {
		if err := c.allowKey(Read, t.If[i].Key); err != nil {
			return err
		}
	}
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		for i := range branch {
			right := Write
			if branch[i].Kind == api.OpGet {
				right = Read
			}
			if err := c.allowKey(right, branch[i].Key); err != nil {
				return err
			}
		}
	}
	return nil
}

// List implements api.Lister. It needs [List] on the whole range.
func (c Caller) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	if err := c.allow(List, r.Range); err != nil {
		return nil, err
	}
	return c.backend.lister.List(ctx, r)
}

// Status returns the cluster as this node sees it. It needs [Observe].
func (c Caller) Status(ctx context.Context) (*api.Status, error) {
	if err := c.allow(Observe, api.Range{}); err != nil {
		return nil, err
	}
	return c.backend.admin.Status(ctx)
}

// SetPlacement moves all keys with the prefix to a region. It needs [Administer].
func (c Caller) SetPlacement(ctx context.Context, prefix api.Key, region api.RegionID) error {
	if err := c.allow(Administer, api.PrefixRange(prefix)); err != nil {
		return err
	}
	return c.backend.admin.SetPlacement(ctx, prefix, region)
}

func (c Caller) allowKey(r Right, k api.Key) error {
	return c.allow(r, api.Range{Start: k, End: k + "\x00"})
}

func (c Caller) allow(r Right, keys api.Range) error {
	if c.backend.allow == nil {
		return nil
	}
	return c.backend.allow(c.principal, r, keys)
}
