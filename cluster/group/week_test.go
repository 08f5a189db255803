package group

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestWeek runs a machine and its sweeper for a week, with all kinds of work every few minutes, and then without any.
// By the end of the first two days, everything that is kept for a day has been kept for a day. After that no table
// grows. When the work has ended, everything that is not kept for ever is dropped.
func TestWeek(t *testing.T) {
	if testing.Short() {
		t.Skip("a week, for counts of rows")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWeek(t)
		defer w.log.close()
		bound, most := map[byte]int{}, 3*1024 // floors, one for each bucket of each range
		for day := 1; day <= 7; day++ {
			for end := time.Now().Add(24 * time.Hour); time.Now().Before(end); time.Sleep(5 * time.Minute) {
				w.shift()
			}
			for table, n := range w.rows() {
				switch {
				case table == 'f':
					if n > most {
						t.Errorf("%d floors at the end of day %d", n, day)
					}
				case day <= 2:
					bound[table] = n + n/10 + 20
				case n > bound[table]:
					t.Errorf("at the end of day %d there are %d rows in table %q, and at that of day 2 there were about %d", day, n, table, bound[table]-20)
				}
			}
		}
		t.Logf("%d commands; rows at the end: %v", w.a.machine.Meta().Counter, w.text())
		time.Sleep(26 * time.Hour)
		left := w.rows()
		for _, table := range []byte("mkrxif") { // rows of the machine itself, keys, ranges, the newest receipt, floors
			delete(left, table)
		}
		if len(left) > 0 {
			t.Errorf("a day after the end of the work there are left %v", w.text())
		}
		if err := w.a.machine.CheckInvariants(); err != nil {
			t.Error(err)
		}
	})
}

// week is a group at work. h is another group, which takes a range and gives it back.
type week struct {
	t     *testing.T
	log   *testLog
	a     *testNode
	h     *fsm.Machine
	n     int    // number of the shift
	index uint64 // index in h's log
	epoch uint64 // epoch of the range that moves
}

func newWeek(t *testing.T) *week {
	w := &week{t: t, epoch: 1}
	w.log = newLog(t, func(c *Config) { c.Revoker, c.Groups = nil, weekGroups{} }, "a")
	w.log.settle()
	w.a = w.log.node("a")
	var err error
	if w.h, err = fsm.Open(engine.NewMemory()); err != nil {
		t.Fatal(err)
	}
	w.atH(fsm.Init{Group: "h.1", Incarnation: 1, MaxTerm: time.Minute, Shards: []fsm.Shard{{Range: api.PrefixRange("h/"), Epoch: 1, Of: 1}}})
	for range 100 { // h is older
		w.atH(fsm.AdvanceDedupEpoch{Term: 1})
	}
	return w
}

// weekGroups are the other groups. They abort every transaction that they are asked about, and carry out everything
// that they are sent.
type weekGroups struct{}

func (weekGroups) Outcome(_ context.Context, ref ident.TxnRef, _ bool) (*fsm.Decision, error) {
	return &fsm.Decision{Txn: ref.ID, Outcome: ident.TxnAborted}, nil
}
func (weekGroups) Resolve(context.Context, fsm.Resolve) error { return nil }

func (w *week) atH(c fsm.Command) fsm.Result {
	w.t.Helper()
	w.index++
	results, err := w.h.Apply(w.index, 1, [][]byte{fsm.Encode(c, fsm.NewestLevel)})
	if err != nil || results[0].Err != nil {
		w.t.Fatal(c, err, results)
	}
	return results[0]
}

// shift does all kinds of work, one after the other.
func (w *week) shift() {
	w.n++
	w.writes()
	w.participates()
	w.decides()
	w.leases()
	if w.n%48 == 0 {
		w.moves()
	}
}

// client returns a client ID that belongs to this shift.
func (w *week) client(kind, i int) api.ClientID {
	return api.ClientID{byte(kind), byte(w.n), byte(w.n >> 8), byte(i), 1}
}

func (w *week) epochOf(m *fsm.Machine) ident.DedupEpoch {
	x := m.Meta()
	return ident.DedupEpoch{Group: x.Group, Incarnation: x.Incarnation, Count: uint64(x.DedupEpoch)}
}

// writes makes numbered writes of a client that acknowledges and of one that leaves after one write, opaque writes,
// and writes and deletes of keys.
func (w *week) writes() {
	for i := range 4 {
		key := api.Key(fmt.Sprintf("k/%d/%d", w.n, i))
		once := put(key, "v")
		once.ID, once.Epoch = api.RequestID{Client: w.client(1, i)}, w.epochOf(w.a.machine)
		switch i {
		case 1:
			once.ID.Client, once.ID.Seq, once.ID.AckedBelow = api.ClientID{7}, uint64(w.n), uint64(w.n)
		case 2:
			once.ID.Seq = 1
		}
		w.a.mustWrite(once)
		if w.n%10 > 0 {
			w.a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: key}}}})
		} else {
			w.a.mustWrite(&words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "kept", Value: []byte("v")}, {Kind: api.OpDelete, Key: key}}}})
		}
	}
}

// participates makes attempts of which some are aborted, one commits, and one is never resolved by a message.
func (w *week) participates() {
	for i := range 6 {
		id := ident.TxnID{Client: w.client(2, i/3), Attempt: uint64(i%3+1) << 16, Decider: "h.1"}
		ref := ident.TxnRef{ID: id, Age: 1, Anchor: api.Key(fmt.Sprintf("p/%d", i/3)), Epoch: w.epochOf(w.h).Count}
		p := &fsm.Prepare{
			Group: "g.1", Txn: ref, Epoch: w.epochOf(w.a.machine).Count, Then: []api.Op{{Kind: api.OpAdd, Key: ref.Anchor, Delta: 1}}, Claim: &fsm.Claim{},
		}
		if i%3 > 0 {
			p.Claim.After = id
			p.Claim.After.Attempt = uint64(i%3) << 16
		}
		if v, err := w.a.authority.Prepare(context.Background(), p, nil, false); err != nil || v.Refused != nil {
			w.t.Fatal(v, err)
		}
		outcome := ident.TxnAborted
		if i%3 == 2 {
			outcome = ident.TxnCommitted
		}
		if i == 5 {
			continue // the sweeper asks for the outcome
		}
		if err := w.a.authority.Resolve(context.Background(), fsm.Resolve{Group: "g.1", Txn: id, Outcome: outcome}); err != nil {
			w.t.Fatal(err)
		}
	}
	time.Sleep(time.Minute) // the last one is swept before the next shift locks the same keys
}

// decides makes aborts and a commit of opaque requests, and the same for a client that acknowledges.
func (w *week) decides() {
	for i := range 6 {
		d := &fsm.Decide{Outcome: ident.TxnAborted, Txn: ident.TxnRef{Age: 1, Anchor: "elsewhere", Epoch: w.epochOf(w.a.machine).Count}}
		d.Txn.ID = ident.TxnID{Client: w.client(3, i/3), Attempt: uint64(i%3+1) << 16, Decider: "g.1"}
		if i >= 3 {
			d.Txn.ID.Client, d.Txn.ID.Seq, d.AckedBelow = api.ClientID{8}, uint64(w.n), uint64(w.n)
		}
		if i%3 == 2 {
			d.Outcome, d.Participants, d.Held = ident.TxnCommitted, []api.GroupID{"h.1"}, true
		}
		if _, err := w.a.authority.Decide(context.Background(), d); err != nil {
			w.t.Fatal(err)
		}
	}
}

// leases takes leases of sessions that are closed, that die, and that die while one of their keys is written.
func (w *week) leases() {
	for i := range 3 {
		node := api.NodeID(fmt.Sprint("edge-", i))
		ctx := words.WithCaller(context.Background(), &words.Caller{Node: node, Role: api.RoleServer})
		o := words.OpenSession{Group: "g.1", Node: node, Nonce: ident.Nonce(w.client(4, i)), Term: 4 * time.Second}
		g, err := w.a.authority.OpenSession(ctx, o)
		if err != nil {
			w.t.Fatal(err)
		}
		q := &words.ReadRequest{Session: g.Session}
		for k := range 40 {
			q.Keys = append(q.Keys, api.Key(fmt.Sprintf("l/%d/%d", i, k)))
		}
		if _, err := words.Read(ctx, w.a.authority, q); err != nil {
			w.t.Fatal(err)
		}
		switch i {
		case 0:
			if err := w.a.authority.CloseSession(ctx, "g.1", g.Session, o.Nonce); err != nil {
				w.t.Fatal(err)
			}
		case 1:
			if _, took, err := w.a.write(time.Minute, put(q.Keys[0], "v")); err != nil || took < 4*time.Second {
				w.t.Fatal(took, err)
			}
		}
	}
}

// moves cedes a range with records in it, and adopts it again.
func (w *week) moves() {
	rng := api.PrefixRange("m/")
	once := &words.Txn{Txn: api.Txn{ID: api.RequestID{Client: w.client(5, 0)}, Then: []api.Op{{Kind: api.OpDelete, Key: "m/k"}}}}
	w.a.mustWrite(once)
	w.epoch++
	receipt, err := w.a.authority.Cede(context.Background(), rng, w.epoch, []api.GroupID{"h.1"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.atH(fsm.Adopt{Receipt: *receipt, Shard: fsm.Shard{Range: rng, Epoch: w.epoch, Of: 1}})
	w.epoch++
	back := w.atH(fsm.Cede{Term: 1, Range: rng, Epoch: w.epoch, To: []api.GroupID{"g.1"}}).Receipt
	if err := w.a.authority.Adopt(context.Background(), back, fsm.Shard{Range: rng, Epoch: w.epoch, Of: 1}); err != nil {
		w.t.Fatal(err)
	}
	if res, _ := w.a.mustWrite(once); !res.Replayed {
		w.t.Fatalf("after it had moved to and fro a request was carried out again")
	}
}

// rows counts the rows by table.
func (w *week) rows() map[byte]int {
	s, err := w.a.machine.Snapshot()
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	rows := map[byte]int{}
	if err := s.Scan(nil, nil, false, func(k, _ []byte) bool { rows[k[0]]++; return true }); err != nil {
		w.t.Fatal(err)
	}
	return rows
}

func (w *week) text() (s string) {
	rows := w.rows()
	for _, table := range slices.Sorted(maps.Keys(rows)) {
		s += fmt.Sprintf(" %c:%d", table, rows[table])
	}
	return s
}
