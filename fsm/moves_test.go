package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestMovesOnce has a range move to and fro between groups whose dedup epochs are far apart and go on at very different
// paces, while requests are sent, their copies come late, at any group, and their clients repeat them. Each request is carried
// out once at most (Once); and a client that repeats one within DedupEpochs of the groups that had its record gets the answer
// that there was.
func TestMovesOnce(t *testing.T) {
	eachSeed(t, func(t *testing.T, r *rand.Rand) {
		m := newMoves(t, r)
		for range 1500 {
			m.step()
			if t.Failed() {
				return
			}
		}
		for what, n := range map[string]int{"moves": m.moves, "late copies": m.late, "repetitions": m.replays, "refused": m.refusals} {
			if n < 20 {
				t.Errorf("only %d %s: the test does not test what it says", n, what)
			}
		}
	})
}

type moves struct {
	*testing.T
	rnd    *rand.Rand
	groups []*rig
	owner  int
	had    [3]bool // the groups that have owned the range: maps name no others
	epoch  uint64  // of the range
	sent   []*sending
	seqs   [2]uint64
	stuck  int // a group without a quorum, most of the time: it begins no epochs

	moves, late, replays, refusals int
}

// sending is one request, with the copies of it that may come at any time.
type sending struct {
	txn      api.Txn
	copies   []ident.DedupEpoch
	first    *api.TxnResult // what the first answer said
	age      Age            // of its record, over all groups that had it
	finished bool           // its client has acknowledged it
}

var movedRange = api.PrefixRange("m/")

func newMoves(t *testing.T, r *rand.Rand) *moves {
	m := &moves{T: t, rnd: r, epoch: 1, had: [3]bool{true}}
	for i := range m.had {
		shards := []Shard{{api.PrefixRange(api.Key(fmt.Sprintf("%d/", i))), 1, 0, 1}}
		if i == 0 {
			shards = append(shards, Shard{movedRange, 1, 0, 1})
		}
		g := group(t, api.GroupID(fmt.Sprintf("g.%d", i+1)), shards...)
		g.advance([]int{0, 100, 40}[i])
		m.groups = append(m.groups, g)
	}
	return m
}

func (m *moves) step() {
	switch n := m.rnd.IntN(100); {
	case n < 30:
		m.send()
	case n < 50:
		m.copyComes()
	case n < 65:
		m.repeat()
	case n < 70:
		m.move(m.rnd.IntN(len(m.groups)))
	case n < 84:
		m.advance(m.rnd.IntN(len(m.groups)), 1)
	case n < 87:
		m.advance(m.rnd.IntN(len(m.groups)), 20)
	case n < 88:
		m.stuck = m.rnd.IntN(len(m.groups))
	case n < 96:
		g := m.groups[m.rnd.IntN(len(m.groups))]
		g.ok(ExpireDedup{g.term, 1 + m.rnd.IntN(100)})
	case n < 98:
		for _, s := range m.sent {
			if s.txn.ID.Seq > 0 && s.first != nil && m.rnd.IntN(3) > 0 {
				s.finished = true
			}
		}
	}
}

func (m *moves) advance(i, n int) {
	if i == m.stuck {
		return
	}
	m.groups[i].advance(n)
	if i == m.owner {
		for _, s := range m.sent {
			s.age += Age(n)
		}
	}
}

// send makes a request. Its gateway sends it to the owner, or to one that its map still names first, and learns of no answer
// until it has sent it to the owner: all of these copies may come again.
func (m *moves) send() {
	s := &sending{txn: api.Txn{Then: []api.Op{{Kind: api.OpAdd, Key: api.Key(fmt.Sprintf("m/%d", m.rnd.IntN(3))), Delta: 1}}}}
	if c := m.rnd.IntN(len(m.seqs) + 1); c < len(m.seqs) {
		m.seqs[c]++
		s.txn.ID = api.RequestID{Client: api.ClientID{byte(c + 1)}, Seq: m.seqs[c], AckedBelow: m.acked(c)}
	} else {
		s.txn.ID.Client = api.ClientID{9, byte(len(m.sent)), byte(len(m.sent) >> 8)}
	}
	m.sent = append(m.sent, s)
	for i, g := range m.groups {
		if m.had[i] && (i == m.owner || m.rnd.IntN(4) == 0) {
			s.copies = append(s.copies, g.epoch())
		}
	}
	if m.rnd.IntN(4) > 0 {
		m.deliver(s, m.groups[m.owner].epoch(), m.owner)
	}
}

// acked is what the client has acknowledged: all below the first that is not finished.
func (m *moves) acked(c int) uint64 {
	below := m.seqs[c]
	for _, s := range m.sent {
		if s.txn.ID.Client[0] == byte(c+1) && !s.finished {
			below = min(below, s.txn.ID.Seq)
		}
	}
	return below
}

// copyComes has a copy arrive, however late, at any group.
func (m *moves) copyComes() {
	if len(m.sent) == 0 {
		return
	}
	s := m.sent[m.rnd.IntN(len(m.sent))]
	if m.rnd.IntN(2) == 0 {
		s = m.sent[len(m.sent)-1-m.rnd.IntN(min(len(m.sent), 20))]
	}
	if s.age > 0 {
		m.late++
	}
	m.deliver(s, s.copies[m.rnd.IntN(len(s.copies))], m.rnd.IntN(len(m.groups)))
}

// repeat has a client that knows no answer yet, or not for sure, ask again, through a gateway that knows the present.
func (m *moves) repeat() {
	alive := slices.DeleteFunc(slices.Clone(m.sent), func(s *sending) bool { return s.first == nil || s.finished || s.age > DedupEpochs })
	if len(alive) == 0 {
		return
	}
	s := alive[m.rnd.IntN(len(alive))]
	if res := m.deliver(s, m.groups[m.owner].epoch(), m.owner); res.Err != nil || !res.Txn.Replayed {
		m.Fatalf("Once: the repetition of a request %d epochs old gave %v, %+v", s.age, res.Err, res.Txn)
	}
	m.replays++
}

func (m *moves) deliver(s *sending, epoch ident.DedupEpoch, i int) Result {
	m.Helper()
	g := m.groups[i]
	w := Write{Term: g.term, Txn: s.txn, Epoch: epoch}
	res := g.apply(w)
	switch {
	case res.Err != nil:
		m.refusals++
	case !res.Txn.Replayed && s.first != nil:
		m.Fatalf("Once: %+v, of %v, was carried out at %v, and again at %s, which counts %d: %d epochs later",
			w.Txn.ID, epoch, s.first.Version, g.m.Meta().Group, g.m.Meta().DedupEpoch, s.age)
	case !res.Txn.Replayed:
		s.first, s.age = res.Txn, 0
	case res.Txn.Version != s.first.Version:
		m.Fatalf("the repetition says %+v, the first answer was %+v", res.Txn, s.first)
	}
	return res
}

// move gives the range to a group, which may be the one that has it.
func (m *moves) move(to int) {
	if to == m.owner {
		return
	}
	from, g := m.groups[m.owner], m.groups[to]
	for i := range 3 {
		from.ok(Write{Term: from.term, Txn: deleteTxn(api.Key(fmt.Sprintf("m/%d", i)))})
	}
	m.epoch++
	receipt := from.ok(Cede{Term: from.term, Range: movedRange, Epoch: m.epoch, To: []api.GroupID{g.m.Meta().Group}}).Receipt
	before := g.m.Meta().DedupEpoch
	g.ok(Adopt{*receipt, Shard{movedRange, m.epoch, 0, 1}})
	for range g.m.Meta().DedupEpoch - before { // it began one
		for _, s := range m.sent {
			s.age++
		}
	}
	m.owner, m.had[to] = to, true
	m.moves++
}
