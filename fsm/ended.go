package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// A session ends by the change of one row: its own is removed, and all its leases are void from then on. Their rows are cleared
// away later, in steps. See docs/decisions/0022.

const (
	// MaxKilled bounds the sessions that one command ends.
	MaxKilled = 1000
	// MaxReap bounds the leases that one Reap clears away. Each is one row by session and one by key.
	MaxReap = 500
)

const kindKill kind = 9

// Kill ends sessions that have expired. Unknown sessions have ended already.
type Kill struct {
	Term     api.Term
	Sessions []ident.SessionID
}

func (Kill) kind() kind           { return kindKill }
func (c Kill) judgedIn() api.Term { return c.Term }

func (c Kill) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	codec.PutList(w, c.Sessions, putSessionID)
}

func readKill(r *codec.Reader) Kill { return Kill{api.Term(r.Uint()), readSessions(r)} }

func (t *tx) killCommand(c *Kill, res *Result) *api.Error {
	if err := t.tooMany(c.Sessions); err != nil {
		return err
	}
	t.kill(c.Sessions, nil, res)
	return nil
}

// tooMany refuses a command that ends more sessions than allowed.
func (v *view) tooMany(killed []ident.SessionID) *api.Error {
	if v.rules.endAtOnce && len(killed) > MaxKilled {
		return api.Errorf(api.CodeTooLarge, "a command that ends %d sessions is over the limit of %d", len(killed), MaxKilled)
	}
	return nil
}

// kill ends the sessions for good, with all their leases. A holder that did not answer may still hold every one of them, and none
// may outlive the judgement. written are the keys whose write is the reason.
func (t *tx) kill(sids []ident.SessionID, written []api.Key, res *Result) {
	for _, sid := range sids {
		s, ok := t.session(sid)
		if !ok {
			continue
		}
		if !guardKillWhole {
			for _, k := range written {
				t.drop([]ident.DroppedLease{{Session: sid, Key: k, Lease: ident.LeaseID(t.index)}})
			}
			continue
		}
		t.end(s)
		res.Effect.Kind = EffectKilled
		res.Effect.Sessions = append(res.Effect.Sessions, sid)
	}
}

// end drops the session and all its leases: in version 1, in the same command.
func (t *tx) end(s Session) {
	if t.rules.endAtOnce {
		t.endAtOnce(&s)
		return
	}
	lo := append([]byte(nil), t.key.held(tableHeld, s.ID, "")...)
	hi := append(append([]byte(nil), lo[:1]...), next(lo[1:])...)
	for from := lo; s.Leases > 0; {
		var keys []api.Key
		t.scan(from, hi, func(k, _ []byte) bool {
			keys = append(keys, api.Key(k[len(lo):]))
			return len(keys) < t.limits.killChunk
		})
		if len(keys) == 0 {
			break
		}
		for _, k := range keys {
			t.unlease(k, s.ID, ident.LeaseID(t.index))
		}
		s.Leases -= len(keys)
		from = append(from[:len(lo):len(lo)], keys[len(keys)-1]...) // a scan from the start would pass over all that is gone again
	}
	t.del(t.key.session(s.ID))
	t.meta.Sessions--
}

// endAtOnce ends the session: its leases are void from then on.
func (t *tx) endAtOnce(s *Session) {
	t.del(t.key.session(s.ID))
	t.meta.Sessions--
	if s.Leases == 0 {
		return
	}
	e := ended{left: s.Leases}
	t.set(t.key.ended(s.ID), e.row())
	t.meta.Ended++
	t.meta.Leases -= s.Leases
	t.meta.Void += s.Leases
}

// ended is a row of tableEnded.
type ended struct {
	left int     // rows by session
	next api.Key // none of them is before it
}

func (e *ended) row() []byte {
	w := codec.Writer{B: make([]byte, 0, 8+len(e.next))}
	w.Uint(uint64(e.left))
	w.Text(string(e.next))
	return w.B
}

func readEnded(r *codec.Reader) ended {
	e := ended{left: readLimit(r), next: r.Key()}
	if e.left == 0 {
		r.Fail("an ended session of which nothing is left")
	}
	return e
}

// live returns a key's holders without the void ones, those whose sessions have ended.
func (v *view) live(l *leased) {
	if v.meta.Ended == 0 {
		return
	}
	l.holders = slices.DeleteFunc(l.holders, func(x lease) bool {
		_, alive := v.get(v.key.session(x.sid))
		return !alive
	})
	if len(l.holders) == 0 {
		*l = leased{}
	}
}

const kindReap kind = 24

// Reap clears away up to Limit leases of ended sessions, at most [MaxReap]. Result.Swept is how many it cleared, and whether none
// is left.
type Reap struct {
	Term  api.Term
	Limit int
}

func (Reap) kind() kind           { return kindReap }
func (c Reap) judgedIn() api.Term { return c.Term }

func (c Reap) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	w.Uint(uint64(max(c.Limit, 0)))
}

func readReap(r *codec.Reader) Reap { return Reap{api.Term(r.Uint()), readLimit(r)} }

// reap clears away void leases, session by session.
func (t *tx) reap(c *Reap, res *Result) *api.Error {
	left := c.Limit
	if left <= 0 || left > MaxReap {
		left = MaxReap
	}
	for t.meta.Ended > 0 && left > 0 {
		n := t.reapOne(left)
		left -= n
		res.Swept.Rows += n
	}
	res.Swept.End = t.meta.Ended == 0
	return nil
}

// reapOne clears away up to limit leases of the first ended session, and returns how many.
func (t *tx) reapOne(limit int) int {
	sid, e := t.firstEnded()
	all := slices.Clone(t.key.held(tableHeld, sid, ""))
	lo := append(slices.Clone(all), e.next...) // a scan from the start would pass over all that is gone again
	hi := append(slices.Clone(all[:1]), next(all[1:])...)
	var keys []api.Key
	t.scan(lo, hi, func(k, _ []byte) bool {
		keys = append(keys, api.Key(k[len(all):]))
		return len(keys) < limit
	})
	for _, k := range keys {
		t.del(t.key.held(tableHeld, sid, k))
		t.sweepHolders(k, sid)
	}
	n := len(keys)
	t.meta.Void -= n
	if e.left -= n; e.left > 0 {
		e.next = keys[n-1]
		t.set(t.key.ended(sid), e.row())
		return n
	}
	t.del(t.key.ended(sid))
	t.meta.Ended--
	return n
}

func (t *tx) firstEnded() (sid ident.SessionID, e ended) {
	t.scan([]byte{tableEnded}, []byte{tableEnded + 1}, func(k, row []byte) bool {
		r := codec.Reader{B: k[1:]}
		sid, e = ident.SessionID{Incarnation: r.Fixed64(), Index: r.Fixed64()}, parse(row, readEnded)
		return false
	})
	return sid, e
}

// sweepHolders writes the key's row of holders anew, without void ones, if the session is among them. It is not if the row was
// written since the session ended.
func (t *tx) sweepHolders(k api.Key, sid ident.SessionID) {
	row, ok := t.get(t.key.ofKey(tableLease, k))
	if !ok {
		return
	}
	l := parse(row, readLeased)
	if _, held := find(l.holders, sid); !held {
		return
	}
	if t.live(&l); len(l.holders) == 0 {
		t.del(t.key.ofKey(tableLease, k))
		return
	}
	t.set(t.key.ofKey(tableLease, k), l.row())
}
