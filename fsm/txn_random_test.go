package fsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestTxnRandom applies random commands of all kinds, good and bad, to a machine in memory and one on disk, which restart
// from each other's snapshots: all results are equal, all invariants hold, and at equal indexes hashes are equal.
func TestTxnRandom(t *testing.T) {
	eachSeed(t, func(t *testing.T, r *rand.Rand) {
		p := &txnPair{pair: newPair(t, r)}
		p.onDisk()
		if err := p.disk.Restore(bytes.NewReader(stream(p, p.m))); err != nil {
			t.Fatal(err)
		}
		for range 300 {
			p.round()
		}
		if m := p.m.Meta(); p.committed == 0 || p.aborted == 0 || m.Counter == 0 {
			t.Errorf("the run did nothing: %d commits, %d aborts, %+v", p.committed, p.aborted, m)
		}
	})
}

// txnPair is a machine in memory and one on disk.
type txnPair struct {
	*pair
	disk               *Machine
	refs               []ident.TxnRef
	parts              []Command // Prepares and CommitLasts that were sent
	committed, aborted int
}

func (p *txnPair) onDisk() {
	e, err := engine.OpenPebble(engine.Config{Dir: "state", Disk: engine.NewDisk(), BufferBytes: 64 << 10})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { e.Close() })
	if p.disk, err = Open(e); err != nil {
		p.Fatal(err)
	}
}

func (p *txnPair) round() {
	if p.rnd.IntN(20) == 0 {
		p.term++
	}
	var raw [][]byte
	var cs []Command
	for range 1 + p.rnd.IntN(4) {
		c := p.any()
		cs, raw = append(cs, c), append(raw, p.encode(c))
	}
	index := p.next()
	mem, disk := all(p.m.Apply(index, p.term, raw)), all(p.disk.Apply(index, p.term, raw))
	for i := range mem {
		if !reflect.DeepEqual(mem[i], disk[i]) {
			p.Fatalf("Determinism: %+v gave %+v in memory and %+v on disk", cs[i], mem[i], disk[i])
		}
		if !mem[i].Session.IsZero() {
			p.sids = append(p.sids, mem[i].Session)
		}
		if _, ok := cs[i].(Resolve); ok && mem[i].Err == nil && mem[i].Effect.Resolved != nil {
			if cs[i].(Resolve).Outcome == ident.TxnCommitted {
				p.committed++
			} else {
				p.aborted++
			}
		}
	}
	for _, m := range []*Machine{p.m, p.disk} {
		if err := m.CheckInvariants(); err != nil {
			p.Fatalf("after %+v: %v", cs, err)
		}
	}
	if a, b := p.hash(p.m), p.hash(p.disk); a != b {
		p.Fatalf("Determinism: the hashes differ at index %d", p.m.Meta().Counter)
	}
	switch p.rnd.IntN(30) {
	case 0:
		p.move(p.disk, p.m)
	case 1:
		p.move(p.m, p.disk)
	}
}

func (p *txnPair) move(to, from *Machine) {
	if err := to.Restore(bytes.NewReader(stream(p, from))); err != nil {
		p.Fatal(err)
	}
}

// any is a command of any kind.
func (p *txnPair) any() Command {
	switch n := p.rnd.IntN(100); {
	case n < 25:
		return p.withoutEpochs()
	case n < 50:
		return p.part()
	case n < 55 && len(p.parts) > 0:
		return p.parts[p.rnd.IntN(len(p.parts))]
	case n < 60:
		return Decide{
			Txn: p.ref(), AckedBelow: p.rnd.Uint64N(3), Outcome: p.outcome(), Held: p.rnd.IntN(2) == 0,
			Participants: []api.GroupID{"g.1", "g.3"}[:p.rnd.IntN(3)], Outcomes: make([]Outcome, p.rnd.IntN(3)),
		}
	case n < 65:
		return Push{p.ref()}
	case n < 84:
		if ps := p.m.Prepared(ident.TxnID{}, 100); len(ps) > 0 && p.rnd.IntN(4) > 0 {
			return Resolve{"g.1", ps[p.rnd.IntN(len(ps))].Txn.ID, p.outcome()}
		}
		return Resolve{"g.1", p.ref().ID, p.outcome()}
	case n < 92:
		return Resolved{p.ref().ID, []api.GroupID{"g.1", "g.3"}[p.rnd.IntN(2)]}
	case n < 94:
		return Forget{p.ref().ID.Client, p.rnd.Uint64N(uint64(len(p.refs)) + 2)}
	case n < 97:
		return p.grant()
	}
	return ExpireDedup{p.judge(), p.rnd.IntN(20)}
}

// withoutEpochs is a command that there was before, with fewer epochs, so that records last for a while.
func (p *txnPair) withoutEpochs() Command {
	c := p.command()
	if _, ok := c.(AdvanceDedupEpoch); ok && p.rnd.IntN(4) > 0 {
		return p.write()
	}
	return c
}

func (p *txnPair) outcome() ident.TxnOutcome {
	return ident.TxnCommitted + ident.TxnOutcome(p.rnd.IntN(2))
}

// ref is a new attempt, or one that there was.
func (p *txnPair) ref() ident.TxnRef {
	if n := len(p.refs); n > 0 && p.rnd.IntN(3) > 0 {
		return p.refs[n-1-p.rnd.IntN(min(n, 10))]
	}
	r := ident.TxnRef{Age: p.rnd.Uint64N(9), Anchor: p.key(), ID: ident.TxnID{
		Client: api.ClientID{byte(1 + p.rnd.IntN(4))}, Attempt: 1 + p.rnd.Uint64N(2), Decider: api.GroupID(fmt.Sprintf("g.%d", 1+p.rnd.IntN(2))),
	}}
	if p.rnd.IntN(4) > 0 {
		r.ID.Seq = uint64(len(p.refs)) / 4
	}
	if p.rnd.IntN(2) == 0 {
		r.Epoch = uint64(p.m.Meta().DedupEpoch)
	}
	p.refs = append(p.refs, r)
	return r
}

// part is a Prepare or CommitLast, with what is in its way cleared or not.
func (p *txnPair) part() Command {
	ref, conds, ops := p.ref(), p.conds(), p.timed(p.ops(), p.rnd.IntN(50) > 0)
	now := uint64(0)
	if p.m.Level() >= Level5 {
		now = p.time()
	}
	w := Write{Txn: api.Txn{Then: ops}}
	if p.rnd.IntN(4) > 0 {
		p.clear(&w)
	}
	var claim *Claim
	if p.rnd.IntN(3) == 0 {
		claim = &Claim{Body: [16]byte{byte(ref.ID.Seq)}}
		ref.Epoch = uint64(p.m.Meta().DedupEpoch)
		if rec, ok := p.m.Stored(ref.ID.Client, ref.ID.Seq); ok && rec.Decider != "" && p.rnd.IntN(2) == 0 {
			claim.Body, claim.After = rec.Body, rec.attempt()
		}
	}
	var c Command = Prepare{
		Term: p.judge(), Group: "g.1", Txn: ref, AckedBelow: p.rnd.Uint64N(3), Epoch: ref.Epoch, If: conds, Then: ops, Claim: claim,
		Cleared: w.Cleared, Killed: w.Killed, Now: now,
	}
	if ref.ID.Decider == "g.1" && p.rnd.IntN(3) == 0 {
		c = CommitLast{
			Term: p.judge(), Txn: ref, If: conds, Then: ops, Claim: claim, Participants: []api.GroupID{"g.3"}, Cleared: w.Cleared, Killed: w.Killed,
			Now: now,
		}
	}
	p.parts = append(p.parts, c)
	return c
}

// TestPartIsAWrite: a Prepare that is resolved, a CommitLast and a Write of one branch give the same results, entry by
// entry, and leave the same keys.
func TestPartIsAWrite(t *testing.T) {
	eachSeed(t, func(t *testing.T, r *rand.Rand) {
		p := newPair(t, r)
		ways := []*rig{p.rig, founded(t), founded(t)}
		ways[2].m.meta.Group = "g.2"
		for n := range 300 {
			ops := p.ops()
			tx := ref("c", uint64(n+1), "g.2")
			write := p.apply(Write{Term: p.term, Txn: api.Txn{Then: ops}})
			prepared := ways[1].apply(Prepare{Term: p.term, Group: "g.1", Txn: tx, Then: ops})
			last := ways[2].apply(CommitLast{Term: p.term, Txn: tx, Then: ops})
			if write.Err != nil {
				if prepared.Err == nil || last.Err == nil || *prepared.Err != *write.Err || *last.Err != *write.Err {
					t.Fatalf("%+v: %v, %v and %v", ops, write.Err, prepared.Err, last.Err)
				}
			} else {
				if a, b, c := txnText(write.Txn), txnText(prepared.Txn), txnText(last.Txn); a != b || a != c {
					t.Fatalf("%+v gave\n%s\n%s\n%s", ops, a, b, c)
				}
			}
			// The same number of commands everywhere, so that the versions are equal.
			ways[1].ok(Resolve{"g.1", tx.ID, ident.TxnCommitted})
			p.ok(TermStart{"n"})
			ways[2].ok(TermStart{"n"})
			var text [3]string
			for i, way := range ways {
				es, _, err := way.m.Read(p.keys)
				if err != nil {
					t.Fatal(err)
				}
				text[i] = entriesText(es) + fmt.Sprint(way.m.Meta().Tombstones)
			}
			if text[0] != text[1] || text[0] != text[2] {
				t.Fatalf("%+v left\n%s\n%s\n%s", ops, text[0], text[1], text[2])
			}
		}
	})
}
