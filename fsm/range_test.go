package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// group is a machine of that name.
func group(t testing.TB, name api.GroupID, shards ...Shard) *rig {
	t.Helper()
	return groupAt(t, NewestLevel, name, shards...)
}

// groupAt is a group that was founded at the level.
func groupAt(t testing.TB, level Level, name api.GroupID, shards ...Shard) *rig {
	t.Helper()
	r := &rig{TB: t, m: newMachine(t), term: 1, level: level}
	r.ok(Init{Group: name, Incarnation: 7, Shards: shards, MaxTerm: time.Minute, MaxPause: time.Second})
	return r
}

// TestCedeRefused: what is not empty, not owned, or leased is not given up.
func TestCedeRefused(t *testing.T) {
	r := group(t, "g.1", Shard{api.Range{End: "m"}, 3, 0, 1}, Shard{api.Range{Start: "m"}, 4, 1, 2})
	sid := r.open("n")
	r.put("k/1", "v")
	r.grant(sid, "l/1")
	cede := func(lo, hi api.Key, epoch uint64, to ...api.GroupID) Cede {
		return Cede{Term: r.term, Range: api.Range{Start: lo, End: hi}, Epoch: epoch, To: to}
	}
	r.refused(cede("k", "l", 5, "g.2"), api.CodeConflict)
	r.refused(cede("l", "m", 3, "g.2"), api.CodeConflict)
	r.refused(cede("l", "l", 5, "g.2"), api.CodeInvalid)
	r.refused(cede("k/2", "l", 5), api.CodeInvalid)
	r.refused(cede("k/2", "l", 5, "g.2", "g.1"), api.CodeInvalid)
	r.refused(cede("k/2", "n", 5, "g.2"), api.CodeWrongGroup)
	r.refused(cede("k/2", "", 5, "g.2"), api.CodeWrongGroup)
	if res := r.refused(cede("l", "m", 5, "g.2"), RetryLeases); len(res.Holders) != 1 || res.Holders[0].Session != sid {
		t.Errorf("holders %+v", res.Holders)
	}
	r.m.limits.receiptRecords = 1
	for i := range 2 {
		txn := deleteTxn(api.Key(fmt.Sprint("a/", i)))
		txn.ID = api.RequestID{Client: api.ClientID{byte(i)}, Seq: 1}
		txn.ID.Client[15] = 1
		r.ok(Write{Term: r.term, Txn: txn})
	}
	r.refused(cede("a", "b", 5, "g.2"), api.CodeUnavailable)
	r.ok(cede("a/1", "b", 5, "g.2"))
}

// TestMove checks that an emptied range moves to another group with its records, and has no owner in between.
func TestMove(t *testing.T) {
	a, b := group(t, "g.1", Shard{api.Range{}, 1, 0, 1}), group(t, "g.2")
	txn := putTxn("k/1", "v")
	txn.ID = api.RequestID{Client: api.ClientID{1}, Seq: 5, AckedBelow: 4}
	put := Write{Term: 1, Txn: txn, Epoch: inGroup("g.1", 1)}
	first := a.ok(put).Txn
	for range 5 {
		a.ok(AdvanceDedupEpoch{1})
	}
	a.ok(Write{Term: 1, Txn: deleteTxn("k/1")})
	gone := a.read("k/1").Version
	r := api.PrefixRange("k/")
	receipt := a.ok(Cede{Term: 1, Range: r, Epoch: 2, To: []api.GroupID{"g.2"}}).Receipt
	if again := a.ok(Cede{Term: 0, Range: r, Epoch: 2, To: []api.GroupID{"g.2"}}).Receipt; receiptText(again) != receiptText(receipt) {
		t.Errorf("the same cede gave %s, then %s", receiptText(receipt), receiptText(again))
	}
	a.refused(put, api.CodeWrongGroup)
	a.refused(Write{Term: 1, Txn: putTxn("k/2", "v")}, api.CodeWrongGroup)
	b.refused(put, api.CodeWrongGroup)
	if err := a.m.Owns([]api.Key{"a", "k/1"}); api.CodeOf(err) != api.CodeWrongGroup {
		t.Errorf("the ceding group says %v of the key", err)
	}
	for i, bad := range []Adopt{
		{*receipt, Shard{api.PrefixRange("k"), 2, 0, 1}}, {*receipt, Shard{r, 3, 0, 1}}, {*receipt, Shard{r, 2, 1, 1}},
		{Receipt{Range: r, Epoch: 2, To: receipt.To}, Shard{r, 2, 0, 1}},
		{Receipt{Range: r, Epoch: 2, To: receipt.To, From: []Source{{"g.1", 0, 2}}}, Shard{r, 2, 0, 1}},
		{Receipt{Range: r, Epoch: 2, To: []api.GroupID{"g.3"}, From: receipt.From}, Shard{r, 2, 0, 1}},
	} {
		if res := b.refused(bad, api.CodeInvalid); res.Index == 0 {
			t.Error(i)
		}
	}
	adopt := Adopt{*receipt, Shard{r, 2, 0, 1}}
	b.ok(adopt)
	b.ok(adopt)
	if e := b.read("k/1"); e.Exists || e.Version.Compare(gone) <= 0 {
		t.Errorf("at the new owner the key is %+v, at the old one it was absent at %v", e, gone)
	}
	if res := b.ok(put).Txn; !res.Replayed || res.Entries[0].Version != first.Entries[0].Version {
		t.Errorf("the retry at the new owner gave %+v, the first attempt %+v", res, first)
	}
	late := putTxn("k/1", "late")
	late.ID = api.RequestID{Client: api.ClientID{1}, Seq: 3}
	b.refused(Write{Term: 1, Txn: late, Epoch: inGroup("g.1", 1)}, api.CodeConflict)
	if m := b.m.Meta(); m.DedupEpoch != 1 || m.Records != 1 {
		t.Errorf("the new owner is %+v", m)
	}
	b.put("k/1", "new")
	b.refused(Cede{Term: 1, Range: r, Epoch: 3, To: []api.GroupID{"g.1"}}, api.CodeConflict)
	b.ok(Write{Term: 1, Txn: deleteTxn("k/1")})
	back := b.ok(Cede{Term: 1, Range: r, Epoch: 3, To: []api.GroupID{"g.1"}}).Receipt
	b.refused(adopt, api.CodeConflict) // a delayed one would revive the old owner
	a.ok(Adopt{*back, Shard{r, 3, 0, 1}})
	if res := a.ok(put).Txn; !res.Replayed {
		t.Errorf("the record did not come back: %+v", res)
	}
}

// TestLateCopyAfterAMove checks that a request that its client has acknowledged is refused at the new owner too, even if no
// record of the client was left in the range.
func TestLateCopyAfterAMove(t *testing.T) {
	a, b := group(t, "g.1", Shard{api.Range{}, 1, 0, 1}), group(t, "g.2")
	send := func(seq, ackedBelow uint64, txn api.Txn) Write {
		txn.ID = api.RequestID{Client: api.ClientID{1}, Seq: seq, AckedBelow: ackedBelow}
		return Write{Term: 1, Txn: txn}
	}
	first := send(1, 1, putTxn("x/k", "v"))
	a.ok(first)
	a.ok(send(2, 1, deleteTxn("x/k")))
	a.ok(send(3, 3, putTxn("elsewhere", "v")))
	r := api.PrefixRange("x/")
	receipt := a.ok(Cede{Term: 1, Range: r, Epoch: 2, To: []api.GroupID{"g.2"}}).Receipt
	if len(receipt.Records) != 0 || len(receipt.Clients) != 1 {
		t.Errorf("the receipt is %s", receiptText(receipt))
	}
	b.ok(Adopt{*receipt, Shard{r, 2, 0, 1}})
	b.refused(first, api.CodeConflict)
	if e := b.read("x/k"); e.Exists {
		t.Errorf("a late copy was executed: %+v", e)
	}
	b.ok(send(4, 3, putTxn("x/k", "w")))
}

// TestManyClientsDoNotMove: what one message may carry bounds what a receipt does.
func TestManyClientsDoNotMove(t *testing.T) {
	a := group(t, "g.1", Shard{api.Range{}, 1, 0, 1})
	a.m.limits.receiptClients = 1
	cede := Cede{Term: 1, Range: api.PrefixRange("x/"), Epoch: 2, To: []api.GroupID{"g.2"}}
	for i := range 2 {
		txn := putTxn("elsewhere", "v")
		txn.ID = api.RequestID{Client: api.ClientID{byte(i + 1)}, Seq: 7, AckedBelow: 7}
		a.ok(Write{Term: 1, Txn: txn})
	}
	a.refused(cede, api.CodeUnavailable)
	a.m.limits.receiptClients = 2
	a.ok(cede)
}

// TestMoveOfShards: a range of several owners is adopted with all their receipts, by each taker its own keys.
func TestMoveOfShards(t *testing.T) {
	var from, to []*rig
	r := api.PrefixRange("k/")
	takers := []api.GroupID{"h.0", "h.1", "h.2"}
	var puts []Write
	for i := range uint32(2) {
		g := group(t, api.GroupID(fmt.Sprint("g.", i)), Shard{api.Range{}, 1, i, 2})
		for n := range 40 {
			k := api.Key(fmt.Sprintf("k/%d", n))
			if ident.ShardOf(k, 2) != i {
				g.refused(Write{Term: 1, Txn: deleteTxn(k)}, api.CodeWrongGroup)
				continue
			}
			w := Write{Term: 1, Txn: deleteTxn(k)}
			w.Txn.ID = api.RequestID{Client: api.ClientID{byte(n % 5), 1}, Seq: uint64(n)}
			g.ok(w)
			puts = append(puts, w)
		}
		from = append(from, g)
	}
	var joined *Receipt
	for _, g := range from {
		part := g.ok(Cede{Term: 1, Range: r, Epoch: 2, To: takers}).Receipt
		if joined == nil {
			joined = part
			continue
		}
		var err error
		if joined, err = part.Join(joined); err != nil {
			t.Fatal(err)
		}
	}
	again, err := joined.Join(joined)
	if err != nil || receiptText(again) != receiptText(joined) {
		t.Errorf("joined with itself it is %s (%v), want %s", receiptText(again), err, receiptText(joined))
	}
	for i := range uint32(3) {
		g := group(t, takers[i])
		g.ok(Adopt{*joined, Shard{r, 2, i, 3}})
		to = append(to, g)
	}
	for _, w := range puts {
		replays := 0
		for _, g := range to {
			res := g.apply(w)
			if res.Err == nil && res.Txn.Replayed {
				replays++
			} else if res.Err == nil || res.Err.Code != api.CodeWrongGroup {
				t.Fatalf("%+v gave %s", w, resultText(res))
			}
		}
		if replays != 1 {
			t.Errorf("%d groups know of %v", replays, w.Txn.ID)
		}
	}
	other := *joined
	other.From = []Source{{"g.9", 0, 2}}
	if _, err := joined.Join(&other); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("two groups with one shard: %v", err)
	}
	other.Epoch = 3
	if _, err := joined.Join(&other); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("receipts of two moves: %v", err)
	}
}

// TestCovers: which ranges a list answers in full.
func TestCovers(t *testing.T) {
	r := group(t, "g.1", Shard{api.Range{Start: "b", End: "d"}, 1, 0, 2}, Shard{api.Range{Start: "d", End: "f"}, 1, 1, 2}, Shard{api.Range{Start: "x"}, 1, 0, 1})
	for _, c := range []struct {
		lo, hi api.Key
		want   bool
	}{
		{"b", "f", true}, {"c", "e", true}, {"b", "d", true}, {"x", "", true}, {"y", "z", true}, {"c", "c", true},
		{"a", "c", false}, {"e", "g", false}, {"b", "", false}, {"", "", false}, {"f", "x", false}, {"w", "y", false},
	} {
		if err := r.m.Covers(api.Range{Start: c.lo, End: c.hi}); (err == nil) != c.want {
			t.Errorf("[%q,%q): %v, want %v", c.lo, c.hi, err, c.want)
		}
	}
	if _, err := r.m.List(&api.ListRequest{Range: api.Range{Start: "f", End: "x"}}); api.CodeOf(err) != api.CodeWrongGroup {
		t.Errorf("a list of what is not owned: %v", err)
	}
}

// TestRandomMoves: ranges go back and forth between groups while their keys are written, deleted and retried. Each key has
// one owner at most, its versions rise, and no request takes effect twice.
func TestRandomMoves(t *testing.T) {
	eachSeed(t, func(t *testing.T, r *rand.Rand) {
		w := &world{T: t, rnd: r, epoch: 1, newest: map[api.Key]api.Version{}, done: map[api.ClientID]api.Version{}}
		for i := range 3 {
			w.groups = append(w.groups, group(t, api.GroupID(fmt.Sprint("g.", i))))
		}
		w.groups[0] = group(t, "g.0", Shard{api.Range{}, 1, 0, 1})
		for range 400 {
			if r.IntN(4) == 0 {
				w.move()
			} else {
				w.write()
			}
		}
		if len(w.receipts) < 10 || len(w.done) < 20 {
			t.Errorf("only %d moves and %d writes", len(w.receipts), len(w.done))
		}
	})
}

type world struct {
	*testing.T
	rnd      *rand.Rand
	groups   []*rig
	epoch    uint64
	newest   map[api.Key]api.Version
	done     map[api.ClientID]api.Version // requests and what they came to
	sent     []Write
	receipts []Adopt // delayed messages
	takers   []*rig
}

func (w *world) write() {
	k := api.Key(fmt.Sprintf("%c/%d", 'a'+rune(w.rnd.IntN(3)), w.rnd.IntN(2)))
	x := Write{Term: 1, Txn: deleteTxn(k)}
	if w.rnd.IntN(4) == 0 {
		x.Txn = putTxn(k, "v")
	}
	n := len(w.sent)
	x.Txn.ID = api.RequestID{Client: api.ClientID{1, byte(n), byte(n >> 8)}, Seq: w.rnd.Uint64N(2)}
	if len(w.sent) > 0 && w.rnd.IntN(3) == 0 {
		x = w.sent[w.rnd.IntN(len(w.sent))]
	}
	w.sent = append(w.sent, x)
	owners := 0
	for _, g := range w.groups {
		if g.m.Owns([]api.Key{x.Txn.Then[0].Key}) == nil {
			owners++
		}
		res := g.apply(x)
		if res.Err == nil {
			w.did(x, res.Txn)
		}
	}
	if owners > 1 {
		w.Fatalf("OneOwner: %d groups own %q", owners, x.Txn.Then[0].Key)
	}
}

func (w *world) did(x Write, res *api.TxnResult) {
	k, id, ver := x.Txn.Then[0].Key, x.Txn.ID.Client, res.Entries[0].Version
	before, again := w.done[id]
	switch {
	case again != res.Replayed || again && ver != before:
		w.Fatalf("Once: %+v came to %v, replayed %v; before to %v", x, ver, res.Replayed, before)
	case again:
	case ver.Compare(w.newest[k]) < 0, ver == w.newest[k] && x.Txn.Then[0].Kind == api.OpPut:
		w.Fatalf("VersionsRise: %q went from %v to %v", k, w.newest[k], ver)
	default:
		w.newest[k], w.done[id] = ver, ver
	}
}

// move tries to move something from one group to another, and to have a delayed message take effect.
func (w *world) move() {
	i := w.rnd.IntN(len(w.groups))
	from, to := w.groups[i], w.groups[(i+1+w.rnd.IntN(2))%len(w.groups)]
	lo := api.Key(fmt.Sprintf("%c/", 'a'+rune(w.rnd.IntN(3))))
	r := api.PrefixRange(lo)
	if w.rnd.IntN(3) == 0 {
		r.End = lo + "1"
	}
	if w.rnd.IntN(4) > 0 {
		for n := range 2 { // empty it, most of the time
			from.apply(Write{Term: 1, Txn: deleteTxn(lo + api.Key(fmt.Sprint(n)))})
			if es, _, err := from.m.Read([]api.Key{lo + api.Key(fmt.Sprint(n))}); err == nil {
				w.newest[es[0].Key] = es[0].Version
			}
		}
	}
	from.apply(TrimTombstones{1, from.m.Meta().Counter, 1})
	w.epoch++
	epoch := w.epoch - w.rnd.Uint64N(2)
	res := from.apply(Cede{Term: 1, Range: r, Epoch: epoch, To: []api.GroupID{to.m.Meta().Group}})
	if res.Err != nil {
		return
	}
	w.receipts = append(w.receipts, Adopt{*res.Receipt, Shard{r, epoch, 0, 1}})
	w.takers = append(w.takers, to)
	to.apply(w.receipts[len(w.receipts)-1])
	for range 3 {
		n := w.rnd.IntN(len(w.receipts))
		w.takers[n].apply(w.receipts[n])
	}
	slices.Reverse(w.groups)
}

// TestFencesRise checks that a range changes its owner only at an epoch from which on versions rise also as single integers, however
// far the old owner has counted. Commands of earlier levels have an older rule.
func TestFencesRise(t *testing.T) {
	fence := func(v api.Version) uint64 { return v.Epoch<<40 + v.Index }
	for _, counted := range []uint64{100, 1<<40 - 100, 1 << 40, 3<<40 + 7} {
		a, b := group(t, "g.1", Shard{api.Range{}, 1, 0, 1}), group(t, "g.2")
		a.m.meta.Counter = counted
		before := fence(a.put("k/1", "v"))
		a.ok(Write{Term: 1, Txn: deleteTxn("k/1")})
		cede := Cede{Term: 1, Range: api.PrefixRange("k/"), Epoch: 1 + counted>>40, To: []api.GroupID{"g.2"}}
		a.refused(cede, api.CodeConflict)
		cede.Epoch++
		receipt := a.ok(cede).Receipt
		b.ok(Adopt{*receipt, Shard{cede.Range, cede.Epoch, 0, 1}})
		if after := fence(b.put("k/1", "v")); after <= before {
			t.Errorf("after %d commands a fence is %d, and at the next owner %d", counted, before, after)
		}
	}
	old := groupAt(t, Level2, "g.1", Shard{api.Range{}, 1, 0, 1})
	old.m.meta.Counter = 1 << 41
	old.ok(Cede{Term: 1, Range: api.PrefixRange("k/"), Epoch: 2, To: []api.GroupID{"g.2"}})
}
