package fsm

import (
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
)

// The rows' values, as the tables hold them. Readers are strict: see reader.

// value is a row of tableKV.
type value struct {
	version api.Version
	data    []byte // shared with the row
}

func (v value) row() []byte {
	w := writer{b: make([]byte, 0, 20+len(v.data))}
	w.version(v.version)
	w.raw(v.data)
	return w.b
}

func readValue(r *reader) value {
	v := value{version: r.version()}
	v.data = r.take(uint64(len(r.b)))
	return v
}

func versionRow(v api.Version) []byte {
	w := writer{b: make([]byte, 0, 20)}
	w.version(v)
	return w.b
}

// lease is one holder of a key.
type lease struct {
	sid api.SessionID
	lid api.LeaseID
}

// leased is a row of tableLease: a key's holders, by session. There is no row without one.
type leased struct {
	holders []lease
	// absent: the key was absent when the first of them came, at this version. It stays so, and keeps this version, until
	// they have gone: a floor that rises must not contradict what they were told.
	absent  bool
	version api.Version
}

func (l *leased) row() []byte {
	w := writer{b: make([]byte, 0, 8+12*len(l.holders))}
	if w.bool(l.absent); l.absent {
		w.version(l.version)
	}
	putList(&w, l.holders, func(w *writer, l *lease) {
		w.session(l.sid)
		w.uint(uint64(l.lid))
	})
	return w.b
}

func readLeased(r *reader) leased {
	l := leased{absent: r.bool()}
	if l.absent {
		l.version = r.version()
	}
	l.holders = list(r, MaxKeyHolders, 3, func(r *reader) lease {
		return lease{r.session(), api.LeaseID(r.uint())}
	})
	for i := range l.holders {
		if i > 0 && compareSessions(l.holders[i-1].sid, l.holders[i].sid) >= 0 {
			r.fail("holders out of order")
		}
	}
	return l
}

// find tells where the session's lease is, or would be.
func find(ls []lease, sid api.SessionID) (int, bool) {
	return slices.BinarySearchFunc(ls, sid, func(l lease, s api.SessionID) int { return compareSessions(l.sid, s) })
}

func sessionRow(s *Session) []byte {
	w := writer{b: make([]byte, 0, 48+len(s.Node))}
	w.text(string(s.Node))
	w.raw(s.Nonce[:])
	w.time(s.Term)
	w.time(s.Pause)
	w.bool(s.Suspect)
	w.uint(uint64(s.Leases))
	return w.b
}

func readSession(r *reader) Session {
	return Session{
		Node: api.NodeID(r.name()), Nonce: r.array16(), Term: r.time(), Pause: r.time(),
		Suspect: r.bool(), Leases: readLimit(r),
	}
}

// client is a row of tableDedup: one that sends Seqs.
type client struct {
	ackedBelow uint64
	epoch      Epoch // of its newest request
	count      int   // its records
}

func (c client) row() []byte {
	w := writer{b: make([]byte, 0, 16)}
	w.uint(c.ackedBelow)
	w.uint(uint64(c.epoch))
	w.uint(uint64(c.count))
	return w.b
}

func readClient(r *reader) client { return client{r.uint(), r.epoch(), readLimit(r)} }

func recordRow(c *Record) []byte {
	w := writer{b: make([]byte, 0, 40+len(c.Anchor)+2*len(c.Outcomes))}
	putRecord(&w, c)
	return w.b
}

// owned is a row of tableRange.
type owned struct {
	Shard
	// adopted: the range was another group's before, so that each absent key's version is at least {Epoch, 0}.
	adopted bool
	// since is the epoch in which the group took the range over, if it had owned it before: what is of an earlier epoch may have
	// been recorded and forgotten by another group meanwhile.
	since Epoch
}

func (o owned) row() []byte {
	w := writer{b: make([]byte, 0, 32+len(o.Range.End))}
	w.text(string(o.Range.End))
	w.uint(o.Epoch)
	w.uint(uint64(o.Index))
	w.uint(uint64(o.Of))
	if w.bool(o.adopted); o.since > 0 {
		w.uint(uint64(o.since))
	}
	return w.b
}

func readOwned(start api.Key, r *reader) owned {
	o := owned{Shard: Shard{api.Range{Start: start, End: r.key()}, r.uint(), r.uint32(), r.uint32()}, adopted: r.bool()}
	if len(r.b) > 0 {
		if o.since = r.epoch(); o.since == 0 {
			r.fail("a range that came back at no time")
		}
	}
	return o
}

func (m *Meta) row() []byte {
	w := writer{b: make([]byte, 0, 96+len(m.sweep))}
	w.bool(m.Initialized)
	w.text(string(m.Group))
	w.uint(m.Incarnation)
	w.uint(m.Counter)
	w.uint(uint64(m.LastTerm))
	w.uint(uint64(m.DedupEpoch))
	w.time(m.MaxTerm)
	w.time(m.MaxPause)
	for _, n := range [...]int{m.Keys, m.Tombstones, m.Sessions, m.Leases, m.Records} {
		w.uint(uint64(n))
	}
	w.bytes(m.sweep)
	w.uint(m.Applied)
	for _, n := range [...]int{m.Intents, m.Prepared, m.Finished, m.Decisions, m.Unresolved} {
		w.uint(uint64(n))
	}
	if m.Level > Level1 { // a program that knows no levels refuses the row, and so the state
		w.uint(uint64(m.Level))
		w.uint(uint64(m.Ended))
		w.uint(uint64(m.Void))
		if m.returns != (returns{}) {
			m.returns.put(&w)
		}
	}
	return w.b
}

func readMeta(r *reader) Meta {
	m := Meta{
		Initialized: r.bool(), Group: api.GroupID(r.name()), Incarnation: r.uint(), Counter: r.uint(),
		LastTerm: api.Term(r.uint()), DedupEpoch: r.epoch(), Level: Level1, MaxTerm: r.time(), MaxPause: r.time(),
		Keys: r.count63(), Tombstones: r.count63(), Sessions: r.count63(), Leases: r.count63(), Records: r.count63(),
		sweep: slices.Clone(r.bytes(maxSweepBytes)),
	}
	if len(r.b) > 0 { // version 1 did not have it
		m.Applied = r.uint()
	}
	if len(r.b) > 0 { // nor did version 2 have these
		m.Intents, m.Prepared, m.Finished, m.Decisions, m.Unresolved = r.count63(), r.count63(), r.count63(), r.count63(), r.count63()
	}
	if len(r.b) > 0 {
		if m.Level = readLevel(r); r.bad == "" && (m.Level == Level1 || m.Level > NewestLevel) {
			r.fail(fmt.Sprintf("the group is at level %d, and this program knows %d: upgrade this node", m.Level, NewestLevel))
			return m
		}
		m.Ended, m.Void = r.count63(), r.count63()
	}
	if len(r.b) > 0 {
		m.returns = readReturns(r)
	}
	return m
}
