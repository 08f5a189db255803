package fsm

import (
	"errors"
	"slices"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/engine"
)

// Machine is one replica's copy of a group's state. Only one goroutine at a time may call Apply and Restore. All other methods
// are safe for concurrent use, also beside them, and see either all of an Apply or nothing of it.
//
// A machine whose engine has failed must not be used further. After such a failure it calls the function of [Machine.OnFailure],
// and then Apply, and reads without an error result, panic.
type Machine struct {
	engine engine.Engine
	limits limits
	fail   func(error) // may be nil
	tx     tx          // used by Apply only

	mu     sync.RWMutex // held to change the engine's content, and what follows, together
	meta   Meta
	shards []owned // by start; replaced, never changed
	// known is what reads have cached of clients.
	known map[api.ClientID]known

	reading  sync.Mutex // held while receipts are read; taken after mu
	receipts *receipts  // nil: they are to be read
}

// Open returns the machine whose state the engine holds, or a new one if the engine is empty. The machine does not close e.
func Open(e engine.Engine) (*Machine, error) {
	m := &Machine{engine: e, limits: defaultLimits, known: map[api.ClientID]known{}}
	if err := m.load(); err != nil {
		return nil, err
	}
	return m, nil
}

// OnFailure sets the function that is called, by the goroutine that finds it, if the engine fails or holds an impossible row. The
// machine then has no valid state. It must be set before the machine is first used. f may be called more than once.
func (m *Machine) OnFailure(f func(err error)) { m.fail = f }

// endRead ends a read that holds mu, and reports its failure, if there is one.
func (m *Machine) endRead() {
	m.mu.RUnlock()
	m.report(recover())
}

// report passes a panic on, after it has reported a failure to the owner.
func (m *Machine) report(x any) {
	if f, ok := x.(failure); ok && m.fail != nil {
		m.fail(f)
	}
	if x != nil {
		panic(x)
	}
}

// load reads what a machine keeps in memory. The caller is the only user of the machine or holds mu.
func (m *Machine) load() error {
	meta, shards, err := readHand(m.engine)
	if err == nil {
		m.meta, m.shards = meta, shards
	}
	return err
}

// readHand reads the rows that a machine keeps in memory.
func readHand(from engine.Reader) (meta Meta, shards []owned, err error) {
	defer rescue(&err)
	v := view{from: from}
	meta.Level = Level1
	if row, ok := v.get(v.key.meta()); ok {
		meta = parse(row, readMeta)
	}
	lo, hi := span(tableRange, api.Range{}, false)
	v.scan(lo, hi, func(k, row []byte) bool {
		start := api.Key(k[1:])
		shards = append(shards, parse(row, func(r *codec.Reader) owned { return readOwned(start, r) }))
		return true
	})
	return meta, shards, nil
}

// begin returns a view for a read. The caller must hold at least the read lock of mu until it is done with the view.
func (m *Machine) begin() view {
	return view{from: m.engine, meta: m.meta, shards: m.shards, limits: &m.limits, rules: &rulesOf[m.meta.Level], now: m.meta.Now, known: m.known}
}

// Apply carries out the commands of one log entry of the term, in order. It makes all their changes at once, together with the
// record that the machine has applied the log up to index. It returns one Result for each command. A malformed command results in
// an Err, like every refusal, and that is the same on all replicas.
//
// The error [ErrNewer] means that the entry has a command that only a newer version of this program knows. Then nothing of the
// entry was applied, and no later entry may be: other replicas continue from a state that this one does not have.
func (m *Machine) Apply(index uint64, term api.Term, commands [][]byte) ([]Result, error) {
	defer func() { m.report(recover()) }()
	if guardNewer && slices.ContainsFunc(commands, newer) {
		return nil, ErrNewer
	}
	t := &m.tx
	*t = tx{view: m.begin(), term: term, batch: m.engine.NewBatch(), room: t.room}
	t.from, t.key, t.windows = t.batch, t.room.key, &t.room.windows
	t.meta.Applied = index
	defer t.done()
	results := make([]Result, len(commands))
	for i, b := range commands {
		n := len(t.events)
		t.apply(b, &results[i])
		t.endCommand(n, &results[i])
	}
	t.endHistory()
	t.set(t.key.meta(), t.meta.row())
	m.mu.Lock()
	defer m.mu.Unlock()
	must(t.batch.Commit())
	m.meta, m.shards = t.meta, t.shards
	if t.gave {
		m.forgetReceipts()
	}
	t.windows.publish(m.known)
	return results, nil
}

// apply carries out one command, entirely or not at all.
func (t *tx) apply(b []byte, res *Result) {
	t.meta.Counter++
	t.index, t.across, t.now = t.meta.Counter, [8]byte{}, t.meta.Now
	res.Index = t.index
	r := &t.room.reader
	*r = codec.Reader{B: b, Own: t.meta.Group}
	var info *kindInfo
	t.version, info = head(r)
	if res.Err = malformed(r); res.Err == nil {
		res.Err = info.apply(t, r, res)
	}
}

// ready ends the reading of a command. It refuses a malformed command, and one of a version above the level of the group. Init
// may be of any version: it founds the group at that level.
func (t *tx) ready(k kind, r *codec.Reader) *api.Error {
	if r.End(); r.Fault() != "" {
		return malformed(r)
	}
	if k != kindInit && t.version > t.meta.Level {
		return api.Errorf(api.CodeInvalid, "a command of version %d in a group of level %d", t.version, t.meta.Level)
	}
	t.rules = &rulesOf[t.version]
	return nil
}

// done ends the Apply and drops everything but its reusable memory.
func (t *tx) done() {
	t.batch.Discard()
	t.room.key, t.room.reader, t.room.write = t.key, codec.Reader{}, Write{}
	t.room.evaluation.forget()
	*t = tx{room: t.room}
}

// errNotDurable is the error of a request that needs an engine on disk.
var errNotDurable = errors.New("fsm: the machine's engine keeps nothing on disk")

// durable returns the engine if it is on disk.
func (m *Machine) durable() (engine.Durable, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if d, ok := m.engine.(engine.Durable); ok {
		return d, nil
	}
	return nil, errNotDurable
}

// OnDisk reports whether the state outlives the process.
func (m *Machine) OnDisk() bool {
	_, err := m.durable()
	return err == nil
}

// Applied returns the log's index of the newest entry that the state has. After a restart of a machine on disk it is at least
// that of the last Flush.
func (m *Machine) Applied() uint64 { return m.Meta().Applied }

// Close separates the machine from its engine, which may be closed then. Apply must not be called any more. Later reads find a
// machine that is not founded and owns nothing.
func (m *Machine) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.engine, m.meta, m.shards = engine.NewMemory(), Meta{Level: Level1}, nil
	m.forgetReceipts()
}

// Flush returns when all that had been applied before the call is on disk. It does not block Apply.
func (m *Machine) Flush() error {
	d, err := m.durable()
	if err != nil {
		return err
	}
	return d.Flush()
}

// Checkpoint creates the folder dir with a copy of the state after some Apply, the last before the call or a later one. It takes
// about as long as a Flush, regardless of the size, and does not block Apply.
func (m *Machine) Checkpoint(dir string) error {
	d, err := m.durable()
	if err != nil {
		return err
	}
	return d.Checkpoint(dir)
}

// Adopt replaces the machine's state by that of a checkpoint, which is not changed. If the checkpoint is not that of a machine,
// the state does not change.
func (m *Machine) Adopt(dir string) error {
	d, err := m.durable()
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var meta Meta
	var shards []owned
	err = d.Adopt(dir, func(r engine.Reader) (err error) {
		meta, shards, err = readHand(r)
		return err
	})
	if err != nil {
		return err
	}
	m.meta, m.shards = meta, shards
	m.forgetClients()
	m.forgetReceipts()
	return nil
}
