package fsm

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// The history of a group is the ordered list of what became visible in it. The machine keeps it in tableHistory, and changes it in
// the same batch as what it describes: one row for each entry of the log that made something visible, or several if they would be
// large. A row has the events of whole commands, and its key is the index of the last of them. docs/decisions/0037 has the reasons.

// Event is one visible change of one key.
type Event struct {
	// Index is that of the command by which the change became visible. It may be above that of Version: what a transaction across
	// groups writes has the version of its Prepare, and becomes visible by its Resolve.
	Index   uint64
	Kind    api.EventKind
	Key     api.Key
	Version api.Version
	// Value is what a put gave the key. It must not be changed.
	Value []byte
	// Elided means that the history has no Value, because it is longer than [MaxEventBytes].
	Elided bool
	// Deadline is that of the key, in the time of the group; 0 if it has none.
	Deadline uint64
	// Txn is the same for all events of a transaction across groups, and zero for others.
	Txn [8]byte
}

// txnOf returns what the events of a transaction across groups say of it.
func txnOf(id *ident.TxnID) (x [8]byte) {
	var w codec.Writer
	putTxnID(&w, id)
	sum := sha256.Sum256(w.B)
	copy(x[:], sum[:])
	return x
}

// The parts of an event's first byte above its kind.
const (
	eventKind     = 1<<2 - 1
	eventElided   = 1 << 2
	eventDeadline = 1 << 3
	eventTxn      = 1 << 4
	eventPrepared = 1 << 5 // the version has another index
)

// putEvent writes an event. before is the index of the event before it in the row, or 0.
func putEvent(w *codec.Writer, e *Event, before uint64) {
	value := e.Kind == api.EventPut
	flags := byte(e.Kind)
	if value && (e.Elided || len(e.Value) > MaxEventBytes) {
		flags, value = flags|eventElided, false
	}
	if e.Deadline > 0 {
		flags |= eventDeadline
	}
	if e.Txn != [8]byte{} {
		flags |= eventTxn
	}
	if e.Version.Index != e.Index {
		flags |= eventPrepared
	}
	w.Byte(flags)
	w.Uint(e.Index - before)
	w.Uint(e.Version.Epoch)
	if flags&eventPrepared != 0 {
		w.Uint(e.Version.Index)
	}
	w.Text(string(e.Key))
	if e.Deadline > 0 {
		w.Uint(e.Deadline)
	}
	if flags&eventTxn != 0 {
		w.Raw(e.Txn[:])
	}
	if value {
		w.Bytes(e.Value)
	}
}

// eventSize is at least the size of the event in a row.
func eventSize(e *Event) int {
	n := 64 + len(e.Key)
	if len(e.Value) <= MaxEventBytes {
		n += len(e.Value)
	}
	return n
}

// readEvents reads a row of tableHistory, whose key is last. Values share memory with the row, keys do not.
func readEvents(last uint64, r *codec.Reader) (events []Event) {
	at := uint64(0)
	for len(r.B) > 0 && r.Fault() == "" {
		e := readEvent(r, at)
		if at = e.Index; at == 0 || at > last {
			r.Fail("an event that is not of its row")
		}
		events = append(events, e)
	}
	if at != last {
		r.Fail("a row without the event that it is named by")
	}
	return events
}

func readEvent(r *codec.Reader, before uint64) Event {
	flags := r.Byte()
	e := Event{Kind: api.EventKind(flags & eventKind), Elided: flags&eventElided != 0}
	if e.Kind == 0 || flags >= eventPrepared<<1 || e.Elided && e.Kind != api.EventPut {
		r.Fail("an unknown kind of event")
	}
	d := r.Uint()
	if e.Index = before + d; e.Index < before {
		r.Fail("an index over 64 bits")
	}
	e.Version = api.Version{Epoch: r.Uint(), Index: e.Index}
	if flags&eventPrepared != 0 {
		if e.Version.Index = r.Uint(); e.Version.Index == e.Index {
			r.Fail("an index that is said twice")
		}
	}
	e.Key = r.KeyName()
	if flags&eventDeadline != 0 {
		if e.Deadline = r.Uint(); e.Deadline == 0 {
			r.Fail("a deadline at no time")
		}
	}
	if flags&eventTxn != 0 {
		if copy(e.Txn[:], r.Take(8)); e.Txn == [8]byte{} {
			r.Fail("a transaction without a number")
		}
	}
	if e.Kind == api.EventPut && !e.Elided {
		e.Value = r.Bytes(MaxEventBytes)
	}
	return e
}

// maxHistoryRow is how many bytes of events begin another row with the next command.
const maxHistoryRow = 1 << 20

// happened notes that a command made a change visible. The event and its value must not be changed any more.
func (t *tx) happened(e Event) {
	if !t.keepsHistory() {
		return
	}
	e.Txn = t.across
	if e.Index = t.index; !guardEventAtResolve {
		e.Index = e.Version.Index
	}
	t.events = append(t.events, e)
	t.eventBytes += eventSize(&e)
}

// keepsHistory reports whether what becomes visible is noted.
func (t *tx) keepsHistory() bool { return t.meta.Level.keepsHistory() && t.meta.HistMax > 0 }

// endCommand gives the result the events of its command, which are those from the n-th on, and ends a row that is large.
func (t *tx) endCommand(n int, res *Result) {
	if n < len(t.events) {
		res.Events = t.events[n:len(t.events):len(t.events)]
	}
	if t.eventBytes >= maxHistoryRow {
		t.writeHistory()
	}
}

// writeHistory adds a row with the events that have none yet.
func (t *tx) writeHistory() {
	events := t.events[t.eventsWritten:]
	if len(events) == 0 || !guardHistoryRow {
		return
	}
	w := codec.Writer{B: make([]byte, 0, t.eventBytes)}
	last := uint64(0)
	for i := range events {
		putEvent(&w, &events[i], last)
		last = events[i].Index
	}
	k := t.key.history(last)
	t.insert(k, w.B)
	t.meta.HistBytes += uint64(len(k) + len(w.B))
	t.eventsWritten, t.eventBytes = len(t.events), 0
}

// endHistory writes the last row of an entry, and drops the oldest rows if the history is over its bound. It drops a little more
// than it must, so that it looks for them once in many entries.
func (t *tx) endHistory() {
	t.writeHistory()
	if most := t.meta.HistMax; t.meta.HistBytes > most {
		t.dropHistory(t.meta.Counter+1, trimmedByEntry, most-most/64)
	}
}

// trimmedByEntry is how many rows an entry drops at most.
const trimmedByEntry = 16

// trimmedBytes is how many bytes of rows end what a command drops.
const trimmedBytes = 8 << 20

// dropHistory drops the oldest rows that are below an index, at most limit or about trimmedBytes, until those that are left take no
// more than keep bytes. It returns how many it has dropped, and whether that bound has ended it.
func (t *tx) dropHistory(below uint64, limit int, keep uint64) (n int, bounded bool) {
	type row struct {
		index uint64
		size  int
	}
	var rows []row
	left := t.meta.HistBytes
	lo := bytes.Clone(t.key.history(t.meta.HistFirst))
	hi := bytes.Clone(t.key.history(below))
	if left > keep && bytes.Compare(lo, hi) < 0 {
		t.scan(lo, hi, func(k, v []byte) bool {
			r := codec.Reader{B: k[1:]}
			rows = append(rows, row{r.Fixed64(), len(k) + len(v)})
			left -= uint64(len(k) + len(v))
			bounded = len(rows) == limit || t.meta.HistBytes-left >= trimmedBytes
			return !bounded && left > keep
		})
	}
	for _, x := range rows {
		t.del(t.key.history(x.index))
		t.meta.HistFirst = x.index + 1
		if guardHistoryFloor {
			t.meta.HistFloor = max(t.meta.HistFloor, x.index)
		}
	}
	t.meta.HistBytes = left
	return len(rows), bounded
}

// beginHistory has the history begin with the command that comes next.
func (t *tx) beginHistory() {
	if guardHistoryBegin {
		t.meta.HistFloor = t.index
	}
	t.meta.HistMax = DefaultHistory
}

const kindTrimHistory kind = 25

// TrimHistory drops the oldest rows of the history: those whose indexes are below Below, and more while the history is over its
// bound, at most Limit, and fewer if they are large. Result.Swept says how many there were, and whether none is left to drop.
type TrimHistory struct {
	Term  api.Term
	Below uint64
	Limit int
}

func (TrimHistory) kind() kind           { return kindTrimHistory }
func (c TrimHistory) judgedIn() api.Term { return c.Term }

func (c TrimHistory) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	w.Uint(c.Below)
	w.Uint(uint64(max(c.Limit, 0)))
}

func readTrimHistory(r *codec.Reader) TrimHistory {
	return TrimHistory{api.Term(r.Uint()), r.Uint(), readLimit(r)}
}

func (t *tx) trimHistory(c *TrimHistory, res *Result) *api.Error {
	limit := c.Limit
	if limit <= 0 || limit > MaxSweep {
		limit = MaxSweep
	}
	t.writeHistory()
	rows, bounded := t.dropHistory(min(c.Below, t.index), limit, 0)
	if res.Swept.Rows = rows; !bounded {
		t.meta.HistFirst = max(t.meta.HistFirst, min(c.Below, t.index))
		rows, bounded = t.dropHistory(t.index, limit-rows, t.meta.HistMax)
		res.Swept.Rows += rows
	}
	res.Swept.End = !bounded
	return nil
}

const kindHistoryMax kind = 26

// HistoryMax sets how many bytes the history may take, at most [MaxHistory]. If it takes more, the entries that follow drop the
// rest by and by. With 0 there is no history: nothing of it can be read from then on, and if there is a bound again, it begins anew.
type HistoryMax struct {
	Term  api.Term
	Bytes uint64
}

func (HistoryMax) kind() kind           { return kindHistoryMax }
func (c HistoryMax) judgedIn() api.Term { return c.Term }

func (c HistoryMax) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	w.Uint(c.Bytes)
}

func readHistoryMax(r *codec.Reader) HistoryMax { return HistoryMax{api.Term(r.Uint()), r.Uint()} }

func (t *tx) historyMax(c *HistoryMax, _ *Result) *api.Error {
	if c.Bytes > MaxHistory {
		return api.Errorf(api.CodeInvalid, "the history may take at most %d bytes", MaxHistory)
	}
	if c.Bytes == 0 || t.meta.HistMax == 0 {
		t.meta.HistFloor = t.index
	}
	t.meta.HistMax = c.Bytes
	return nil
}

// Position says how far a machine is, and what its history has.
type Position struct {
	// Counter is the index of the newest command. Incarnation is what it counts in: an index of another one means nothing here.
	Counter, Incarnation uint64
	// Floor is the least position from which the history can be read: every visible change above it is there.
	Floor uint64
	// Bytes is what the history takes, and Max what it may take. If Max is 0, there is none.
	Bytes, Max uint64
	// Now is the time of the group, in milliseconds.
	Now uint64
}

// Position returns the machine's present position.
func (m *Machine) Position() Position {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.meta.position()
}

func (m *Meta) position() Position {
	p := Position{Counter: m.Counter, Incarnation: m.Incarnation, Floor: m.HistFloor, Bytes: m.HistBytes, Max: m.HistMax, Now: m.Now}
	if !m.Level.keepsHistory() || m.HistMax == 0 {
		p.Floor = m.Counter
	}
	return p
}

// History is a piece of a machine's history.
type History struct {
	// Events are in order, and of whole commands. They do not share memory with the machine, and must not be changed if they are
	// shared with others.
	Events []Event
	// To is the position behind them: the next piece is that after To. Every visible change above the position that was asked for,
	// and at or below To, is in Events.
	To uint64
	// Position is the machine's at that moment. If its Floor is above the position that was asked for, there are changes that
	// cannot be had, and Events are empty.
	Position Position
}

// History returns what became visible after the index, in pieces of about limit bytes of rows, one row at least. The error is
// CodeInternal if the engine fails.
func (m *Machine) History(after uint64, limit int) (h History, err error) {
	defer rescue(&err)
	m.mu.RLock()
	defer m.mu.RUnlock()
	v := m.begin()
	h.Position = v.meta.position()
	if h.To = after; after < h.Position.Floor && guardHistoryHole || after >= h.Position.Counter {
		return h, nil
	}
	h.To = h.Position.Counter
	lo := bytes.Clone(v.key.history(after + 1))
	size := 0
	v.scan(lo, []byte{tableHistory + 1}, func(k, row []byte) bool {
		if size >= limit && size > 0 {
			h.To = h.Events[len(h.Events)-1].Index
			return false
		}
		size += len(row)
		last := (&codec.Reader{B: k[1:]}).Fixed64()
		events := parse(bytes.Clone(row), func(r *codec.Reader) []Event { return readEvents(last, r) })
		i := slices.IndexFunc(events, func(e Event) bool { return e.Index > after })
		h.Events = append(h.Events, events[i:]...)
		return true
	})
	return h, nil
}
