package fsm

import (
	"slices"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Machine is one replica's copy of a group's state. Apply and Restore belong to one goroutine at a time; everything else is
// safe for concurrent use beside them and sees either all of an Apply or nothing of it.
//
// A machine whose engine fails must not go on: Apply and reads without an error result panic then, after [Machine.OnFailure] has
// been told.
type Machine struct {
	engine engine.Engine
	limits limits
	fail   func(error) // nil: nobody
	tx     tx          // Apply's own

	mu     sync.RWMutex // held to change the engine's content, and what follows, together
	meta   Meta
	shards []owned // by start; replaced, never changed
	// known is what reads know of clients by heart.
	known map[api.ClientID]known
}

// Open returns the machine whose state the engine holds; a new one where it is empty. The machine does not close e.
func Open(e engine.Engine) (*Machine, error) {
	m := &Machine{engine: e, limits: defaultLimits, known: map[api.ClientID]known{}}
	if err := m.load(); err != nil {
		return nil, err
	}
	return m, nil
}

// OnFailure has f called, by the goroutine that meets it, if the engine fails or holds a row that cannot be: the machine has no
// state to go on with. It is set before the machine's first use. f may be called more than once.
func (m *Machine) OnFailure(f func(err error)) { m.fail = f }

// endRead ends a read that holds mu, and reports its failure, if any.
func (m *Machine) endRead() {
	m.mu.RUnlock()
	m.report(recover())
}

// report passes a panic on, and tells the owner of one that is a failure.
func (m *Machine) report(x any) {
	if f, ok := x.(failure); ok && m.fail != nil {
		m.fail(f)
	}
	if x != nil {
		panic(x)
	}
}

// load reads what a machine keeps at hand. The caller is alone or holds mu.
func (m *Machine) load() error {
	meta, shards, err := readHand(m.engine)
	if err == nil {
		m.meta, m.shards = meta, shards
	}
	return err
}

// readHand reads the rows that a machine keeps at hand.
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

// begin returns a view for a read. The caller holds mu at least for reading until it is done with it.
func (m *Machine) begin() view {
	return view{from: m.engine, meta: m.meta, shards: m.shards, limits: &m.limits, rules: &rulesOf[m.meta.Level], known: m.known}
}

// tx is one Apply on its way: a view that sees its own changes.
type tx struct {
	view
	batch engine.Batch
	term  api.Term
	index uint64 // of the present command
	room  room
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

// decode is Decode, but that a Write, as most commands are, takes no memory of its own: it is returned as a pointer, and is
// there until the next.
func (m *room) decode(b []byte, own api.GroupID) (c Command, version Level, err *api.Error) {
	m.reader = codec.Reader{B: b, Own: own}
	r := &m.reader
	version, k := head(r)
	if k == kindWrite {
		m.write = readWrite(r)
		c = &m.write
	} else {
		c = read(k, r)
	}
	return c, version, endOf(r)
}

// done ends the Apply and forgets all but the room.
func (t *tx) done() {
	t.batch.Discard()
	t.room.key, t.room.reader, t.room.write = t.key, codec.Reader{}, Write{}
	t.room.evaluation.forget()
	*t = tx{room: t.room}
}

// Apply carries out the commands of one log entry of the term, in order, and makes all their changes at once, together with
// the note that the machine has applied the log up to index. It returns one Result for each. A malformed command gives a
// Result with Err, like every refusal: the same on all replicas.
//
// [ErrNewer] says that the entry holds a command that only a newer version of this program knows. Then nothing of it was
// applied, and nothing after it may be: other replicas have gone on from a state that this one does not have.
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
		t.apply(b, &results[i])
	}
	t.set(t.key.meta(), t.meta.row())
	m.mu.Lock()
	defer m.mu.Unlock()
	must(t.batch.Commit())
	m.meta, m.shards = t.meta, t.shards
	t.windows.publish(m.known)
	return results, nil
}

func (t *tx) set(k, row []byte) { must(t.batch.Set(k, row)) }
func (t *tx) del(k []byte)      { must(t.batch.Delete(k)) }

// insert sets a row that is certainly not there.
func (t *tx) insert(k, row []byte) { must(t.batch.Insert(k, row)) }

// apply carries out one command, entirely or not at all.
func (t *tx) apply(b []byte, res *Result) {
	t.meta.Counter++
	t.index = t.meta.Counter
	res.Index = t.index
	c, version, err := t.room.decode(b, t.meta.Group)
	if err == nil {
		err = t.allowed(c, version)
	}
	if err != nil {
		res.Err = err
		return
	}
	t.rules = &rulesOf[version]
	if w, ok := c.(*Write); ok {
		res.Err = t.write(w, res)
		return
	}
	if res.Err = t.admit(c); res.Err == nil {
		res.Err = t.run(c, version, res)
	}
}

// admit refuses what a machine that is not founded cannot do, and judgements of another term than the entry's.
func (t *tx) admit(c Command) *api.Error {
	switch c := c.(type) {
	case Init, TermStart:
		return nil
	case Grant:
		return t.judged(c.Term)
	case Suspect:
		return t.judged(c.Term)
	case Unsuspect:
		return t.judged(c.Term)
	case Kill:
		return t.judged(c.Term)
	case TrimTombstones:
		return t.judged(c.Term)
	case AdvanceDedupEpoch:
		return t.judged(c.Term)
	case ExpireDedup:
		return t.judged(c.Term)
	case SetLevel:
		return t.judged(c.Term)
	case Reap:
		return t.judged(c.Term)
	}
	return t.founded()
}

func (t *tx) founded() *api.Error {
	if !t.meta.Initialized {
		return errNotFounded()
	}
	return nil
}

// judged refuses a judgement that was not made in the term of its entry: what its leader knew may be over.
func (t *tx) judged(term api.Term) *api.Error {
	if guardTermFence && term != t.term {
		return api.Errorf(api.CodeNotLeader, "judged in term %d, but applied in term %d", term, t.term)
	}
	return t.founded()
}

func (t *tx) run(c Command, version Level, res *Result) *api.Error {
	switch c := c.(type) {
	case Init:
		return t.init(&c, version)
	case TermStart:
		t.meta.LastTerm = t.term
		res.Effect = Effect{Kind: EffectTermStart, Node: c.Node}
	case Grant:
		return t.grant(&c, res)
	case SessionOpen:
		return t.openSession(&c, res)
	case SessionClose:
		return t.closeSession(&c, res)
	case Suspect:
		return t.suspect(c.Session, true, res)
	case Unsuspect:
		return t.suspect(c.Session, false, res)
	case Kill:
		if err := t.tooMany(c.Sessions); err != nil {
			return err
		}
		t.kill(c.Sessions, nil, res)
	case Release:
		t.drop(c.Leases)
	case Cede:
		return t.cede(&c, res)
	case Adopt:
		return t.adopt(&c)
	case TrimTombstones:
		res.Swept.Rows = t.trim(c.Below, c.Limit)
	case AdvanceDedupEpoch:
		t.meta.DedupEpoch++
		t.meta.returns.tick()
	case ExpireDedup:
		res.Swept = t.expire(c.Limit)
	case Prepare:
		return t.prepare(&c, res)
	case Decide:
		return t.decideCommand(&c, res)
	case Push:
		return t.decide(&c.Txn, 0, &decision{outcome: ident.TxnAborted}, res)
	case CommitLast:
		return t.commitLast(&c, res)
	case Resolve:
		return t.resolve(&c, res)
	case Resolved:
		return t.resolved(&c)
	case Forget:
		return t.forgetCommand(&c)
	case Reap:
		t.reap(&c, res)
	case SetLevel:
		t.meta.Level = max(t.meta.Level, c.Level)
	}
	return nil
}

// init founds the group at the level, once.
func (t *tx) init(c *Init, level Level) *api.Error {
	if t.meta.Initialized {
		return nil
	}
	if c.Group == "" || c.MaxTerm <= 0 {
		return api.Errorf(api.CodeInvalid, "a group needs a name and a greatest lease term")
	}
	shards := slices.SortedFunc(slices.Values(c.Shards), func(a, b Shard) int {
		return compareKeys(a.Range.Start, b.Range.Start)
	})
	for i, s := range shards {
		if err := s.check(); err != nil {
			return err
		}
		if i > 0 && shards[i-1].Range.Overlaps(s.Range) {
			return api.Errorf(api.CodeInvalid, "the ranges %v and %v overlap", shards[i-1].Range, s.Range)
		}
	}
	for _, s := range shards {
		t.own(owned{Shard: s})
	}
	t.meta.Initialized, t.meta.Group, t.meta.Incarnation, t.meta.Level = true, c.Group, c.Incarnation, level
	t.meta.MaxTerm, t.meta.MaxPause, t.meta.DedupEpoch = c.MaxTerm, c.MaxPause, 1
	return nil
}

// Meta is the machine's own row.
func (m *Machine) Meta() Meta {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.meta
}
