package fsm

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

var (
	seed  = flag.Uint64("seed", 0, "run only this seed of the random tests")
	seeds = flag.Uint64("seeds", 10, "how many seeds the random tests run")
)

func eachSeed(t *testing.T, run func(t *testing.T, r *rand.Rand)) {
	from, to := uint64(1), *seeds
	if testing.Short() {
		to = 1
	}
	if *seed != 0 {
		from, to = *seed, *seed
	}
	for n := from; n <= to; n++ {
		t.Run(fmt.Sprintf("seed=%d", n), func(t *testing.T) { run(t, rand.New(rand.NewPCG(n, 0))) })
	}
}

// TestRandom applies random commands to three replicas. One packs them differently, so that only its history has other rows, and
// restarts from snapshots. After every Apply all invariants hold, and all results, reads and histories are what the oracle says; at
// equal indexes the states are equal.
func TestRandom(t *testing.T) {
	const rounds = 250
	eachSeed(t, func(t *testing.T, r *rand.Rand) {
		p := newPair(t, r)
		for range rounds {
			p.round()
			if t.Failed() {
				return
			}
		}
	})
}

// pair is two replicas of one log and the oracle beside them.
type pair struct {
	*rig
	rnd    *rand.Rand
	oracle *oracle
	other  *Machine // applies each command in an entry of its own
	twin   *Machine // applies what the first does
	keys   []api.Key
	sids   []ident.SessionID // some of them dead
	seqs   [3]uint64         // of the clients
	sent   []Write           // with an id
	clock  uint64            // of the leaders; now and then one lags
}

// newPair founds a group at any level. One of an old level is raised at some time, with all that it has by then.
func newPair(t *testing.T, r *rand.Rand) *pair {
	level := Level1 + Level(r.IntN(int(NewestLevel)))
	at := func() *rig { return groupAt(t, level, "g.1", Shard{Epoch: 1, Of: 1}) }
	p := &pair{rig: at(), rnd: r, oracle: newOracle(), other: at().m, twin: at().m}
	p.oracle.index, p.oracle.level = 1, level
	for i := range 12 {
		p.keys = append(p.keys, api.Key(fmt.Sprintf("k/%d", i)))
	}
	return p
}

// round applies some commands in one entry, at the other replica each alone.
func (p *pair) round() {
	if p.rnd.IntN(20) == 0 {
		p.term++
	}
	var cs []Command
	var raw [][]byte
	p.oracle.version = p.m.Level()
	for range 1 + p.rnd.IntN(6) {
		c := p.command()
		cs, raw = append(cs, c), append(raw, p.encode(c))
	}
	index := p.next()
	results := all(p.m.Apply(index, p.term, raw))
	all(p.twin.Apply(index, p.term, raw))
	if err := p.m.CheckInvariants(); err != nil {
		p.Fatalf("after %+v: %v", cs, err)
	}
	for i, c := range cs {
		p.preview(c, results[i])
		alone := all(p.other.Apply(index, p.term, raw[i:i+1]))
		if _, trims := c.(TrimHistory); trims {
			alone[0].Swept = results[i].Swept // the rows are others
		}
		if !reflect.DeepEqual(alone[0], results[i]) {
			p.Fatalf("Determinism: %+v gave %+v, and at another replica %+v", c, results[i], alone[0])
		}
		if err := p.oracle.compare(p, results[i], p.oracle.step(p.term, c)); err != nil {
			p.Fatalf("term %d: %+v: %v", p.term, c, err)
		}
		if !results[i].Session.IsZero() {
			p.sids = append(p.sids, results[i].Session)
		}
	}
	if err := p.oracle.state(p.m, p.keys); err != nil {
		p.Fatalf("after %+v: %v", cs, err)
	}
	for _, m := range []*Machine{p.m, p.other} {
		if err := p.oracle.historyOf(m); err != nil {
			p.Fatalf("after %+v: %v", cs, err)
		}
	}
	p.restart()
	if a, b := p.hash(p.m), p.hash(p.twin); a != b {
		p.Fatalf("Determinism: the hashes differ at index %d", p.m.Meta().Counter)
	}
	if a, b := withoutHistory(p, p.m), withoutHistory(p, p.other); !slices.Equal(a, b) {
		p.Fatalf("Determinism: the rows differ at index %d", p.m.Meta().Counter)
	}
}

// preview requires that the preview agrees with the result of the write, if its term was right.
func (p *pair) preview(c Command, res Result) {
	p.Helper()
	w, ok := c.(Write)
	if !ok || res.Err != nil && res.Err.Code == api.CodeNotLeader {
		return
	}
	foreseen := p.other.Preview(&w.Txn, w.Epoch)
	switch {
	case foreseen.Replay != nil:
		ok = res.Txn != nil && res.Txn.Replayed && txnText(res.Txn) == txnText(foreseen.Replay)
	case foreseen.Err != nil:
		ok = res.Err != nil && res.Err.Code == foreseen.Err.Code
	case res.Err != nil:
		ok = res.Err.Code == RetryLeases && len(foreseen.Holders) >= len(res.Holders)
	default:
		gone := newClearance(w.Cleared, w.Killed)
		for _, h := range foreseen.Holders {
			ok = ok && gone.covers(h.Key, lease{h.Session, h.Lease})
		}
		ok = ok && foreseen.Committed == res.Txn.Committed && !res.Txn.Replayed
	}
	if !ok {
		p.Fatalf("the preview of %+v is %+v, and it gave %s", c, foreseen, resultText(res))
	}
}

func (p *pair) hash(m *Machine) [32]byte {
	p.Helper()
	h, err := m.Hash()
	if err != nil {
		p.Fatal(err)
	}
	return h
}

// withoutHistory returns the machine's rows, without what depends on how commands are packed into entries.
func withoutHistory(t testing.TB, m *Machine) (rows []string) {
	t.Helper()
	err := m.engine.Scan(nil, nil, false, func(k, v []byte) bool {
		switch k[0] {
		case tableHistory:
		case tableMeta:
			meta := m.Meta()
			meta.HistFirst, meta.HistBytes, meta.HistFloor = 0, 0, 0
			rows = append(rows, string(meta.row()))
		default:
			rows = append(rows, string(k)+"\x00"+string(v))
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// restart sometimes replaces the other replica by a new one, from a snapshot of either.
func (p *pair) restart() {
	if p.rnd.IntN(15) != 0 {
		return
	}
	p.other = p.again(p.other, []*Machine{p.m, p.other}[p.rnd.IntN(2)])
	p.twin = p.again(p.twin, []*Machine{p.m, p.twin}[p.rnd.IntN(2)])
}

// again returns a machine with the state of from: the one that is there, or a new one.
func (p *pair) again(to, from *Machine) *Machine {
	p.Helper()
	if p.rnd.IntN(2) == 0 {
		to = newMachine(p)
	}
	if err := to.Restore(bytes.NewReader(stream(p, from))); err != nil {
		p.Fatal(err)
	}
	if p.rnd.IntN(2) == 0 {
		return to
	}
	m, err := Open(to.engine) // the process restarts, the engine's content is still there
	if err != nil {
		p.Fatal(err)
	}
	return m
}

// stream is a machine's snapshot as bytes.
func stream(t testing.TB, m *Machine) []byte {
	t.Helper()
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var b bytes.Buffer
	if n, err := s.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func (p *pair) key() api.Key { return p.keys[p.rnd.IntN(len(p.keys))] }

func (p *pair) judge() api.Term {
	if p.rnd.IntN(10) == 0 {
		return p.term - 1 + api.Term(2*p.rnd.IntN(2))
	}
	return p.term
}

func (p *pair) session() ident.SessionID {
	if len(p.sids) == 0 || p.rnd.IntN(20) == 0 {
		return ident.SessionID{Incarnation: 7, Index: 1 + p.rnd.Uint64N(50)}
	}
	return p.sids[len(p.sids)-1-p.rnd.IntN(min(len(p.sids), 5))]
}

func (p *pair) command() Command {
	if level := p.m.Level(); level < NewestLevel && p.rnd.IntN(150) == 0 {
		return SetLevel{p.term, level + 1 + Level(p.rnd.IntN(int(NewestLevel-level)))}
	}
	if p.m.Level().keepsHistory() && p.rnd.IntN(30) == 0 {
		return p.trimming()
	}
	switch n := p.rnd.IntN(100); {
	case n < 44:
		return p.write()
	case n < 66:
		return p.grant()
	case n < 72:
		node := api.NodeID(fmt.Sprintf("n%d", p.rnd.IntN(3)))
		return SessionOpen{Node: node, Nonce: nonce(string(node)), T: time.Second}
	case n < 74:
		return SessionClose{p.session(), nonce(fmt.Sprintf("n%d", p.rnd.IntN(3)))}
	case n < 77:
		return Suspect{p.judge(), p.session()}
	case n < 81:
		return Unsuspect{p.judge(), p.session()}
	case n < 83:
		return Kill{p.judge(), []ident.SessionID{p.session(), p.session()}}
	case n < 87:
		return Release{p.dropped()}
	case n < 89:
		return TrimTombstones{p.judge(), p.m.Meta().Counter - min(p.m.Meta().Counter, p.rnd.Uint64N(30)), 0}
	case n < 94:
		return AdvanceDedupEpoch{p.judge()}
	case n < 96:
		return Reap{p.judge(), 1 + p.rnd.IntN(3)}
	case n < 99 && p.m.Level() >= Level5:
		if p.rnd.IntN(3) == 0 {
			return Tick{p.judge(), p.time()}
		}
		return p.lapse()
	}
	return ExpireDedup{p.judge(), 0}
}

// trimming is a command that trims the history, or says how large it may be.
func (p *pair) trimming() Command {
	pos := p.m.Position()
	if p.rnd.IntN(2) == 0 {
		return TrimHistory{p.judge(), pos.Counter - min(pos.Counter, p.rnd.Uint64N(60)), 1 + p.rnd.IntN(10)}
	}
	return HistoryMax{p.judge(), [...]uint64{0, 100, 2000, 2000, 5000, DefaultHistory}[p.rnd.IntN(6)]}
}

// time is what a leader says. It may be behind what the group has seen.
func (p *pair) time() uint64 {
	p.clock += p.rnd.Uint64N(100)
	return p.clock - min(p.clock, p.rnd.Uint64N(50))
}

// lapse names keys that are due, or nearly, at their versions or at others, with what is in their way cleared or not.
func (p *pair) lapse() Command {
	c := Expire{Term: p.judge(), Now: p.time()}
	var w Write
	for _, d := range p.m.Due(c.Now+p.rnd.Uint64N(100), 10) {
		if p.rnd.IntN(6) == 0 {
			d.Version.Index -= p.rnd.Uint64N(2)
		}
		c.Keys = append(c.Keys, KeyVersion{d.Key, d.Version})
		w.Txn.Then = append(w.Txn.Then, api.Op{Kind: api.OpDelete, Key: d.Key})
	}
	if p.rnd.IntN(3) == 0 {
		k := p.known(p.key())
		c.Keys = append(c.Keys, KeyVersion{k.Key, k.Version})
	}
	if p.rnd.IntN(2) == 0 {
		p.clear(&w)
	}
	c.Cleared, c.Killed = w.Cleared, w.Killed
	return c
}

// timed gives steps times to live, and adds touches and lists, if the group is at a level for that.
func (p *pair) timed(ops []api.Op, across bool) []api.Op {
	if p.m.Level() < Level5 {
		return ops
	}
	ttl := func() time.Duration { return api.MinTTL + time.Duration(p.rnd.IntN(400))*time.Millisecond }
	for i := range ops {
		if o := &ops[i]; (o.Kind == api.OpPut || o.Kind == api.OpAppendIfAbsent) && p.rnd.IntN(2) == 0 {
			o.TTL = ttl()
		}
	}
	if p.m.Level() >= Level6 {
		ops = p.functions(ops, ttl)
	}
	if !across && p.rnd.IntN(4) == 0 {
		ops = slices.Insert(ops, p.rnd.IntN(len(ops)+1), api.Op{Kind: api.OpTouch, Key: p.key(), TTL: ttl()})
	}
	if !across && p.rnd.IntN(6) == 0 {
		list := api.Op{Kind: api.OpList, Key: p.key()[:2+p.rnd.IntN(2)], Limit: 1 + p.rnd.IntN(12)}
		ops = slices.Insert(ops, p.rnd.IntN(len(ops)+1), list)
	}
	return ops
}

// functions adds the functions of bytes, and has steps keep deadlines. Some folds follow a put of an integer of 8 bytes, others meet
// what is there.
func (p *pair) functions(ops []api.Op, ttl func() time.Duration) []api.Op {
	for i := range ops {
		if o := &ops[i]; o.Kind == api.OpPut && o.TTL == 0 {
			o.KeepTTL = p.rnd.IntN(2) == 0
		}
	}
	number := func() []byte { return fmt.Appendf(nil, "%08d", p.rnd.IntN(1000)*99_991) }
	life := func(o api.Op) api.Op {
		switch p.rnd.IntN(3) {
		case 0:
			o.TTL = ttl()
		case 1:
			o.KeepTTL = true
		}
		return o
	}
	if p.rnd.IntN(4) == 0 {
		ops = append(ops, life(api.Op{Kind: api.OpAppend, Key: p.key(), Value: fmt.Appendf(nil, "%d", p.rnd.IntN(20))}))
	}
	if p.rnd.IntN(4) == 0 {
		k := p.key()
		if p.rnd.IntN(8) > 0 {
			ops = append(ops, life(api.Op{Kind: api.OpPut, Key: k, Value: number()}))
		}
		for range 1 + p.rnd.IntN(2) {
			ops = append(ops, life(api.Op{Kind: api.OpSum64 + api.OpKind(p.rnd.IntN(3)), Key: k, Value: number()}))
		}
	}
	return ops
}

// dropped names leases as they are, or a little older or newer.
func (p *pair) dropped() (ls []ident.DroppedLease) {
	for _, h := range p.m.HoldersIn(api.Range{}, 100) {
		if p.rnd.IntN(3) == 0 {
			lid := h.Lease + ident.LeaseID(p.rnd.IntN(3)) - 1
			ls = append(ls, ident.DroppedLease{Session: h.Session, Key: h.Key, Lease: lid})
		}
	}
	return ls
}

func (p *pair) grant() Command {
	c := Grant{Term: p.judge()}
	for range 1 + p.rnd.IntN(2) {
		item := GrantItem{Session: p.session()}
		for range 1 + p.rnd.IntN(4) {
			item.Keys = append(item.Keys, p.key())
		}
		c.Items = append(c.Items, item)
	}
	return c
}

// write is a new transaction, or one that was sent before.
func (p *pair) write() Command {
	if len(p.sent) > 0 && p.rnd.IntN(8) == 0 {
		w := p.sent[p.rnd.IntN(len(p.sent))]
		w.Term = p.judge()
		if p.rnd.IntN(4) == 0 {
			w.Txn.Then = p.ops()
		}
		return w
	}
	w := Write{Term: p.judge(), Txn: api.Txn{If: p.conds(), Then: p.timed(p.ops(), false)}}
	if p.rnd.IntN(2) == 0 {
		w.Txn.Else = p.timed(p.ops(), false)
	}
	if p.m.Level() >= Level5 && p.rnd.IntN(2) == 0 {
		w.Now = p.time()
	}
	if p.rnd.IntN(3) > 0 {
		p.clear(&w)
	}
	if p.rnd.IntN(2) == 0 {
		w.Txn.ID, w.Epoch = p.id()
		p.sent = append(p.sent, w)
	}
	return w
}

// clear names what is in the way, all of it or not, sometimes by death.
func (p *pair) clear(w *Write) {
	for _, h := range p.m.Holders(w.Txn.WrittenKeys()) {
		switch n := p.rnd.IntN(12); {
		case n < 9:
			w.Cleared = append(w.Cleared, ident.DroppedLease{Session: h.Session, Key: h.Key, Lease: h.Lease})
		case n < 11:
			w.Killed = append(w.Killed, h.Session)
		}
	}
}

func (p *pair) id() (id api.RequestID, epoch ident.DedupEpoch) {
	c := p.rnd.IntN(len(p.seqs) + 1)
	id = api.RequestID{Client: api.ClientID{byte(c + 1)}}
	if p.rnd.IntN(3) > 0 {
		epoch = p.epoch()
	}
	if c == len(p.seqs) {
		id.Client[1] = byte(p.rnd.IntN(200)) // an opaque key
		return id, epoch
	}
	p.seqs[c]++
	id.Seq = p.seqs[c]
	id.AckedBelow = id.Seq - min(id.Seq, p.rnd.Uint64N(6))
	return id, epoch
}

// known returns what the key holds, as far as that can be known.
func (p *pair) known(k api.Key) api.Entry {
	es, _, err := p.m.Read([]api.Key{k})
	if err != nil {
		return api.Entry{Key: k}
	}
	return es[0]
}

func (p *pair) conds() (cs []api.Cond) {
	for range p.rnd.IntN(3) {
		c := api.Cond{Kind: api.CondKind(1 + p.rnd.IntN(4)), Key: p.key()}
		e := p.known(c.Key)
		switch {
		case c.Kind == api.CondVersion:
			c.Version = e.Version
		case c.Kind == api.CondValue && e.Exists:
			c.Value = e.Value
		}
		cs = append(cs, c)
	}
	return cs
}

// ops are some steps, now and then two on one key. Half of the values are numbers.
func (p *pair) ops() (ops []api.Op) {
	for range 1 + p.rnd.IntN(4) {
		o := api.Op{Kind: api.OpKind(1 + p.rnd.IntN(5)), Key: p.key()}
		switch o.Kind {
		case api.OpPut:
			o.Value = fmt.Appendf(nil, "%s%d", []string{"v", ""}[p.rnd.IntN(2)], p.rnd.IntN(1000))
		case api.OpAdd:
			o.Delta = p.rnd.Int64N(9) - 4
		case api.OpAppendIfAbsent:
			o.Value = fmt.Appendf(nil, "%d", p.rnd.IntN(20))
		}
		ops = append(ops, o)
	}
	return ops
}
