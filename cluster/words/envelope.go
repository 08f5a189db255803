package words

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Store is the contract of [api.Store] between nodes: the application's request in an envelope with the fields that
// only nodes may set. Implementations keep the promises of [api.Store]. As there, out and its Leases belong to the
// caller. The gateway has checked the request, and the owner's machine checks it again. The layers between do not.
type Store interface {
	// Read reads keys. See [api.Store.Read].
	Read(ctx context.Context, r *ReadRequest, out *ReadResult) error
	// Do carries out a transaction. See [api.Store.Do].
	Do(ctx context.Context, t *Txn) (*api.TxnResult, error)
}

// Lister is [api.Lister] between nodes.
type Lister interface {
	List(ctx context.Context, r *ListRequest) (*ListResult, error)
}

// ReadRequest is a read between nodes.
type ReadRequest struct {
	api.ReadRequest `cbor:"1,keyasint"`
	// Group, if set, is the group that the sender takes for the owner of all Keys. A group that is not the owner
	// returns CodeWrongGroup. Until then the layers behind do not look up the keys again.
	Group api.GroupID `cbor:"2,keyasint,omitempty"`
	// Session, if set, asks for leases on Keys for that session of Group. The owner decides whether to grant them.
	Session ident.SessionID `cbor:"3,keyasint,omitzero"`
	// Age is when the read began, as returned by [NewAge]. It stays the same over the read's rounds and retries. While
	// a read waits at the owner for transactions that hold its keys, younger transactions do not lock them.
	Age uint64 `cbor:"4,keyasint,omitempty"`
	// Hold is how long the read's place in the wait queue lasts.
	Hold Hold `cbor:"5,keyasint,omitempty"`
}

// ReadResult answers a ReadRequest.
type ReadResult struct {
	api.ReadResult `cbor:"1,keyasint"`
	// Leases are the leases granted to the request's Session, one for each entry, zero for an entry without a lease.
	// Leases is empty if there are none.
	Leases []ident.LeaseID `cbor:"2,keyasint,omitempty"`
	// Deadlines are the instants, in milliseconds of the group's time, from which on the entries are to be absent: one for each
	// entry, zero for an entry without a deadline. Deadlines is empty if there are none.
	Deadlines []uint64 `cbor:"3,keyasint,omitempty"`
}

// Lease returns the lease granted on the i-th entry, or zero if none was.
func (r *ReadResult) Lease(i int) ident.LeaseID {
	if i < len(r.Leases) {
		return r.Leases[i]
	}
	return 0
}

// Deadline returns the deadline of the i-th entry, or zero if it has none.
func (r *ReadResult) Deadline(i int) uint64 {
	if i < len(r.Deadlines) {
		return r.Deadlines[i]
	}
	return 0
}

// Txn is a transaction between nodes.
type Txn struct {
	api.Txn `cbor:"1,keyasint"`
	// Group is as in ReadRequest. SeveralGroups reports whether the sender knows of several owners.
	Group         api.GroupID `cbor:"2,keyasint,omitempty"`
	SeveralGroups bool        `cbor:"-"`
	// Epoch is the dedup epoch of the group that the request was first sent to, as known before that, or zero if it is
	// not known.
	Epoch ident.DedupEpoch `cbor:"3,keyasint,omitzero"`
	// Dropped are leases that the sending node held and gave up before it sent the transaction. They need not be
	// revoked.
	Dropped []ident.DroppedLease `cbor:"4,keyasint,omitempty"`
	// Leased lists conditions, by their place in If, that hold now and on whose keys the sending node holds leases.
	// LeasesHeld reports whether all of these leases have held without a break since. Neither leaves the node. The
	// coordinator of a commit across groups does not ask the owners of these keys, but calls LeasesHeld when all other
	// keys are locked.
	Leased     []int       `cbor:"-"`
	LeasesHeld func() bool `cbor:"-"`
}

// ListRequest is a list between nodes.
type ListRequest struct {
	api.ListRequest `cbor:"1,keyasint"`
	Group           api.GroupID `cbor:"2,keyasint,omitempty"` // as in ReadRequest
	Age             uint64      `cbor:"3,keyasint,omitempty"` // as in ReadRequest
}

// MaxDelays bounds Timing.Delayed of a result.
const MaxDelays = 4

// Read calls s.Read with a new result.
func Read(ctx context.Context, s Store, r *ReadRequest) (*ReadResult, error) {
	out := new(ReadResult)
	if err := s.Read(ctx, r, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Plain is a Store for applications. It checks every request and sends it on in an empty envelope. It leaves leases out
// of the results.
type Plain struct {
	Store  Store
	Lister Lister // may be nil if nothing is listed
}

var (
	_ api.Store  = Plain{}
	_ api.Lister = Plain{}
)

// Read implements [api.Store].
func (p Plain) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	if err := r.Check(); err != nil {
		return err
	}
	res := ReadResult{ReadResult: *out}
	err := p.Store.Read(ctx, &ReadRequest{ReadRequest: *r}, &res)
	*out = res.ReadResult
	return err
}

// Do implements [api.Store].
func (p Plain) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	return p.Store.Do(ctx, &Txn{Txn: *t})
}

// List implements [api.Lister].
func (p Plain) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	res, err := p.Lister.List(ctx, &ListRequest{ListRequest: *r})
	if err != nil {
		return nil, err
	}
	return &res.ListResult, nil
}

// FirstKey returns the first key of the read, or "" if it has none.
func (q *ReadRequest) FirstKey() api.Key {
	if len(q.Keys) == 0 {
		return ""
	}
	return q.Keys[0]
}

// FirstKey returns the first key of the transaction, or "" if it has none.
func (t *Txn) FirstKey() api.Key {
	if len(t.If) > 0 {
		return t.If[0].Key
	}
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		if len(branch) > 0 {
			return branch[0].Key
		}
	}
	return ""
}
