package front

import (
	"context"
	"crypto/sha256"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/lock"
)

// Caller is the store as one principal may use it. Each method checks the rights that it needs before it does anything. It is
// safe for concurrent use.
type Caller struct {
	backend   *Backend
	principal *Principal
	note      *Note // nil: nothing is noted
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
	err := c.read(ctx, r, out)
	c.note.NoteRead(r, out, err)
	return err
}

func (c Caller) read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	a := c.backend.access
	if a != nil {
		if err := a.Enter(c.principal, 0); err != nil {
			return err
		}
		for _, k := range r.Keys {
			if err := a.AllowKey(c.principal, "read", Read, k); err != nil {
				return err
			}
		}
	}
	for _, k := range r.Keys {
		c.backend.hot.Read(k)
	}
	err := c.backend.store.Read(ctx, r, out)
	if err == nil && a != nil {
		a.Charge(c.principal, entriesSize(out.Entries))
	}
	return err
}

// Do implements api.Store. It needs the rights of both branches before anything is read: [Read] on every key that is tested, got
// or answers with what it held, [Write] on every key that a step may change or touches, and [List] on every prefix that a step
// lists. CodeInvalid if it writes or touches an entry of a lock ([lock.Reserved]). Request ids are the principal's own. A delete or a touch does not say whether the key existed to a principal that may not
// read it.
func (c Caller) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	res, err := c.do(ctx, t)
	c.note.NoteTxn(t, res, err)
	return res, err
}

func (c Caller) do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if err := lock.CheckTxn(t); err != nil {
		return nil, err
	}
	a := c.backend.access
	if a == nil {
		c.backend.hotTxn(t)
		return c.backend.store.Do(ctx, t)
	}
	if err := a.Enter(c.principal, txnSize(t)); err != nil {
		return nil, err
	}
	if err := c.allowTxn(t); err != nil {
		return nil, err
	}
	c.backend.hotTxn(t)
	if id := ownID(c.principal.ID, t.ID); id != t.ID {
		own := *t
		own.ID = id
		t = &own
	}
	res, err := c.backend.store.Do(ctx, t)
	if err != nil {
		return nil, err
	}
	a.Charge(c.principal, entriesSize(res.Entries))
	for _, list := range res.Lists {
		a.Charge(c.principal, entriesSize(list))
	}
	c.hideAbsence(t, res)
	return res, nil
}

// hideAbsence takes what deletes, touches and puts that keep a deadline say of a key out of the result if the principal may not read
// the key. The version of a key that was absent already is not the transaction's, a touch makes none, and a kept deadline was
// another's.
func (c Caller) hideAbsence(t *api.Txn, res *api.TxnResult) {
	branch := t.Then
	if !res.Committed {
		branch = t.Else
	}
	for i := range branch {
		o := &branch[i]
		keeps := o.KeepTTL && guardKeptDeadline
		if o.Kind != api.OpDelete && o.Kind != api.OpTouch && !keeps || i >= len(res.Entries) || c.backend.access.Holds(c.principal, Read, o.Key) {
			continue
		}
		if keeps {
			res.Entries[i].TTL = 0
			continue
		}
		res.Entries[i] = api.Entry{Key: o.Key, Exists: o.Kind == api.OpTouch}
	}
}

func (c Caller) allowTxn(t *api.Txn) error {
	for i := range t.If {
		if err := c.allowKey("txn", Read, t.If[i].Key); err != nil {
			return err
		}
	}
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		for i := range branch {
			if err := c.allowOp(&branch[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// allowOp checks the rights of a step. The answer of a function, or its refusal, reveals what the key holds.
func (c Caller) allowOp(o *api.Op) error {
	if o.Kind == api.OpList {
		return c.backend.access.AllowRange(c.principal, "txn", List, api.PrefixRange(o.Key))
	}
	if o.Kind != api.OpGet {
		if err := c.allowKey("txn", Write, o.Key); err != nil {
			return err
		}
	}
	if o.Kind == api.OpGet || o.Function() {
		return c.allowKey("txn", Read, o.Key)
	}
	return nil
}

// List implements api.Lister. It needs [List] on each whole range, and [Read] too unless only keys are asked for.
func (c Caller) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	res, err := c.list(ctx, r)
	c.note.noteList(r, res, err)
	return res, err
}

func (c Caller) list(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	a := c.backend.access
	if a == nil {
		return c.backend.lister.List(ctx, r)
	}
	if err := a.Enter(c.principal, 0); err != nil {
		return nil, err
	}
	if err := c.allowList(r.Range, r.KeysOnly); err != nil {
		return nil, err
	}
	for i := range r.Also {
		if err := c.allowList(r.Also[i].Range, r.Also[i].KeysOnly); err != nil {
			return nil, err
		}
	}
	res, err := c.backend.lister.List(ctx, r)
	if err != nil {
		return nil, err
	}
	a.Charge(c.principal, entriesSize(res.Entries))
	for _, page := range res.Also {
		a.Charge(c.principal, entriesSize(page.Entries))
	}
	return res, nil
}

func (c Caller) allowList(r api.Range, keysOnly bool) error {
	if err := c.backend.access.AllowRange(c.principal, "list", List, r); err != nil || keysOnly {
		return err
	}
	return c.backend.access.AllowRange(c.principal, "list", Read, r)
}

// Status returns the cluster as this node sees it. It needs [Observe].
func (c Caller) Status(ctx context.Context) (*api.Status, error) {
	if err := c.May("status", Observe, ""); err != nil {
		return nil, err
	}
	return c.backend.admin.Status(ctx)
}

// SetPlacement moves all keys with the prefix to a region. It needs [Administer].
func (c Caller) SetPlacement(ctx context.Context, prefix api.Key, region api.RegionID) error {
	if err := c.May("placement set", Administer, string(prefix)); err != nil {
		return err
	}
	return c.backend.admin.SetPlacement(ctx, prefix, region)
}

// SetPlacementGroup moves all keys with the prefix to a group. It needs [Administer].
func (c Caller) SetPlacementGroup(ctx context.Context, prefix api.Key, group api.GroupID) error {
	if err := c.May("placement set", Administer, string(prefix)); err != nil {
		return err
	}
	return c.backend.admin.SetPlacementGroup(ctx, prefix, group)
}

func (c Caller) allowKey(verb string, r Right, k api.Key) error {
	if c.backend.access == nil {
		return nil
	}
	return c.backend.access.AllowKey(c.principal, verb, r, k)
}

// May checks that the caller may use a right on the cluster, and notes what is to be carried out; see [Backend.May].
func (c Caller) May(verb string, r Right, target string) error {
	if r == Administer {
		if err := c.backend.Elsewhere(); err != nil {
			return err
		}
	}
	if c.backend.access == nil {
		return nil
	}
	return c.backend.access.AllowCluster(c.principal, verb, r, target)
}

// ownID returns the request id of a principal's own space, so that no other principal can repeat, guess or acknowledge the
// request. Ids of an unnamed space stay as they are.
func ownID(space string, id api.RequestID) api.RequestID {
	if space == "" || id.IsZero() {
		return id
	}
	kind := byte('o') // an opaque Idempotency-Key
	if id.Seq > 0 {
		kind = 'n' // numbered by its client
	}
	h := sha256.New()
	h.Write([]byte(space))
	h.Write([]byte{0, kind})
	h.Write(id.Client[:])
	var sum [sha256.Size]byte
	id.Client = api.ClientID(h.Sum(sum[:0])[:len(id.Client)])
	return id
}

// entriesSize returns the bytes of keys and values.
func entriesSize(entries []api.Entry) (n int64) {
	for i := range entries {
		n += int64(len(entries[i].Key) + len(entries[i].Value))
	}
	return n
}

// txnSize returns the bytes of the keys and values that a transaction brings.
func txnSize(t *api.Txn) (n int64) {
	for i := range t.If {
		n += int64(len(t.If[i].Key) + len(t.If[i].Value))
	}
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		for i := range branch {
			n += int64(len(branch[i].Key) + len(branch[i].Value))
		}
	}
	return n
}
