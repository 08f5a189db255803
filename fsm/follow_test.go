package fsm

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// follower computes what becomes visible in a machine from its rows alone: it compares them before and after each command.
type follower struct {
	keys map[api.Key]value
	told []Event // all that there ever was
	kept bool    // there is a history
}

func follow(t testing.TB, m *Machine) *follower {
	return &follower{keys: rowsOfKeys(t, m), kept: m.Level().keepsHistory()}
}

// rowsOfKeys returns what the keys hold.
func rowsOfKeys(t testing.TB, m *Machine) map[api.Key]value {
	t.Helper()
	keys := map[api.Key]value{}
	err := m.engine.Scan([]byte{tableKV}, []byte{tableKV + 1}, false, func(k, row []byte) bool {
		keys[api.Key(k[1:])] = valueOf(bytes.Clone(row))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// saw demands that the result of a command, the only one of its entry, reports exactly what has become visible by it.
func (f *follower) saw(t testing.TB, m *Machine, c Command, res Result) {
	t.Helper()
	now := rowsOfKeys(t, m)
	var want []Event
	for k, v := range now {
		if was, existed := f.keys[k]; !existed || was.version != v.version {
			want = append(want, Event{Index: res.Index, Kind: api.EventPut, Key: k, Version: v.version, Value: v.data, Deadline: v.deadline})
		}
	}
	for k := range f.keys {
		if _, exists := now[k]; exists {
			continue
		}
		e := Event{Index: res.Index, Kind: api.EventDelete, Key: k}
		if _, expires := c.(Expire); expires {
			e.Kind = api.EventExpire
		}
		row, ok := m.engineRow(t, tableTombstone, k)
		if !ok {
			t.Fatalf("%q has gone without a tombstone", string(k))
		}
		e.Version = parse(row, (*codec.Reader).Version)
		want = append(want, e)
	}
	f.keys = now
	if c, rises := c.(SetLevel); rises && c.Level >= Level4 && !f.kept {
		f.kept = true
		if p := m.Position(); p.Floor != p.Counter {
			t.Fatalf("HistoryTrim: a history that begins at %d has the floor %d", p.Counter, p.Floor)
		}
	}
	if !f.kept || m.Position().Max == 0 {
		want = nil
	}
	var across [8]byte
	switch c := c.(type) {
	case Resolve:
		across = txnOf(&c.Txn)
	case CommitLast:
		if len(c.Participants) > 0 {
			across = txnOf(&c.Txn.ID)
		}
	}
	got := slices.Clone(res.Events)
	for i := range got {
		if got[i].Txn != across {
			t.Fatalf("FeedWhole: %+v tells of transaction %x, want %x", c, got[i].Txn, across)
		}
		got[i].Txn = [8]byte{}
	}
	byKey := func(a, b Event) int { return cmp.Compare(a.Key, b.Key) }
	slices.SortFunc(got, byKey)
	slices.SortFunc(want, byKey)
	if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); a != b {
		t.Fatalf("FeedWhole: %+v tells\n%s\nwant\n%s", c, a, b)
	}
	f.told = append(f.told, res.Events...)
}

// whole demands that the history of the machine is what its results reported, above its floor.
func (f *follower) whole(t testing.TB, m *Machine) {
	t.Helper()
	p := m.Position()
	var got []Event
	for at := p.Floor; at < p.Counter; {
		h, err := m.History(at, 1000)
		if err != nil || h.To <= at {
			t.Fatalf("the history after %d goes to %d (%v)", at, h.To, err)
		}
		got, at = append(got, h.Events...), h.To
	}
	want := slices.DeleteFunc(slices.Clone(f.told), func(e Event) bool { return e.Index <= p.Floor })
	for i := range want {
		if want[i].Kind == api.EventPut && len(want[i].Value) > MaxEventBytes {
			want[i].Value, want[i].Elided = nil, true
		}
	}
	if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); a != b {
		t.Fatalf("FeedWhole: above %d the history is\n%.3000s\nwant\n%.3000s", p.Floor, a, b)
	}
}

// engineRow returns a row of the engine.
func (m *Machine) engineRow(t testing.TB, table byte, k api.Key) ([]byte, bool) {
	t.Helper()
	row, ok, err := m.engine.Get(append([]byte{table}, k...))
	if err != nil {
		t.Fatal(err)
	}
	return row, ok
}

// TestHistoryFollowed applies random commands of all kinds, those of transactions across groups among them, one in each entry. What
// the results and the history tell is what the rows show to have become visible. The machine rises from an older level on the way,
// and restarts from snapshots.
func TestHistoryFollowed(t *testing.T) {
	events, prepared := 0, 0
	eachSeed(t, func(t *testing.T, r *rand.Rand) {
		p := &txnPair{pair: newPair(t, r)}
		f := follow(t, p.m)
		for n := range 600 {
			if p.rnd.IntN(50) == 0 {
				p.term++
			}
			c := p.any()
			res := p.apply(c)
			f.saw(t, p.m, c, res)
			events += len(res.Events)
			for _, e := range res.Events {
				if e.Version.Index < e.Index {
					prepared++
				}
			}
			if !res.Session.IsZero() {
				p.sids = append(p.sids, res.Session)
			}
			if n%40 == 0 {
				f.whole(t, p.m)
				p.move(p.m, p.m)
			}
		}
		f.whole(t, p.m)
	})
	if *seed == 0 && !testing.Short() && prepared == 0 { // one seed may have none
		t.Errorf("%d events, %d of them of transactions across groups", events, prepared)
	}
}

// TestHistoryBelowItsFloor checks that nothing is read from a position below the floor, and that the floor rises with the rows that
// are dropped, whatever drops them: the bound, the age, or the end of the history.
func TestHistoryBelowItsFloor(t *testing.T) {
	r := founded(t)
	value := strings.Repeat("v", 100)
	for i := range 100 {
		r.put(api.Key(fmt.Sprint("k", i%7)), value)
	}
	read := func(after uint64) History {
		t.Helper()
		h, err := r.m.History(after, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if h := read(0); len(h.Events) != 100 || h.To != h.Position.Counter || h.Position.Floor != 0 {
		t.Errorf("from the beginning there are %d events up to %d, above %d", len(h.Events), h.To, h.Position.Floor)
	}
	below := func(what string) {
		t.Helper()
		floor := r.m.Position().Floor
		if floor == 0 {
			t.Fatalf("%s: the floor is 0", what)
		}
		if h := read(floor - 1); len(h.Events) > 0 || h.To != floor-1 {
			t.Errorf("%s: below the floor, at %d, there are %d events, up to %d", what, floor, len(h.Events), h.To)
		}
		if h := read(floor); h.To != r.m.Position().Counter || len(h.Events) > 0 && h.Events[0].Index <= floor {
			t.Errorf("%s: above the floor, at %d, there are %+v up to %d", what, floor, h.Events, h.To)
		}
	}
	if res := r.ok(TrimHistory{r.term, 50, 10}); res.Swept.Rows != 10 || res.Swept.End {
		t.Errorf("dropped %+v", res.Swept)
	}
	below("by age")
	r.ok(HistoryMax{r.term, 2000})
	for r.m.Position().Bytes > 2000 {
		before := r.m.Position().Bytes
		r.put("k", "v")
		if after := r.m.Position().Bytes; after >= before {
			t.Fatalf("the history takes %d bytes, then %d", before, after)
		}
	}
	below("by its bound")
	r.ok(HistoryMax{r.term, 0})
	r.put("k", "w")
	if p := r.m.Position(); p.Floor != p.Counter {
		t.Errorf("without a history the position is %+v", p)
	}
	r.ok(HistoryMax{r.term, 1 << 20})
	begun := r.m.Position()
	if begun.Floor != begun.Counter {
		t.Errorf("a history that begins anew has the position %+v", begun)
	}
	r.put("k", "x")
	below("anew")
	if h := read(begun.Counter); len(h.Events) != 1 || string(h.Events[0].Value) != "x" {
		t.Errorf("the new history has %+v", h.Events)
	}
	for range 20 {
		r.ok(TrimHistory{r.term, r.m.Position().Counter, 100})
	}
	if p := r.m.Position(); p.Bytes != 0 {
		t.Errorf("all was dropped, and takes %d bytes", p.Bytes)
	}
}

// TestHistoryOfLargeValues checks that a value over the limit is in the result and not in the history, and that an entry of many
// large changes has several rows, each of whole commands.
func TestHistoryOfLargeValues(t *testing.T) {
	r := founded(t)
	large, most := strings.Repeat("l", MaxEventBytes+1), strings.Repeat("m", MaxEventBytes)
	res := r.ok(Write{Term: r.term, Txn: putTxn("large", large)})
	if e := res.Events; len(e) != 1 || string(e[0].Value) != large || e[0].Elided {
		t.Errorf("the result tells %d events", len(e))
	}
	var commands [][]byte
	for i := range 40 {
		txn := putTxn(api.Key(fmt.Sprint("k", i)), most)
		txn.Then = append(txn.Then, api.Op{Kind: api.OpPut, Key: api.Key(fmt.Sprint("l", i)), Value: []byte("v")})
		commands = append(commands, encode(Write{Term: r.term, Txn: txn}))
	}
	all(r.m.Apply(r.next(), r.term, commands))
	if err := r.m.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
	rows := 0
	err := r.m.engine.Scan([]byte{tableHistory}, []byte{tableHistory + 1}, false, func(_, row []byte) bool {
		if rows++; len(row) > maxHistoryRow+2*MaxEventBytes {
			t.Errorf("a row of %d bytes", len(row))
		}
		return true
	})
	if err != nil || rows != 1+3 {
		t.Errorf("%d rows (%v)", rows, err)
	}
	var events []Event
	for at := uint64(0); at < r.m.Position().Counter; {
		h, err := r.m.History(at, 1)
		if err != nil || h.To <= at {
			t.Fatal(h.To, err)
		}
		if last := h.Events[len(h.Events)-1].Index; last != h.To && h.To != h.Position.Counter {
			t.Errorf("a piece up to %d ends with %d", h.To, last)
		}
		events, at = append(events, h.Events...), h.To
	}
	if len(events) != 81 || !events[0].Elided || events[0].Value != nil || events[1].Elided || string(events[1].Value) != most {
		t.Errorf("the history has %d events, the first elided: %v", len(events), events[0].Elided)
	}
	if h, err := r.m.History(events[20].Index-1, 1); err != nil || h.Events[0].Index != events[20].Index {
		t.Errorf("from the middle of a row: %v", err)
	}
}

// TestTrimOfLargeRows checks that one command drops about trimmedBytes of the history at most, and says that there is more.
func TestTrimOfLargeRows(t *testing.T) {
	r := founded(t)
	most := strings.Repeat("m", MaxEventBytes)
	for range 10 {
		txn := api.Txn{}
		for i := range 16 {
			txn.Then = append(txn.Then, api.Op{Kind: api.OpPut, Key: api.Key(fmt.Sprint("k", i)), Value: []byte(most)})
		}
		r.ok(Write{Term: r.term, Txn: txn})
	}
	begun := r.m.Position()
	if res := r.ok(TrimHistory{r.term, begun.Counter + 1, 1000}); res.Swept.Rows != 8 || res.Swept.End {
		t.Errorf("the first command dropped %+v", res.Swept)
	}
	p := r.m.Position()
	if h, err := r.m.History(p.Floor, 1<<30); err != nil || len(h.Events) != 2*16 || p.Floor != begun.Counter-2 {
		t.Errorf("after it, at the floor %d of %d, there are %d events (%v)", p.Floor, begun.Counter, len(h.Events), err)
	}
	if res := r.ok(TrimHistory{r.term, begun.Counter + 1, 1000}); res.Swept.Rows != 2 || !res.Swept.End || r.m.Position().Bytes != 0 {
		t.Errorf("the second dropped %+v, and %d bytes are left", res.Swept, r.m.Position().Bytes)
	}
	if err := r.m.CheckInvariants(); err != nil {
		t.Error(err)
	}
}

// TestTxnOf checks that the number of a transaction in events stays what it is.
func TestTxnOf(t *testing.T) {
	id := ident.TxnID{Client: api.ClientID{1, 2, 3}, Seq: 4, Attempt: 5, Decider: "g.1"}
	if got := fmt.Sprintf("%x", txnOf(&id)); got != "d2484a4ecf51f4c3" {
		t.Errorf("it is %s", got)
	}
}
