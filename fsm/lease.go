package fsm

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// lease is one holder of a key.
type lease struct {
	sid ident.SessionID
	lid ident.LeaseID
}

// leased is a row of tableLease: a key's holders, by session. There is no row without one.
type leased struct {
	holders []lease
	// absent: the key was absent when the first of them came, at this version. It stays so, and keeps this version, until
	// they have gone: a floor that rises must not contradict what they have been given.
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
		return lease{readSessionID(r), ident.LeaseID(r.Uint())}
	})
	for i := range l.holders {
		if i > 0 && compareSessions(l.holders[i-1].sid, l.holders[i].sid) >= 0 {
			r.Fail("holders out of order")
		}
	}
	return l
}

// find returns the index of the session's lease, or the index at which it would be inserted.
func find(ls []lease, sid ident.SessionID) (int, bool) {
	return slices.BinarySearchFunc(ls, sid, func(l lease, s ident.SessionID) int { return compareSessions(l.sid, s) })
}

// leased is a key's holders, by live leases.
func (v *view) leased(k api.Key) leased {
	if v.meta.Leases == 0 {
		return leased{}
	}
	row, ok := v.get(v.key.ofKey(tableLease, k))
	if !ok {
		return leased{}
	}
	l := parse(row, readLeased)
	v.live(&l)
	return l
}

const kindRelease kind = 10

// Release drops the named leases and all earlier ones of the same session on the same key, because their holder has given them
// up.
type Release struct{ Leases []ident.DroppedLease }

func (Release) kind() kind                { return kindRelease }
func (c Release) put(w *codec.Writer)     { codec.PutList(w, c.Leases, putDropped) }
func readRelease(r *codec.Reader) Release { return Release{readDropped(r)} }

func (t *tx) release(c *Release, _ *Result) *api.Error {
	t.drop(c.Leases)
	return nil
}

// drop takes out what holders have given up: leases at or below the named ones. A later lease on the same key stays.
func (t *tx) drop(leases []ident.DroppedLease) {
	for _, d := range leases {
		if !t.unlease(d.Key, d.Session, d.Lease) {
			continue
		}
		s, ok := t.session(d.Session)
		if !ok {
			must(errDead(d.Session))
		}
		s.Leases--
		t.setSession(&s)
	}
}

// unlease drops the session's lease on the key if it is at or below lid. The caller stores the session.
func (t *tx) unlease(k api.Key, sid ident.SessionID, lid ident.LeaseID) bool {
	l := t.leased(k)
	i, held := find(l.holders, sid)
	if !held || guardLaterLease && l.holders[i].lid > lid {
		return false
	}
	if l.holders = slices.Delete(l.holders, i, i+1); len(l.holders) == 0 {
		t.del(t.key.ofKey(tableLease, k))
	} else {
		t.set(t.key.ofKey(tableLease, k), l.row())
	}
	t.del(t.key.held(tableHeld, sid, k))
	t.meta.Leases--
	return true
}

// RetryLeases refuses a [Write] or [Cede] that would change what is held under a live lease. Result.Holders lists the holders.
// The command was not applied. The refusal stays inside the region, which clears the leases and tries again.
const RetryLeases api.Code = "retry_leases"

// Holder is one live lease.
type Holder struct {
	Session ident.SessionID
	Node    api.NodeID
	Nonce   ident.Nonce
	Key     api.Key
	Lease   ident.LeaseID
}

// holder returns the Holder of the lease.
func (v *view) holder(k api.Key, l lease) Holder {
	s, ok := v.session(l.sid)
	if !ok {
		must(fmt.Errorf("a lease on %q of the session %v, which does not exist", string(k), l.sid))
	}
	return Holder{Session: l.sid, Node: s.Node, Nonce: s.Nonce, Key: k, Lease: l.lid}
}

// holders returns the live leases on the keys.
func (v *view) holders(keys []api.Key) []Holder {
	var hs []Holder
	for _, k := range keys {
		for _, l := range v.leased(k).holders {
			hs = append(hs, v.holder(k, l))
		}
	}
	return hs
}

// holdersIn are live leases in the range, at most limit, passing over those that skip names. Rows are read a part at a time: whether a
// lease is live is found in another table, which is not to be read during a scan.
func (v *view) holdersIn(r api.Range, limit int, skip func(api.Key, lease) bool) (hs []Holder) {
	type found struct {
		k api.Key
		l leased
	}
	lo, hi := span(tableLease, r, false)
	for lo != nil {
		var part []found
		from := lo
		lo = nil
		v.scan(from, hi, func(key, row []byte) bool {
			part = append(part, found{api.Key(key[1:]), parse(row, readLeased)})
			if len(part) < holderRows {
				return true
			}
			lo = append(slices.Clone(key), 0)
			return false
		})
		for i := range part {
			k, l := part[i].k, &part[i].l
			v.live(l)
			for _, x := range l.holders {
				if skip(k, x) {
					continue
				}
				if hs = append(hs, v.holder(k, x)); len(hs) == limit {
					return hs
				}
			}
		}
	}
	return hs
}

// holderRows is how many keys' holders are read at a time.
const holderRows = 256

// unheld refuses a write of keys with a live lease which the write does not clear.
func (t *tx) unheld(written []api.Key, cleared []ident.DroppedLease, killed []ident.SessionID, res *Result) *api.Error {
	if !guardLeaseCheck {
		return nil
	}
	var gone *clearance
	for _, k := range written {
		for _, l := range t.leased(k).holders {
			if gone == nil {
				c := newClearance(cleared, killed)
				gone = &c
			}
			if !gone.covers(k, l) {
				res.Holders = append(res.Holders, t.holder(k, l))
			}
		}
	}
	if len(res.Holders) > 0 {
		return errHeld(res.Holders[0].Key)
	}
	return nil
}

func errHeld(k api.Key) *api.Error {
	return &api.Error{Code: RetryLeases, Key: k, Hint: "the key is leased; clear its holders first"}
}

// clearance is what a write says about the leases in its way.
type clearance struct {
	cleared map[claim]ident.LeaseID
	killed  map[ident.SessionID]bool
}

// claim is a session's place at a key.
type claim struct {
	sid ident.SessionID
	key api.Key
}

func newClearance(cleared []ident.DroppedLease, killed []ident.SessionID) clearance {
	var c clearance
	if len(cleared) > 0 {
		c.cleared = make(map[claim]ident.LeaseID, len(cleared))
	}
	for _, d := range cleared {
		at := claim{d.Session, d.Key}
		c.cleared[at] = max(c.cleared[at], d.Lease)
	}
	if len(killed) > 0 {
		c.killed = make(map[ident.SessionID]bool, len(killed))
	}
	for _, sid := range killed {
		c.killed[sid] = true
	}
	return c
}

// covers reports whether the lease is out of the way: its session is dying, or its holder has given up this lease or a
// later one.
func (c *clearance) covers(k api.Key, l lease) bool {
	return c.killed[l.sid] || c.cleared[claim{l.sid, k}] >= l.lid
}

// The ids of sessions and the leases that were given up, as commands and rows have them.

func putSession(w *codec.Writer, s ident.SessionID) { w.Uint(s.Incarnation); w.Uint(s.Index) }

func putSessionID(w *codec.Writer, s *ident.SessionID) { putSession(w, *s) }

func readSessionID(r *codec.Reader) ident.SessionID {
	return ident.SessionID{Incarnation: r.Uint(), Index: r.Uint()}
}

func readSessions(r *codec.Reader) []ident.SessionID {
	return codec.List(r, maxDropped, 2, readSessionID)
}

func compareSessions(a, b ident.SessionID) int {
	return cmp.Or(cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Index, b.Index))
}

func putDropped(w *codec.Writer, d *ident.DroppedLease) {
	putSession(w, d.Session)
	w.Text(string(d.Key))
	w.Uint(uint64(d.Lease))
}

func readDropped(r *codec.Reader) []ident.DroppedLease {
	return codec.List(r, maxDropped, 5, func(r *codec.Reader) ident.DroppedLease {
		return ident.DroppedLease{Session: readSessionID(r), Key: r.KeyName(), Lease: ident.LeaseID(r.Uint())}
	})
}
