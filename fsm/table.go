package fsm

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// next returns the smallest string above all that begin with b. b must not consist of 255s only.
func next(b []byte) []byte {
	n := append([]byte(nil), b...)
	for i := len(n) - 1; i >= 0; i-- {
		if n[i]++; n[i] != 0 {
			return n[:i+1]
		}
	}
	return nil
}

// The tables. Each is a prefix of the one keyspace; the first byte of every key names its table. Integers in keys are
// big-endian, so that they sort.
const (
	tableAnchor    = 'a' // escaped anchor, client, seq 0 -> nothing: the records of opaque ids
	tableDue       = 'b' // deadline, key -> nothing: the keys with a deadline, by it
	tableDecision  = 'c' // client, seq, attempt -> what this group decided
	tableDedup     = 'd' // client -> acknowledged-below, epoch, count; client, seq -> record
	tableEnded     = 'e' // session -> how many rows by session are left of a session that has ended, and where
	tableFloor     = 'f' // epoch, bucket -> index: at least the version of every absent key there
	tableHeld      = 'h' // session, key -> nothing: the leases by session
	tableTrim      = 'i' // index, key -> nothing: the tombstones by age
	tableHistory   = 'j' // index of the last command with an event in it -> events
	tableKV        = 'k' // key -> its deadline after a 0, if it has one; version, value
	tableLease     = 'l' // key -> holders: the leases by key
	tableMeta      = 'm' // nothing -> Meta
	tableIntent    = 'n' // key -> the transactions that have locked it, and what the writer makes of it
	tablePrepared  = 'p' // client, seq, attempt, decision group -> transaction, index, keys
	tableFinished  = 'q' // client, seq, attempt, decision group -> outcome, epoch
	tableRange     = 'r' // start -> shard
	tableSession   = 's' // session -> node, nonce, T, P, suspect, leases
	tableTombstone = 't' // key -> version of its absence
	tableOwing     = 'u' // client, seq, attempt -> the participants that have not resolved what this group decided
	tableMoved     = 'x' // escaped start, epoch -> receipt
)

// rowKey builds the engine's keys in one buffer. Each call invalidates the result of the previous one.
type rowKey struct{ w codec.Writer }

func (r *rowKey) table(t byte) *codec.Writer {
	if r.w.B == nil {
		r.w.B = make([]byte, 0, 128)
	}
	r.w.B = append(r.w.B[:0], t)
	return &r.w
}

func (r *rowKey) ofKey(t byte, k api.Key) []byte {
	w := r.table(t)
	w.B = append(w.B, k...)
	return w.B
}

func (r *rowKey) meta() []byte { return r.table(tableMeta).B }

func (r *rowKey) session(sid ident.SessionID) []byte {
	return r.held(tableSession, sid, "")
}

func (r *rowKey) ended(sid ident.SessionID) []byte { return r.held(tableEnded, sid, "") }

func (r *rowKey) held(t byte, sid ident.SessionID, k api.Key) []byte {
	w := r.table(t)
	w.Fixed64(sid.Incarnation)
	w.Fixed64(sid.Index)
	w.B = append(w.B, k...)
	return w.B
}

func (r *rowKey) trim(index uint64, k api.Key) []byte {
	w := r.table(tableTrim)
	w.Fixed64(index)
	w.B = append(w.B, k...)
	return w.B
}

func (r *rowKey) due(deadline uint64, k api.Key) []byte {
	w := r.table(tableDue)
	w.Fixed64(deadline)
	w.B = append(w.B, k...)
	return w.B
}

func (r *rowKey) history(index uint64) []byte {
	w := r.table(tableHistory)
	w.Fixed64(index)
	return w.B
}

func (r *rowKey) floor(epoch uint64, bucket uint16) []byte {
	w := r.table(tableFloor)
	w.Fixed64(epoch)
	w.Byte(byte(bucket >> 8))
	w.Byte(byte(bucket))
	return w.B
}

func (r *rowKey) client(c api.ClientID) []byte {
	w := r.table(tableDedup)
	w.Raw(c[:])
	return w.B
}

func (r *rowKey) record(c api.ClientID, seq uint64) []byte {
	w := r.table(tableDedup)
	w.Raw(c[:])
	w.Fixed64(seq)
	return w.B
}

// attempt is a row that belongs to an attempt: of the participant's tables with the decision group, of that group's own
// without.
func (r *rowKey) attempt(t byte, id *ident.TxnID) []byte {
	w := r.table(t)
	w.Raw(id.Client[:])
	w.Fixed64(id.Seq)
	w.Fixed64(id.Attempt)
	if t == tablePrepared || t == tableFinished {
		w.B = append(w.B, id.Decider...)
	}
	return w.B
}

func (r *rowKey) anchor(k api.Key, c api.ClientID, seq uint64) []byte {
	w := r.table(tableAnchor)
	putEscaped(w, string(k))
	w.Raw(c[:])
	w.Fixed64(seq)
	return w.B
}

func (r *rowKey) moved(start api.Key, epoch uint64) []byte {
	w := r.table(tableMoved)
	putEscaped(w, string(start))
	w.Fixed64(epoch)
	return w.B
}

// escaped writes a string so that what follows it does not disturb the order: 0 becomes 0 255, and 0 1 ends it.
func putEscaped(w *codec.Writer, s string) {
	for i := range len(s) {
		w.Byte(s[i])
		if s[i] == 0 {
			w.Byte(0xff)
		}
	}
	w.Byte(0)
	w.Byte(1)
}

// skipEscaped passes over what escaped wrote.
func skipEscaped(r *codec.Reader) {
	for {
		c := r.Byte()
		if r.Fault() != "" {
			return
		}
		if c != 0 {
			continue
		}
		switch r.Byte() {
		case 1:
			return
		case 0xff:
		default:
			r.Fail("a wrong escape")
			return
		}
	}
}

// span are the bounds of a table's rows for the keys of the range; rows escaped or not.
func span(t byte, r api.Range, escape bool) (lo, hi []byte) {
	bound := func(k api.Key) []byte {
		w := codec.Writer{B: []byte{t}}
		if escape {
			putEscaped(&w, string(k))
		} else {
			w.B = append(w.B, k...)
		}
		return w.B
	}
	if hi = []byte{t + 1}; r.End != "" {
		hi = bound(r.End)
	}
	return bound(r.Start), hi
}

// numberedAnchor reports whether the row finds the record of a numbered request by its anchor.
func numberedAnchor(k []byte) bool {
	if k[0] != tableAnchor || len(k) < 9 {
		return false
	}
	for _, b := range k[len(k)-8:] {
		if b != 0 {
			return true
		}
	}
	return false
}
