package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// Memory is the reference implementation of [api.Store]: one group in memory that is always available and has no leases. It shows
// what the suite requires. It is safe for concurrent use.
type Memory struct {
	mu    sync.Mutex
	index uint64                    // guarded by mu, as all below
	keys  map[api.Key]api.Entry     // including absent keys that existed before
	once  map[requestKey]record     // results by request
	acked map[api.ClientID]uint64   // for each client: the greatest AckedBelow seen
	live  map[api.ClientID][]uint64 // for each client: the Seqs in once
	feed  memoryFeed
}

type requestKey struct {
	client api.ClientID
	seq    uint64
}

type record struct {
	body   [sha256.Size]byte
	result *api.TxnResult
}

// MemoryGroup is the group that a [Memory] returns in its results.
const MemoryGroup api.GroupID = "memory.1"

var (
	_ api.Store  = (*Memory)(nil)
	_ api.Lister = (*Memory)(nil)
)

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{
		keys:  map[api.Key]api.Entry{},
		once:  map[requestKey]record{},
		acked: map[api.ClientID]uint64{},
		live:  map[api.ClientID][]uint64{},
		feed:  memoryFeed{changed: make(chan struct{})},
	}
}

// Read answers like an owner, at every consistency.
func (m *Memory) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	if err := enter(ctx, "read", r.Check()); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	*out = api.ReadResult{Group: MemoryGroup, Snapshot: true, Entries: slices.Grow(out.Entries[:0], len(r.Keys))}
	for i, k := range r.Keys {
		e := m.entry(k)
		if len(r.Known) > 0 && r.Known[i] == e.Version && e.Exists {
			e.Value, e.Unchanged = nil, true
		}
		out.Entries = append(out.Entries, e)
	}
	return nil
}

// Do carries out t immediately.
func (m *Memory) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if err := enter(ctx, "txn", t.Check()); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.ID.IsZero() {
		return m.apply(t)
	}
	id, body := requestKey{t.ID.Client, t.ID.Seq}, fingerprint(t)
	if rec, ok := m.once[id]; ok {
		if rec.body != body {
			return nil, &api.Error{Code: api.CodeConflict, Op: "txn", Hint: "the request id was used for another request"}
		}
		again := *rec.result
		again.Replayed = true
		return &again, nil
	}
	if t.ID.Seq > 0 && t.ID.Seq < m.acked[t.ID.Client] {
		return nil, &api.Error{Code: api.CodeConflict, Op: "txn", Hint: "the request id has expired"}
	}
	m.forget(t.ID)
	res, err := m.apply(t)
	if err != nil {
		return nil, err
	}
	m.once[id] = record{body: body, result: res}
	m.live[t.ID.Client] = append(m.live[t.ID.Client], t.ID.Seq)
	return res, nil
}

// List returns a page, as [api.Lister] describes.
func (m *Memory) List(ctx context.Context, r *api.ListRequest) (*api.ListResult, error) {
	if err := enter(ctx, "list", r.Check()); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := slices.Sorted(maps.Keys(m.keys))
	if r.Reverse {
		slices.Reverse(keys)
	}
	limit := r.Limit
	if limit == 0 {
		limit = api.DefaultListLimit
	}
	res, size := &api.ListResult{Cursor: r.Cursor}, 0
	if r.Cursor == "" && r.Consistency <= api.Quorum {
		res.Cursor = memoryCursor(r.Range, m.index)
	}
	for _, k := range keys {
		e := m.keys[k]
		if !e.Exists || !r.Range.Contains(k) {
			continue
		}
		if r.KeysOnly {
			e.Value = nil
		}
		size += len(e.Key) + len(e.Value)
		if len(res.Entries) == limit || size > api.MaxListBytes && len(res.Entries) > 0 {
			res.More = true
			break
		}
		res.Entries = append(res.Entries, e)
	}
	return res, nil
}

func enter(ctx context.Context, op string, invalid error) error {
	if err := ctx.Err(); err != nil {
		return &api.Error{Code: api.CodeUnavailable, Op: op, Err: err}
	}
	return invalid
}

func (m *Memory) entry(k api.Key) api.Entry {
	if e, ok := m.keys[k]; ok {
		return e
	}
	return api.Entry{Key: k}
}

// apply carries out t, or refuses it and changes nothing.
func (m *Memory) apply(t *api.Txn) (*api.TxnResult, error) {
	m.index++
	res := &api.TxnResult{Committed: m.holds(t.If), Version: api.Version{Epoch: 1, Index: m.index}, Group: MemoryGroup}
	branch := t.Then
	if !res.Committed {
		branch = t.Else
		if len(branch) == 0 {
			for _, c := range t.If {
				res.Entries = append(res.Entries, withoutValue(m.entry(c.Key)))
			}
		}
	}
	written := map[api.Key]api.Entry{}
	for i := range branch {
		e, err := m.step(&branch[i], res.Version, written)
		if err != nil {
			return nil, err
		}
		res.Entries = append(res.Entries, e)
	}
	m.tellWritten(branch, written)
	maps.Copy(m.keys, written)
	return res, nil
}

func (m *Memory) holds(conds []api.Cond) bool {
	for _, c := range conds {
		e := m.entry(c.Key)
		ok := false
		switch c.Kind {
		case api.CondVersion:
			ok = e.Version == c.Version
		case api.CondExists:
			ok = e.Exists
		case api.CondAbsent:
			ok = !e.Exists
		case api.CondValue:
			ok = e.Exists && bytes.Equal(e.Value, c.Value)
		}
		if !ok {
			return false
		}
	}
	return true
}

// step carries out o on the result of the steps before it, and adds its own result to written.
func (m *Memory) step(o *api.Op, v api.Version, written map[api.Key]api.Entry) (api.Entry, error) {
	old, ok := written[o.Key]
	if !ok {
		old = m.entry(o.Key)
	}
	made, err := o.On(old.Value, old.Exists)
	if err != nil {
		return api.Entry{}, err
	}
	never := o.Kind == api.OpDelete && old.Version.IsZero()
	if made.Changed || never { // deleting a deleted key changes nothing
		old = api.Entry{Key: o.Key, Version: v, Exists: made.Exists}
		if made.Exists {
			old.Value = append([]byte{}, made.Value...)
		}
		written[o.Key] = old
	}
	if o.Kind == api.OpGet || o.Kind == api.OpAdd {
		return old, nil
	}
	return withoutValue(old), nil
}

func withoutValue(e api.Entry) api.Entry {
	e.Value = nil
	return e
}

// forget drops the records that the client has acknowledged.
func (m *Memory) forget(id api.RequestID) {
	if id.AckedBelow <= m.acked[id.Client] {
		return
	}
	m.acked[id.Client] = id.AckedBelow
	m.live[id.Client] = slices.DeleteFunc(m.live[id.Client], func(seq uint64) bool {
		gone := seq > 0 && seq < id.AckedBelow
		if gone {
			delete(m.once, requestKey{id.Client, seq})
		}
		return gone
	})
}

// fingerprint returns a hash that differs for requests with different bodies.
func fingerprint(t *api.Txn) [sha256.Size]byte {
	var b []byte
	field := func(p []byte) {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	b = binary.AppendUvarint(b, uint64(len(t.If)))
	for _, c := range t.If {
		b = append(b, byte(c.Kind))
		b = binary.AppendUvarint(b, c.Version.Epoch)
		b = binary.AppendUvarint(b, c.Version.Index)
		field([]byte(c.Key))
		field(c.Value)
	}
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		b = binary.AppendUvarint(b, uint64(len(branch)))
		for _, o := range branch {
			b = append(b, byte(o.Kind))
			field([]byte(o.Key))
			field(o.Value)
			b = binary.AppendVarint(b, o.Delta)
		}
	}
	return sha256.Sum256(b)
}
