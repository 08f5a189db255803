package fsm

import (
	"fmt"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/engine"
)

// view reads the tables in one consistent state. It belongs to one goroutine.
type view struct {
	from   engine.Reader
	meta   Meta
	shards []owned // by start
	limits *limits
	rules  *rules // those of the command that is being applied; in a read those of the group's level
	now    uint64 // the time of the group; of a command, with the one that it states
	key    rowKey
	// Of an Apply, and of a read: what is known of clients without a look.
	windows *windows
	known   map[api.ClientID]known
}

// tx is one Apply on its way: a view that sees its own changes.
type tx struct {
	view
	batch engine.Batch
	term  api.Term
	// Of the present command:
	index   uint64
	version Level
	room    room
	// across is what the events of the present command say of the transaction across groups that it belongs to.
	across [8]byte
	// events are what became visible, by the whole entry. Those before eventsWritten have a row in the history, the rest takes up
	// to eventBytes there.
	events                    []Event
	eventsWritten, eventBytes int
	// gave means that the entry changed tableMoved.
	gave bool
}

// room is memory that each Apply uses again.
type room struct {
	key        rowKey
	outcomes   []Outcome
	windows    windows
	reader     codec.Reader
	write      Write
	evaluation evaluation
}

// Meta is the machine's own row: its group, how far it is, and what it counts.
type Meta struct {
	Initialized bool
	Group       api.GroupID
	// Level is what the group's members have agreed to write; [Level1] before it is founded.
	Level       Level
	Incarnation uint64
	// Counter is the index of the newest command.
	Counter  uint64
	LastTerm api.Term
	// Applied is the log's index of the newest entry: up to there the log has nothing new for this state.
	Applied uint64
	// DedupEpoch is the present epoch of at-most-once records.
	DedupEpoch        Epoch
	MaxTerm, MaxPause time.Duration
	// Keys, Tombstones, Sessions, Leases and Records (of at-most-once results) are how many there are.
	Keys, Tombstones, Sessions, Leases, Records int
	// Intents are keys that transactions have locked. Prepared and Finished are transactions in their role of participant:
	// those whose intents these are, and those that are remembered. Decisions are what the group has decided, Unresolved
	// how many of them wait for participants.
	Intents, Prepared, Finished, Decisions, Unresolved int
	// Void are leases of sessions that have ended and are not cleared away yet, Ended these sessions.
	Ended, Void int
	// Of a group that keeps a history: HistFirst is an index at or below that of its first row, HistBytes what its rows take,
	// HistMax what they may take. Every change above HistFloor is in it.
	HistFirst, HistBytes, HistMax, HistFloor uint64
	// Now is the time of the group, in milliseconds since it began to count. Deadlines is how many keys have one.
	Now       uint64
	Deadlines int

	sweep []byte // where the next ExpireDedup continues
	// returns are the dedup epochs of the last day that began because a range came back.
	returns returns
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
		m.putLater(&w)
	}
	return w.B
}

// putLater writes what the levels above the first two have added.
func (m *Meta) putLater(w *codec.Writer) {
	if m.Level >= Level4 {
		w.Bool(m.returns != (returns{}))
	}
	if m.returns != (returns{}) {
		m.returns.put(w)
	}
	if m.Level >= Level4 {
		w.Uint(m.HistFirst)
		w.Uint(m.HistBytes)
		w.Uint(m.HistMax)
		w.Uint(m.HistFloor)
	}
	if m.Level >= Level5 {
		w.Uint(m.Now)
		w.Uint(uint64(m.Deadlines))
	}
}

// readLater reads what putLater writes.
func (m *Meta) readLater(r *codec.Reader) {
	if m.Level >= Level4 && r.Bool() || m.Level < Level4 && len(r.B) > 0 {
		m.returns = readReturns(r)
	}
	if m.Level >= Level4 {
		m.HistFirst, m.HistBytes, m.HistMax, m.HistFloor = r.Uint(), r.Uint(), r.Uint(), r.Uint()
	}
	if m.Level >= Level5 {
		m.Now, m.Deadlines = readTime(r), r.Count()
	}
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
		m.readLater(r)
	}
	return m
}

// Meta is the machine's own row.
func (m *Machine) Meta() Meta {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.meta
}

// failure is an engine that failed or an impossible row: the machine has no valid state. It is passed up as a panic to the point
// that can return it as an error.
type failure struct{ err error }

func (f failure) Error() string { return "fsm: the engine failed: " + f.err.Error() }
func (f failure) Unwrap() error { return f.err }

// EndsProcess marks a panic that must not be caught like that of one request.
func (failure) EndsProcess() {}

func must(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// rescue turns a failure into an error of a read.
func rescue(err *error) {
	switch x := recover().(type) {
	case nil:
	case failure:
		*err = &api.Error{Code: api.CodeInternal, Hint: "the storage engine failed", Err: x.err}
	default:
		panic(x)
	}
}

func (v *view) get(key []byte) ([]byte, bool) {
	row, ok, err := v.from.Get(key)
	must(err)
	return row, ok
}

func (v *view) scan(lo, hi []byte, visit func(k, row []byte) bool) {
	must(v.from.Scan(lo, hi, false, visit))
}

// parse reads a whole row. Readers are strict: what is in one is its only encoding.
func parse[T any](row []byte, read func(*codec.Reader) T) T {
	x, err := tryParse(row, read)
	must(err)
	return x
}

func tryParse[T any](row []byte, read func(*codec.Reader) T) (T, error) {
	r := codec.Reader{B: row}
	x := read(&r)
	if r.End(); r.Fault() != "" {
		return x, fmt.Errorf("a row that cannot be: %s", r.Fault())
	}
	return x, nil
}

func (t *tx) set(k, row []byte) { must(t.batch.Set(k, row)) }
func (t *tx) del(k []byte)      { must(t.batch.Delete(k)) }

// insert sets a row that is certainly not there.
func (t *tx) insert(k, row []byte) { must(t.batch.Insert(k, row)) }
