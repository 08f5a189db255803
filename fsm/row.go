package fsm

import (
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// The rows' values, as the tables hold them. Readers are strict: see reader.

// value is a row of tableKV.
type value struct {
	version api.Version
	data    []byte // shared with the row
}

func (v value) row() []byte {
	w := codec.Writer{B: make([]byte, 0, 20+len(v.data))}
	w.Version(v.version)
	w.Raw(v.data)
	return w.B
}

func readValue(r *codec.Reader) value {
	v := value{version: r.Version()}
	v.data = r.Take(uint64(len(r.B)))
	return v
}

func versionRow(v api.Version) []byte {
	w := codec.Writer{B: make([]byte, 0, 20)}
	w.Version(v)
	return w.B
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
	w := codec.Writer{B: make([]byte, 0, 8+12*len(l.holders))}
	if w.Bool(l.absent); l.absent {
		w.Version(l.version)
	}
	codec.PutList(&w, l.holders, func(w *codec.Writer, l *lease) {
		putSession(w, l.sid)
		w.Uint(uint64(l.lid))
	})
	return w.B
}

func readLeased(r *codec.Reader) leased {
	l := leased{absent: r.Bool()}
	if l.absent {
		l.version = r.Version()
	}
	l.holders = codec.List(r, MaxKeyHolders, 3, func(r *codec.Reader) lease {
		return lease{readSessionID(r), api.LeaseID(r.Uint())}
	})
	for i := range l.holders {
		if i > 0 && compareSessions(l.holders[i-1].sid, l.holders[i].sid) >= 0 {
			r.Fail("holders out of order")
		}
	}
	return l
}

// find tells where the session's lease is, or would be.
func find(ls []lease, sid api.SessionID) (int, bool) {
	return slices.BinarySearchFunc(ls, sid, func(l lease, s api.SessionID) int { return compareSessions(l.sid, s) })
}

func sessionRow(s *Session) []byte {
	w := codec.Writer{B: make([]byte, 0, 48+len(s.Node))}
	w.Text(string(s.Node))
	w.Raw(s.Nonce[:])
	w.Duration(s.Term)
	w.Duration(s.Pause)
	w.Bool(s.Suspect)
	w.Uint(uint64(s.Leases))
	return w.B
}

func readSession(r *codec.Reader) Session {
	return Session{
		Node: api.NodeID(r.Text(codec.MaxNameBytes)), Nonce: r.Array16(), Term: r.Duration(), Pause: r.Duration(),
		Suspect: r.Bool(), Leases: readLimit(r),
	}
}

// client is a row of tableDedup: one that sends Seqs.
type client struct {
	ackedBelow uint64
	epoch      Epoch // of its newest request
	count      int   // its records
}

func (c client) row() []byte {
	w := codec.Writer{B: make([]byte, 0, 16)}
	w.Uint(c.ackedBelow)
	w.Uint(uint64(c.epoch))
	w.Uint(uint64(c.count))
	return w.B
}

func readClient(r *codec.Reader) client { return client{r.Uint(), readEpoch(r), readLimit(r)} }

func recordRow(c *Record) []byte {
	w := codec.Writer{B: make([]byte, 0, 40+len(c.Anchor)+2*len(c.Outcomes))}
	putRecord(&w, c)
	return w.B
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
	w := codec.Writer{B: make([]byte, 0, 32+len(o.Range.End))}
	w.Text(string(o.Range.End))
	w.Uint(o.Epoch)
	w.Uint(uint64(o.Index))
	w.Uint(uint64(o.Of))
	if w.Bool(o.adopted); o.since > 0 {
		w.Uint(uint64(o.since))
	}
	return w.B
}

func readOwned(start api.Key, r *codec.Reader) owned {
	o := owned{Shard: Shard{api.Range{Start: start, End: r.Key()}, r.Uint(), r.Uint32(), r.Uint32()}, adopted: r.Bool()}
	if len(r.B) > 0 {
		if o.since = readEpoch(r); o.since == 0 {
			r.Fail("a range that came back at no time")
		}
	}
	return o
}

func (m *Meta) row() []byte {
	w := codec.Writer{B: make([]byte, 0, 96+len(m.sweep))}
	w.Bool(m.Initialized)
	w.Text(string(m.Group))
	w.Uint(m.Incarnation)
	w.Uint(m.Counter)
	w.Uint(uint64(m.LastTerm))
	w.Uint(uint64(m.DedupEpoch))
	w.Duration(m.MaxTerm)
	w.Duration(m.MaxPause)
	for _, n := range [...]int{m.Keys, m.Tombstones, m.Sessions, m.Leases, m.Records} {
		w.Uint(uint64(n))
	}
	w.Bytes(m.sweep)
	w.Uint(m.Applied)
	for _, n := range [...]int{m.Intents, m.Prepared, m.Finished, m.Decisions, m.Unresolved} {
		w.Uint(uint64(n))
	}
	if m.Level > Level1 { // a program that knows no levels refuses the row, and so the state
		w.Uint(uint64(m.Level))
		w.Uint(uint64(m.Ended))
		w.Uint(uint64(m.Void))
		if m.returns != (returns{}) {
			m.returns.put(&w)
		}
	}
	return w.B
}

func readMeta(r *codec.Reader) Meta {
	m := Meta{
		Initialized: r.Bool(), Group: api.GroupID(r.Text(codec.MaxNameBytes)), Incarnation: r.Uint(), Counter: r.Uint(),
		LastTerm: api.Term(r.Uint()), DedupEpoch: readEpoch(r), Level: Level1, MaxTerm: r.Duration(), MaxPause: r.Duration(),
		Keys: r.Count(), Tombstones: r.Count(), Sessions: r.Count(), Leases: r.Count(), Records: r.Count(),
		sweep: slices.Clone(r.Bytes(maxSweepBytes)),
	}
	if len(r.B) > 0 { // version 1 did not have it
		m.Applied = r.Uint()
	}
	if len(r.B) > 0 { // nor did version 2 have these
		m.Intents, m.Prepared, m.Finished, m.Decisions, m.Unresolved = r.Count(), r.Count(), r.Count(), r.Count(), r.Count()
	}
	if len(r.B) > 0 {
		if m.Level = readLevel(r); r.Fault() == "" && (m.Level == Level1 || m.Level > NewestLevel) {
			r.Fail(fmt.Sprintf("the group is at level %d, and this program knows %d: upgrade this node", m.Level, NewestLevel))
			return m
		}
		m.Ended, m.Void = r.Count(), r.Count()
	}
	if len(r.B) > 0 {
		m.returns = readReturns(r)
	}
	return m
}
