package peer

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Remote is a node as others see it. Requests name their group. Where the node cannot be reached, or the connection
// breaks, a write whose outcome is unknown gets CodeAmbiguous; everything else gets CodeUnavailable. Safe for concurrent
// use.
type Remote struct {
	pool     *Pool
	target   target
	self     bool
	confirms confirms
	line     line // to other nodes
}

var (
	_ api.Store    = (*Remote)(nil)
	_ api.Lister   = (*Remote)(nil)
	_ words.Lessor = (*Remote)(nil)
)

// Read reads keys of one group.
func (r *Remote) Read(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
	if r.self {
		return methodRead.handle(ctx, r.pool.cfg.Server, q)
	}
	c, err := r.shared(ctx)
	if err != nil {
		return nil, err
	}
	res, err := c.Read(ctx, q)
	return res, certain("read", err)
}

// Do carries out a transaction in one group.
func (r *Remote) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if r.self || t.Size() > maxSharedBytes {
		return call(ctx, r, methodDo, t)
	}
	c, err := r.shared(ctx)
	if err != nil {
		return nil, err
	}
	return c.Do(ctx, t)
}

// List lists a range of one group.
func (r *Remote) List(ctx context.Context, q *api.ListRequest) (*api.ListResult, error) {
	res, err := call(ctx, r, methodList, q)
	return res, certain("list", err)
}

// OpenSession opens a session. CodeAmbiguous: one may have been opened that nobody will use.
func (r *Remote) OpenSession(ctx context.Context, o words.OpenSession) (words.SessionGrant, error) {
	grant, err := call(ctx, r, methodOpenSession, &o)
	if err != nil {
		return words.SessionGrant{}, err
	}
	return *grant, nil
}

// CloseSession ends a session.
func (r *Remote) CloseSession(ctx context.Context, g api.GroupID, sid api.SessionID, nonce ident.Nonce) error {
	_, err := call(ctx, r, methodCloseSession, &closeSession{g, sid, nonce})
	return err
}

// Release gives leases up.
func (r *Remote) Release(ctx context.Context, g api.GroupID, leases []api.DroppedLease) error {
	_, err := call(ctx, r, methodRelease, &release{g, leases})
	return err
}

// Confirm asks whether the node's Raft term in the group is still term, at an instant after the call. Calls for any groups
// share messages.
func (r *Remote) Confirm(ctx context.Context, g api.GroupID, term uint64) (bool, error) {
	return r.confirms.ask(ctx, question{g, term})
}

// Poll returns the node's placement map as soon as it is newer than since; nil where that takes longer than the node waits.
func (r *Remote) Poll(ctx context.Context, since uint64) (*placement.Map, error) {
	res, err := call(ctx, r, methodPoll, &poll{since})
	if err != nil {
		return nil, certain("poll", err)
	}
	return res.decode()
}

// Map returns the placement map as it was at an instant after the call. CodeNotLeader elsewhere than at the meta group's
// leader.
func (r *Remote) Map(ctx context.Context) (*placement.Map, error) {
	res, err := call(ctx, r, methodMap, &nothing{})
	if err != nil {
		return nil, certain("map", err)
	}
	return res.decode()
}

// Propose carries out a command of the meta group at its leader, and returns the map after it.
func (r *Remote) Propose(ctx context.Context, c placement.Command) (*placement.Map, error) {
	res, err := call(ctx, r, methodPropose, &proposal{placement.Encode(c)})
	if err != nil {
		return nil, err
	}
	return res.decode()
}

// Report is what the node says of itself.
func (r *Remote) Report(ctx context.Context) (*Report, error) {
	res, err := call(ctx, r, methodReport, &nothing{})
	return res, certain("report", err)
}

// Index returns an index of the group's log: what its leader, which the node must be, acknowledged before the call stands at or before
// it.
func (r *Remote) Index(ctx context.Context, g api.GroupID) (uint64, error) {
	res, err := call(ctx, r, methodIndex, &indexed{Group: g})
	if err != nil {
		return 0, certain("index", err)
	}
	return res.Index, nil
}

// Introduce tells the node of this one, and returns where that stands.
func (r *Remote) Introduce(ctx context.Context, i Introduction) (*Standing, error) {
	res, err := call(ctx, r, methodIntroduce, &i)
	return res, certain("introduce", err)
}

// Cede has a group give an empty range up; repeated, it returns the same receipt.
func (r *Remote) Cede(ctx context.Context, g api.GroupID, rng api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error) {
	return call(ctx, r, methodCede, &cede{g, rng, epoch, to})
}

// Adopt has a group take over what the receipt shows to be given up; repeated, it does nothing.
func (r *Remote) Adopt(ctx context.Context, g api.GroupID, receipt *fsm.Receipt, shard fsm.Shard) error {
	_, err := call(ctx, r, methodAdopt, &adopt{g, *receipt, shard})
	return err
}

func (e *encodedMap) decode() (*placement.Map, error) {
	if len(e.Map) == 0 {
		return nil, nil
	}
	return placement.DecodeMap(e.Map)
}

// certain: what changes nothing has no unknown outcome.
func certain(op string, err error) error {
	if api.CodeOf(err) != api.CodeAmbiguous {
		return err
	}
	return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "the node did not answer in time", Err: err}
}
