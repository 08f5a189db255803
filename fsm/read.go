package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Read returns the states of the keys, in the given order, and their deadlines: one for each key, 0 if it has none, or no element at
// all if none has one. The error is CodeWrongGroup if the group does not own one of them, and
// an [IntentsError] if a transaction holds one exclusively, because neither its old nor its new state may be returned.
func (m *Machine) Read(keys []api.Key) (entries []api.Entry, deadlines []uint64, err error) {
	return m.read(keys, false)
}

// ReadBefore is like Read, but for a key that a transaction holds it returns the state before that transaction. The transaction
// may have committed, and have been acknowledged, at any time since.
func (m *Machine) ReadBefore(keys []api.Key) (entries []api.Entry, deadlines []uint64, err error) {
	return m.read(keys, true)
}

func (m *Machine) read(keys []api.Key, before bool) (entries []api.Entry, deadlines []uint64, err error) {
	defer rescue(&err)
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if in := v.inTheWay(keys); len(in) > 0 && !before {
		return nil, nil, &IntentsError{Intents: in}
	}
	entries = make([]api.Entry, len(keys))
	size := 0
	for i, k := range keys {
		o, bad := v.owner(k)
		if bad != nil {
			return nil, nil, bad
		}
		e := &entries[i]
		e.Key = k
		var x value
		x, e.Exists = v.value(k, o)
		e.Version = x.version
		if size += len(x.data); size > api.MaxReadBytes {
			return nil, nil, api.Errorf(api.CodeTooLarge, "the values of the keys up to %q are %d bytes, over the limit of %d bytes; read fewer keys at once",
				string(k), size, api.MaxReadBytes)
		}
		e.Value = slices.Clone(x.data)
		deadlines = noteDeadline(deadlines, i+1, x.deadline)
	}
	return entries, deadlines, nil
}

// List returns a page of the keys in the range that the group owns. The error is CodeWrongGroup if it owns no part of the range,
// and an [IntentsError] if a transaction exclusively holds a key of the page, or one that it may add to the page.
func (m *Machine) List(r *api.ListRequest) (res *api.ListResult, err error) {
	res, _, err = m.listed(r, false)
	return res, err
}

// ListedAt says what a page of a list shows: all that the commands up to Index have made, and nothing of later ones.
type ListedAt struct {
	Incarnation, Index uint64
	// Shards are the parts of what the page covers that the group owns.
	Shards []Shard
	// Deadlines are those of the entries, as [Machine.Read] returns them, Also those of the further pages, and Now is the time of the
	// group.
	Deadlines []uint64
	Also      [][]uint64
	Now       uint64
}

// ListAt is List that also returns as of which command the page is.
func (m *Machine) ListAt(r *api.ListRequest) (res *api.ListResult, at ListedAt, err error) {
	res, at, err = m.listed(r, false)
	if err == nil && !guardListPosition {
		at.Index = m.Meta().Counter
	}
	return res, at, err
}

// ListBefore is like List, but with the state of held keys before the transactions that hold them, as [Machine.ReadBefore].
func (m *Machine) ListBefore(r *api.ListRequest) (res *api.ListResult, at ListedAt, err error) {
	return m.listed(r, true)
}

func (m *Machine) listed(r *api.ListRequest, before bool) (res *api.ListResult, at ListedAt, err error) {
	if err := r.Check(); err != nil {
		return nil, at, err
	}
	defer rescue(&err)
	res = &api.ListResult{}
	if r.Range.End != "" && r.Range.End <= r.Range.Start {
		return res, at, nil
	}
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if !slices.ContainsFunc(v.shards, func(o owned) bool { return o.Range.Overlaps(r.Range) }) {
		if !v.meta.Initialized {
			return nil, at, errNotFounded()
		}
		return nil, at, api.Errorf(api.CodeWrongGroup, "the group %s owns no part of %v", v.meta.Group, r.Range)
	}
	size := 0
	main, deadlines := v.list(&api.ListPart{Range: r.Range, Limit: r.Limit, Reverse: r.Reverse, KeysOnly: r.KeysOnly}, &size)
	res.Entries, res.More = main.Entries, main.More
	page := pageOf(r.Range, r.Reverse, &main)
	if in := v.intentsIn(page, MaxNamedIntents, true); len(in) > 0 && !before {
		return nil, at, &IntentsError{Intents: in, Page: page}
	}
	at = v.listedAt(page)
	at.Deadlines = deadlines
	if len(r.Also) > 0 {
		if err := v.listAlso(r, res, &at, size, before); err != nil {
			return nil, at, err
		}
	}
	return res, at, nil
}

func (v *view) listedAt(page api.Range) ListedAt {
	at := ListedAt{Incarnation: v.meta.Incarnation, Index: v.meta.Counter, Now: v.now}
	for _, o := range v.shards {
		if part, ok := o.Range.Intersect(page); ok {
			s := o.Shard
			s.Range = part
			at.Shards = append(at.Shards, s)
		}
	}
	return at
}

// pageOf returns the part of the range that the page covers.
func pageOf(page api.Range, reverse bool, res *api.ListPage) api.Range {
	if !res.More || len(res.Entries) == 0 {
		return page
	}
	last := res.Entries[len(res.Entries)-1].Key
	if reverse {
		page.Start = last
	} else {
		page.End = last + "\x00"
	}
	return page
}

// list returns the page and the deadlines of its entries. bytes is the size of the pages so far, to which that of this one is added. Of
// all pages together one entry may be over the limit: they have to fit into a message.
func (v *view) list(r *api.ListPart, bytes *int) (res api.ListPage, deadlines []uint64) {
	limit := r.Limit
	if limit == 0 {
		limit = api.DefaultListLimit
	}
	lo, hi := span(tableKV, r.Range, false)
	must(v.from.Scan(lo, hi, r.Reverse, func(k, row []byte) bool {
		x := valueOf(row)
		e := api.Entry{Key: api.Key(k[1:]), Version: x.version, Exists: true}
		size := *bytes + len(e.Key)
		if !r.KeysOnly {
			size += len(x.data)
		}
		if len(res.Entries) == limit || size > api.MaxListBytes && *bytes > 0 {
			res.More = true
			return false
		}
		*bytes = size
		if !r.KeysOnly {
			e.Value = slices.Clone(x.data)
		}
		res.Entries = append(res.Entries, e)
		deadlines = noteDeadline(deadlines, len(res.Entries), x.deadline)
		return true
	}))
	return res, deadlines
}

// Preview is what a Write would do if it were applied now.
type Preview struct {
	// Replay is the stored result of an earlier attempt. If it is set, only Committed may be set besides.
	Replay *api.TxnResult
	// Err is why it would be refused, other than for leases.
	Err *api.Error
	// Committed reports whether If holds.
	Committed bool
	// Holders are the live leases on the keys that would be written.
	Holders []Holder
	// Intents are in its way, if Err.Code is RetryIntents. Stored is set if Err.Code is Attempted.
	Intents []Intent
	Stored  *Record
}

// Preview returns what a Write of t at that epoch would do in the present state, if it cleared no lease. It guarantees nothing:
// the log may change the state before the Write is applied.
func (m *Machine) Preview(t *api.Txn, epoch ident.DedupEpoch) (p Preview) {
	if err := t.CheckSteps(); err != nil {
		return Preview{Err: api.AsError(err)}
	}
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if p.Replay, p.Stored, p.Err = v.before(t, epoch); p.Replay != nil {
		p.Committed = p.Replay.Committed
		return p
	}
	if p.Err == nil && !t.ID.IsZero() {
		p.Err = v.roomFor(&t.ID)
	}
	if p.Err != nil {
		return p
	}
	if err := takes(v.meta.Level, t); err != nil {
		return Preview{Err: err}
	}
	does, err := v.plan(t)
	if err != nil {
		return Preview{Err: err}
	}
	if p.Intents = v.inTheWayOf(t.If, does.branch); len(p.Intents) > 0 {
		p.Err = errIntent(p.Intents)
		return p
	}
	if slices.ContainsFunc(does.branch, func(o api.Op) bool { return o.Kind != api.OpPut && o.Kind != api.OpDelete }) {
		var ev evaluation // bounded at level 1, too: then the machine itself would not refuse what is too much
		if err := v.evaluate(&ev, does.branch); err != nil {
			return Preview{Err: err}
		}
	}
	return Preview{Committed: does.committed, Holders: v.holders(written(does.branch, nil))}
}

// Session returns a session that is not dead.
func (m *Machine) Session(sid ident.SessionID) (Session, bool) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	return v.session(sid)
}

// Sessions returns all sessions that are not dead, by id. There may be [MaxSessions].
func (m *Machine) Sessions() []Session {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	ss := make([]Session, 0, v.meta.Sessions)
	v.scan([]byte{tableSession}, []byte{tableSession + 1}, func(k, row []byte) bool {
		s := parse(row, readSession)
		r := codec.Reader{B: k[1:]}
		s.ID = ident.SessionID{Incarnation: r.Fixed64(), Index: r.Fixed64()}
		ss = append(ss, s)
		return true
	})
	return ss
}

// Holders returns the live leases on the keys.
func (m *Machine) Holders(keys []api.Key) []Holder {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	return v.holders(keys)
}

// LeasesOf returns the live leases of the session on keys that the function does not exempt, in key order.
func (m *Machine) LeasesOf(sid ident.SessionID, exempt func(api.Key) bool) (hs []Holder) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if _, alive := v.session(sid); !alive {
		return nil
	}
	var keys []api.Key
	lo := slices.Clone(v.key.held(tableHeld, sid, ""))
	v.scan(lo, append(slices.Clone(lo[:1]), next(lo[1:])...), func(k, _ []byte) bool {
		if key := api.Key(k[len(lo):]); !exempt(key) {
			keys = append(keys, key)
		}
		return true
	})
	for _, k := range keys {
		l := v.leased(k)
		if i, held := find(l.holders, sid); held {
			hs = append(hs, v.holder(k, l.holders[i]))
		}
	}
	return hs
}

// HoldersIn returns live leases on keys in the range, in key order, at most limit of them.
func (m *Machine) HoldersIn(r api.Range, limit int) []Holder {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if limit <= 0 {
		return nil
	}
	return v.holdersIn(r, limit, func(api.Key, lease) bool { return false })
}

// intentsIn returns intents on keys in the range, in key order, at most limit of them.
func (v *view) intentsIn(r api.Range, limit int, exclusive bool) (in []Intent) {
	if v.meta.Intents == 0 {
		return nil
	}
	type locked struct {
		k api.Key
		x intents
	}
	var ls []locked
	lo, hi := span(tableIntent, r, false)
	v.scan(lo, hi, func(key, row []byte) bool {
		if x := parse(row, readIntents); x.exclusive || !exclusive {
			ls = append(ls, locked{api.Key(key[1:]), x})
		}
		return len(ls) < limit
	})
	var f found
	for i := range ls {
		f.add(v, ls[i].k, &ls[i].x)
	}
	return f.intents[:min(len(f.intents), limit)]
}

// Intents returns the intents on the keys.
func (m *Machine) Intents(keys []api.Key) (in []Intent) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	var f found
	for _, k := range keys {
		if x, ok := v.intents(k); ok {
			f.add(&v, k, &x)
		}
	}
	return f.intents
}

// Prepared returns transactions that have prepared and are not resolved, in the order of their ids, at most limit of those
// after the one named.
func (m *Machine) Prepared(after ident.TxnID, limit int) (ps []Prepared) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	v.attempts(tablePrepared, after, limit, func(id ident.TxnID, row []byte) {
		p := parse(row, readPrepared)
		p.txn.ID = id
		ps = append(ps, Prepared{p.txn, p.index, p.writes, p.reads})
	})
	return ps
}

// PreparedRef returns what every message about the attempt carries, if it has prepared here and is not resolved.
func (m *Machine) PreparedRef(id ident.TxnID) (ident.TxnRef, bool) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	p, ok := v.prepared(&id)
	return p.txn, ok
}

// Decided returns what the group has decided on the attempt, or false if it has stored nothing. The answer is final only if the
// caller knows that this replica leads.
func (m *Machine) Decided(id ident.TxnID) (Decision, bool) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if d := v.decided(&id); d != nil && id.Decider == v.meta.Group {
		return *d, true
	}
	return Decision{}, false
}

// Forgotten reports whether the group has dropped everything about the attempt, if it ever knew of it: its client has
// acknowledged it, or a day has passed. Nothing can commit the attempt then. The result of Decided takes precedence.
func (m *Machine) Forgotten(ref *ident.TxnRef) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v := m.begin()
	return v.tooOld(ref, 0)
}

// Unresolved returns commits that participants have not all resolved, in the order of their ids, at most limit of those
// after the one named.
func (m *Machine) Unresolved(after ident.TxnID, limit int) (ds []Decision) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	var ids []ident.TxnID
	v.attempts(tableOwing, after, limit, func(id ident.TxnID, _ []byte) { ids = append(ids, id) })
	for i := range ids {
		ids[i].Decider = v.meta.Group
		ds = append(ds, *v.decided(&ids[i]))
	}
	return ds
}

// Stored returns what the group has stored about a request whose anchor it owns. It returns false if that is nothing.
func (m *Machine) Stored(client api.ClientID, seq uint64) (Record, bool) {
	m.mu.RLock()
	defer m.endRead()
	v := m.begin()
	if rec := v.recordOf(client, seq); rec != nil {
		return *rec, true
	}
	return Record{}, false
}
