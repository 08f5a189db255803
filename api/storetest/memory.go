package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Memory is the reference implementation of [api.Store]: one group in memory that is always available and has no leases. It shows
// what the suite requires. Its clock is time.Now, which a test in a synctest bubble advances. It is safe for concurrent use.
type Memory struct {
	mu    sync.Mutex
	index uint64                    // guarded by mu, as all below
	keys  map[api.Key]state         // including absent keys that existed before
	once  map[requestKey]record     // results by request
	acked map[api.ClientID]uint64   // for each client: the greatest AckedBelow seen
	live  map[api.ClientID][]uint64 // for each client: the Seqs in once
	feed  memoryFeed
}

// state is an entry, without its TTL, and when the key expires; the zero time is never.
type state struct {
	api.Entry
	deadline time.Time
}

// at returns the entry with what is left of its time to live.
func (s state) at(now time.Time) api.Entry {
	e := s.Entry
	if !s.deadline.IsZero() {
		e.TTL = max(1, s.deadline.Sub(now))
	}
	return e
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
		keys:  map[api.Key]state{},
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
	now := m.lock()
	defer m.mu.Unlock()
	*out = api.ReadResult{Group: MemoryGroup, Snapshot: true, Entries: slices.Grow(out.Entries[:0], len(r.Keys))}
	for i, k := range r.Keys {
		e := m.state(k).at(now)
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
	now := m.lock()
	defer m.mu.Unlock()
	if t.ID.IsZero() {
		return m.apply(t, now)
	}
	id, body := requestKey{t.ID.Client, t.ID.Seq}, fingerprint(t)
	if rec, ok := m.once[id]; ok {
		if rec.body != body {
			return nil, &api.Error{Code: api.CodeConflict, Op: "txn", Hint: "the request id was used for another request"}
		}
		again := *rec.result
		again.Replayed, again.Lists = true, nil
		return &again, nil
	}
	if t.ID.Seq > 0 && t.ID.Seq < m.acked[t.ID.Client] {
		return nil, &api.Error{Code: api.CodeConflict, Op: "txn", Hint: "the request id has expired"}
	}
	m.forget(t.ID)
	res, err := m.apply(t, now)
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
	now := m.lock()
	defer m.mu.Unlock()
	res, size := &api.ListResult{Cursor: r.Cursor}, 0
	if r.Cursor == "" && r.Consistency <= api.Quorum {
		res.Cursor = memoryCursor(r.Range, m.index)
	}
	main := m.page(&api.ListPart{Range: r.Range, Limit: r.Limit, Reverse: r.Reverse, KeysOnly: r.KeysOnly}, &size, now)
	res.Entries, res.More = main.Entries, main.More
	for i := range r.Also {
		res.Also = append(res.Also, m.page(&r.Also[i], &size, now))
	}
	return res, nil
}

// page returns a page, and adds its bytes to size.
func (m *Memory) page(r *api.ListPart, size *int, now time.Time) (res api.ListPage) {
	keys := slices.Sorted(maps.Keys(m.keys))
	if r.Reverse {
		slices.Reverse(keys)
	}
	limit := r.Limit
	if limit == 0 {
		limit = api.DefaultListLimit
	}
	for _, k := range keys {
		e := m.keys[k].at(now)
		if !e.Exists || !r.Range.Contains(k) {
			continue
		}
		if r.KeysOnly {
			e.Value = nil
		}
		total := *size + len(e.Key) + len(e.Value)
		if len(res.Entries) == limit || total > api.MaxListBytes && *size > 0 {
			res.More = true
			break
		}
		*size = total
		res.Entries = append(res.Entries, e)
	}
	return res
}

func enter(ctx context.Context, op string, invalid error) error {
	if err := ctx.Err(); err != nil {
		return &api.Error{Code: api.CodeUnavailable, Op: op, Err: err}
	}
	return invalid
}

// lock locks m, expires what is due, and returns the time.
func (m *Memory) lock() time.Time {
	m.mu.Lock()
	now := time.Now()
	m.expire(now)
	return now
}

// expire makes each key absent whose deadline is over. Each has a version of its own.
func (m *Memory) expire(now time.Time) {
	for k, s := range m.keys {
		if !s.deadline.IsZero() && !now.Before(s.deadline) {
			m.index++
			gone := api.Entry{Key: k, Version: api.Version{Epoch: 1, Index: m.index}}
			m.keys[k] = state{Entry: gone}
			m.tell(memoryEvent{Event: api.Event{Kind: api.EventExpire, Key: k, Version: gone.Version}})
		}
	}
}

func (m *Memory) state(k api.Key) state {
	if s, ok := m.keys[k]; ok {
		return s
	}
	return state{Entry: api.Entry{Key: k}}
}

// apply carries out t, or refuses it and changes nothing.
func (m *Memory) apply(t *api.Txn, now time.Time) (*api.TxnResult, error) {
	m.index++
	run := &memoryTxn{m, now, &api.TxnResult{Committed: m.holds(t.If), Version: api.Version{Epoch: 1, Index: m.index}, Group: MemoryGroup}, map[api.Key]state{}}
	res := run.result
	branch := t.Then
	if !res.Committed {
		branch = t.Else
		if len(branch) == 0 {
			for _, c := range t.If {
				res.Entries = append(res.Entries, withoutValue(m.state(c.Key).at(now)))
			}
		}
	}
	for i := range branch {
		e, err := run.step(&branch[i])
		if err != nil {
			return nil, err
		}
		res.Entries = append(res.Entries, e)
	}
	m.tellWritten(branch, run.written)
	maps.Copy(m.keys, run.written)
	for _, s := range run.written {
		if !s.deadline.IsZero() { // watchers get the end of the key even if the Memory is not used then
			time.AfterFunc(s.deadline.Sub(now), func() { m.lock(); m.mu.Unlock() })
		}
	}
	return res, nil
}

func (m *Memory) holds(conds []api.Cond) bool {
	for _, c := range conds {
		e := m.state(c.Key)
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

// memoryTxn is a transaction that is being carried out. written is what its steps have made so far.
type memoryTxn struct {
	*Memory
	now     time.Time
	result  *api.TxnResult
	written map[api.Key]state
}

// state returns the key as the steps before have left it.
func (t *memoryTxn) state(k api.Key) state {
	if s, ok := t.written[k]; ok {
		return s
	}
	return t.Memory.state(k)
}

// step carries out o on the result of the steps before it.
func (t *memoryTxn) step(o *api.Op) (api.Entry, error) {
	switch o.Kind {
	case api.OpTouch:
		return t.touch(o), nil
	case api.OpList:
		t.result.Lists = append(t.result.Lists, t.list(o))
		return api.Entry{Key: o.Key}, nil
	}
	s := t.state(o.Key)
	made, err := o.On(s.Value, s.Exists)
	if err != nil {
		return api.Entry{}, err
	}
	never := o.Kind == api.OpDelete && s.Version.IsZero()
	if made.Changed || never { // deleting a deleted key changes nothing
		deadline := s.deadline
		if !o.KeepsTTL() {
			deadline = t.deadline(o)
		}
		s = state{api.Entry{Key: o.Key, Version: t.result.Version, Exists: made.Exists}, deadline}
		if made.Exists {
			s.Value = append([]byte{}, made.Value...)
		}
		t.written[o.Key] = s
	}
	e := s.at(t.now)
	if o.Answers() {
		e.Value = o.Answer(s.Value)
	} else {
		e.Value = nil
	}
	return e, nil
}

// deadline is when a key expires that the step writes now; the zero time is never.
func (t *memoryTxn) deadline(o *api.Op) time.Time {
	if o.TTL == 0 {
		return time.Time{}
	}
	return t.now.Add(o.TTL)
}

// touch raises the deadline of a key that has one.
func (t *memoryTxn) touch(o *api.Op) api.Entry {
	s := t.state(o.Key)
	if until := t.deadline(o); s.Exists && !s.deadline.IsZero() && until.After(s.deadline) {
		s.deadline = until
		t.written[o.Key] = s
	}
	return withoutValue(s.at(t.now))
}

// list returns the keys that begin with the step's key, in order, as the steps before have left them.
func (t *memoryTxn) list(o *api.Op) []api.Entry {
	all := maps.Clone(t.keys)
	maps.Copy(all, t.written)
	found := []api.Entry{}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if s := all[k]; s.Exists && strings.HasPrefix(string(k), string(o.Key)) && len(found) < o.Limit {
			found = append(found, api.Entry{Key: k, Version: s.Version, Exists: true})
		}
	}
	return found
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
			b = strconv.AppendBool(b, o.KeepTTL)
			field([]byte(o.Key))
			field(o.Value)
			b = binary.AppendVarint(b, o.Delta)
			b = binary.AppendVarint(b, int64(o.TTL))
			b = binary.AppendVarint(b, int64(o.Limit))
		}
	}
	return sha256.Sum256(b)
}
