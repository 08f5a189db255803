package fsm

import (
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// CheckInvariants reads the whole state and returns the first broken invariant, by its name in the protocol. It is for tests and
// simulators. The time and memory that it takes grow with the state.
func (m *Machine) CheckInvariants() (err error) {
	defer rescue(&err)
	m.mu.RLock()
	defer m.mu.RUnlock()
	a := audit{
		view: m.begin(), sessions: map[ident.SessionID]Session{}, held: map[ident.SessionID]int{},
		clients: map[api.ClientID]client{}, records: map[api.ClientID]int{}, prepared: map[ident.TxnID]prepared{},
		void: map[ident.SessionID]int{},
	}
	a.rows()
	for _, step := range []func(){a.ranges, a.keys, a.tombstones, a.allSessions, a.allLeases, a.dedup, a.floors, a.intentRows, a.attemptRows, a.history, a.counters} {
		if a.err == nil {
			step()
		}
	}
	return a.err
}

// audit walks the tables.
type audit struct {
	view
	err      error
	sessions map[ident.SessionID]Session
	held     map[ident.SessionID]int
	clients  map[api.ClientID]client
	records  map[api.ClientID]int
	prepared map[ident.TxnID]prepared
	counts   Meta
	void     map[ident.SessionID]int // rows by session that are left of ended sessions
}

func (a *audit) broken(invariant, format string, args ...any) bool {
	if a.err == nil {
		a.err = fmt.Errorf("%s: %s", invariant, fmt.Sprintf(format, args...))
	}
	return false
}

// each visits the table's rows with their keys after the table's byte, until something is broken. visit may read other
// rows.
func (a *audit) each(table byte, visit func(k, row []byte) bool) {
	type pair struct{ k, v []byte }
	var rows []pair
	a.scan([]byte{table}, []byte{table + 1}, func(k, v []byte) bool {
		rows = append(rows, pair{append([]byte(nil), k...), append([]byte(nil), v...)})
		return true
	})
	for _, p := range rows {
		if !visit(p.k[1:], p.v) {
			return
		}
	}
}

// rows demands that every row can be read.
func (a *audit) rows() {
	a.scan(nil, nil, func(k, v []byte) bool {
		if err := checkRow(k, v); err != nil {
			return a.broken("Rows", "%q: %v", k, err)
		}
		return true
	})
}

// ranges: owned ranges are apart from each other, and newer than what was given up of them.
func (a *audit) ranges() {
	n := 0
	a.each(tableRange, func(k, row []byte) bool {
		o := parse(row, func(r *codec.Reader) owned { return readOwned(api.Key(k), r) })
		switch {
		case n >= len(a.shards) || a.shards[n] != o:
			return a.broken("OneOwner", "the machine has not at hand that it owns %v", o)
		case n > 0 && a.shards[n-1].Range.Overlaps(o.Range):
			return a.broken("OneOwner", "%v and %v overlap", a.shards[n-1].Range, o.Range)
		}
		if epoch, seen := a.movedAt(o.Range); seen && epoch >= o.Epoch {
			return a.broken("OneOwner", "%v is owned at epoch %d and was ceded at %d", o.Range, o.Epoch, epoch)
		}
		n++
		return true
	})
	if a.err == nil && n != len(a.shards) {
		a.broken("OneOwner", "%d shards at hand, %d in the table", len(a.shards), n)
	}
}

func (a *audit) keys() {
	a.each(tableKV, func(k, row []byte) bool {
		key := api.Key(k)
		x := parse(row, readValue)
		ver := x.version
		o, ok := a.shardOf(key)
		switch {
		case !ok:
			return a.broken("OneOwner", "%q exists and is not owned", k)
		case ver.Epoch != o.Epoch || ver.Index > a.meta.Counter || ver.Index == 0:
			return a.broken("VersionsRise", "%q is at %v, its owner at epoch %d and index %d", k, ver, o.Epoch, a.meta.Counter)
		}
		if _, also := a.get(a.key.ofKey(tableTombstone, key)); also {
			return a.broken("VersionsRise", "%q exists and has a tombstone", k)
		}
		a.counts.Keys++
		if x.deadline == 0 {
			return true
		}
		a.counts.Deadlines++
		if _, ok := a.get(a.key.due(x.deadline, key)); !ok {
			return a.broken("ExpiryLogged", "%q has the deadline %d and is not among those that are due then", k, x.deadline)
		}
		return true
	})
	n := 0
	a.each(tableDue, func(_, _ []byte) bool { n++; return true })
	if a.err == nil && n != a.counts.Deadlines {
		a.broken("ExpiryLogged", "%d keys have a deadline, %d are due at some time", a.counts.Deadlines, n)
	}
}

func (a *audit) tombstones() {
	a.each(tableTombstone, func(k, row []byte) bool {
		ver := parse(row, (*codec.Reader).Version)
		if _, ok := a.get(a.key.trim(ver.Index, api.Key(k))); !ok || ver.Index > a.meta.Counter {
			return a.broken("VersionsRise", "the tombstone of %q at %v is not among those by age", k, ver)
		}
		a.counts.Tombstones++
		return true
	})
	n := 0
	a.each(tableTrim, func(_, _ []byte) bool { n++; return true })
	if n != a.counts.Tombstones {
		a.broken("VersionsRise", "%d tombstones, %d by age", a.counts.Tombstones, n)
	}
}

func (a *audit) allSessions() {
	a.each(tableSession, func(k, row []byte) bool {
		r := codec.Reader{B: k}
		s := parse(row, readSession)
		s.ID = ident.SessionID{Incarnation: r.Fixed64(), Index: r.Fixed64()}
		if s.ID.Incarnation != a.meta.Incarnation || s.ID.Index > a.meta.Counter || s.Term > a.meta.MaxTerm || s.Pause > a.meta.MaxPause {
			return a.broken("KillWhole", "the session %+v cannot have been opened", s)
		}
		a.sessions[s.ID] = s
		a.counts.Sessions++
		return true
	})
	a.each(tableEnded, func(k, row []byte) bool {
		r := codec.Reader{B: k}
		sid := ident.SessionID{Incarnation: r.Fixed64(), Index: r.Fixed64()}
		if _, alive := a.sessions[sid]; alive {
			return a.broken("KillWhole", "the session %v has ended and is alive", sid)
		}
		a.void[sid] = parse(row, readEnded).left
		a.counts.Ended++
		return true
	})
}

// allLeases: what is leased is owned, by sessions that live, and was not written since. Void leases are none.
func (a *audit) allLeases() {
	a.each(tableLease, func(k, row []byte) bool {
		key, x := api.Key(k), parse(row, readLeased)
		rows := slices.Clone(x.holders)
		if a.live(&x); len(x.holders) == 0 {
			return a.listed(key, rows)
		}
		o, ok := a.shardOf(key)
		if !ok {
			return a.broken("MoveClean", "%q is leased and not owned", k)
		}
		if len(x.holders) > a.limits.keyHolders {
			return a.broken("Superset", "%q has %d holders", k, len(x.holders))
		}
		if _, exists := a.get(a.key.ofKey(tableKV, key)); exists == x.absent {
			return a.broken("LeaseCleared", "%q exists: %v, and its holders have it as absent: %v", k, exists, x.absent)
		}
		for _, l := range x.holders {
			if !a.lease(key, o, l) {
				return false
			}
		}
		return a.listed(key, rows)
	})
	a.bySession()
	for sid, s := range a.sessions {
		if a.err == nil && s.Leases != a.held[sid] {
			a.broken("KillWhole", "the session %v counts %d leases and has %d", sid, s.Leases, a.held[sid])
		}
	}
}

// listed: each holder of the row, live or not, has its row by session.
func (a *audit) listed(k api.Key, holders []lease) bool {
	if len(holders) == 0 {
		return a.broken("Superset", "%q has a row and no holder", string(k))
	}
	for _, l := range holders {
		_, alive := a.sessions[l.sid]
		if _, ended := a.void[l.sid]; alive == ended {
			return a.broken("KillWhole", "the session %v is not known and holds %q", l.sid, string(k))
		}
		if _, ok := a.get(a.key.held(tableHeld, l.sid, k)); !ok {
			return a.broken("Superset", "the lease %d on %q is not among those of %v", l.lid, string(k), l.sid)
		}
	}
	return true
}

// bySession: there are as many rows by session as are counted, of those that live and of those that have ended.
func (a *audit) bySession() {
	n, left := 0, map[ident.SessionID]int{}
	a.each(tableHeld, func(k, _ []byte) bool {
		r := codec.Reader{B: k}
		sid := ident.SessionID{Incarnation: r.Fixed64(), Index: r.Fixed64()}
		if _, ended := a.void[sid]; ended {
			left[sid]++
			a.counts.Void++
		} else {
			n++
		}
		return true
	})
	if a.err == nil && n != a.counts.Leases {
		a.broken("Superset", "%d leases by key, %d by session", a.counts.Leases, n)
	}
	for sid, want := range a.void {
		if a.err == nil && left[sid] != want {
			a.broken("KillWhole", "%d rows are left of the ended session %v, which counts %d", left[sid], sid, want)
		}
	}
}

func (a *audit) lease(k api.Key, o *owned, l lease) bool {
	if _, alive := a.sessions[l.sid]; !alive {
		return a.broken("KillWhole", "the session %v is dead and holds %q", l.sid, string(k))
	}
	if uint64(l.lid) > a.meta.Counter {
		return a.broken("Superset", "the lease %d on %q of %v is of the future", l.lid, string(k), l.sid)
	}
	if ver := a.written(k); ver.Epoch == o.Epoch && ver.Index >= uint64(l.lid) {
		return a.broken("LeaseCleared", "%q was written at %v under the lease %d of %v", string(k), ver, l.lid, l.sid)
	}
	a.held[l.sid]++
	a.counts.Leases++
	return true
}

// written is when the key was last changed, as far as is known.
func (a *audit) written(k api.Key) api.Version {
	if row, ok := a.get(a.key.ofKey(tableKV, k)); ok {
		return parse(row, readValue).version
	}
	if row, ok := a.get(a.key.ofKey(tableTombstone, k)); ok {
		return parse(row, (*codec.Reader).Version)
	}
	return api.Version{}
}

func (a *audit) dedup() {
	opaque := 0
	a.each(tableDedup, func(k, row []byte) bool {
		d := readDedupRow(append([]byte{tableDedup}, k...), row)
		if d.isRow {
			a.clients[d.id] = d.row
			return true
		}
		if _, ok := a.shardOf(d.anchor); !ok {
			return a.broken("Once", "the record %v/%d is anchored at %q, which is not owned", d.id, d.seq, string(d.anchor))
		}
		if _, ok := a.get(a.key.anchor(d.anchor, d.id, d.seq)); ok != (d.seq == 0) {
			return a.broken("Once", "of the record %v/%d it is %v that it is found by its anchor", d.id, d.seq, ok)
		} else if ok {
			opaque++
		}
		if d.seq > 0 {
			a.records[d.id]++
			if below := a.clients[d.id].ackedBelow; d.seq < below {
				return a.broken("Once", "the record %v/%d is kept, and its client has acknowledged all below %d", d.id, d.seq, below)
			}
		}
		a.counts.Records++
		return true
	})
	n := 0
	a.each(tableAnchor, func(_, _ []byte) bool { n++; return true })
	if a.err == nil && n != opaque {
		a.broken("Once", "%d records of opaque ids, %d anchors", opaque, n)
	}
	for id, c := range a.clients {
		if a.err == nil && c.count != a.records[id] {
			a.broken("Once", "the client %v counts %d records and has %d", id, c.count, a.records[id])
		}
		delete(a.records, id)
	}
	for id := range a.records {
		a.broken("Once", "the client %v has records and no row", id)
	}
}

func (a *audit) floors() {
	a.each(tableFloor, func(k, row []byte) bool {
		r := codec.Reader{B: k}
		epoch, index := r.Fixed64(), parse(row, (*codec.Reader).Uint)
		for _, o := range a.shards {
			if o.Epoch == epoch && index <= a.meta.Counter {
				return true
			}
		}
		return a.broken("VersionsRise", "a floor at %d.%d, which is no present ownership", epoch, index)
	})
}

func (a *audit) counters() {
	type counts struct{ Keys, Tombstones, Sessions, Leases, Records, Intents, Prepared, Finished, Decisions, Unresolved, Ended, Void, Deadlines int }
	of := func(m *Meta) counts {
		return counts{m.Keys, m.Tombstones, m.Sessions, m.Leases, m.Records, m.Intents, m.Prepared, m.Finished, m.Decisions, m.Unresolved, m.Ended, m.Void, m.Deadlines}
	}
	if have, said := of(&a.counts), of(&a.meta); have != said {
		a.broken("Counters", "there are %+v; the meta row says %+v", have, said)
	}
}
