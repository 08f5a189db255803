package fsm

import (
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
	w := writer{make([]byte, 0, 20+len(v.data))}
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
	w := writer{make([]byte, 0, 20)}
	w.version(v)
	return w.b
}

// lease is one holder in a row of tableLease, which lists them by session.
type lease struct {
	sid api.SessionID
	lid api.LeaseID
}

func leaseRow(ls []lease) []byte {
	w := writer{make([]byte, 0, 1+12*len(ls))}
	putList(&w, ls, func(w *writer, l *lease) {
		w.session(l.sid)
		w.uint(uint64(l.lid))
	})
	return w.b
}

func readLeases(r *reader) []lease {
	ls := list(r, MaxKeyHolders, 3, func(r *reader) lease {
		return lease{r.session(), api.LeaseID(r.uint())}
	})
	for i := range ls {
		if i > 0 && compareSessions(ls[i-1].sid, ls[i].sid) >= 0 {
			r.fail("holders out of order")
		}
	}
	return ls
}

// find tells where the session's lease is, or would be.
func find(ls []lease, sid api.SessionID) (int, bool) {
	return slices.BinarySearchFunc(ls, sid, func(l lease, s api.SessionID) int { return compareSessions(l.sid, s) })
}

func sessionRow(s *Session) []byte {
	w := writer{make([]byte, 0, 48+len(s.Node))}
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
	ackedBelow, epoch uint64
	count             int // its records
}

func (c client) row() []byte {
	w := writer{make([]byte, 0, 16)}
	w.uint(c.ackedBelow)
	w.uint(c.epoch)
	w.uint(uint64(c.count))
	return w.b
}

func readClient(r *reader) client { return client{r.uint(), r.uint(), readLimit(r)} }

func recordRow(c *Record) []byte {
	w := writer{make([]byte, 0, 40+len(c.Anchor)+2*len(c.Outcomes))}
	putRecord(&w, c)
	return w.b
}

// owned is a row of tableRange.
type owned struct {
	Shard
	// adopted: the range was another group's before, so that each absent key's version is at least {Epoch, 0}.
	adopted bool
}

func (o owned) row() []byte {
	w := writer{make([]byte, 0, 32+len(o.Range.End))}
	w.text(string(o.Range.End))
	w.uint(o.Epoch)
	w.uint(uint64(o.Index))
	w.uint(uint64(o.Of))
	w.bool(o.adopted)
	return w.b
}

func readOwned(start api.Key, r *reader) owned {
	return owned{Shard{api.Range{Start: start, End: r.key()}, r.uint(), r.uint32(), r.uint32()}, r.bool()}
}

func (m *Meta) row() []byte {
	w := writer{make([]byte, 0, 96+len(m.sweep))}
	w.bool(m.Initialized)
	w.text(string(m.Group))
	w.uint(m.Incarnation)
	w.uint(m.Counter)
	w.uint(uint64(m.LastTerm))
	w.uint(m.DedupEpoch)
	w.time(m.MaxTerm)
	w.time(m.MaxPause)
	for _, n := range [...]int{m.Keys, m.Tombstones, m.Sessions, m.Leases, m.Records} {
		w.uint(uint64(n))
	}
	w.bytes(m.sweep)
	return w.b
}

func readMeta(r *reader) Meta {
	return Meta{
		Initialized: r.bool(), Group: api.GroupID(r.name()), Incarnation: r.uint(), Counter: r.uint(),
		LastTerm: api.Term(r.uint()), DedupEpoch: r.uint(), MaxTerm: r.time(), MaxPause: r.time(),
		Keys: r.count63(), Tombstones: r.count63(), Sessions: r.count63(), Leases: r.count63(), Records: r.count63(),
		sweep: slices.Clone(r.bytes(64)),
	}
}
