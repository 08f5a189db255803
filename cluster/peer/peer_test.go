package peer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

func TestConfigs(t *testing.T) {
	if _, err := NewServer(ServerConfig{}); !errors.Is(err, api.CodeInvalid) {
		t.Errorf("server: %v", err)
	}
	if _, err := NewPool(PoolConfig{}); !errors.Is(err, api.CodeInvalid) {
		t.Errorf("pool: %v", err)
	}
}

func TestLessorCrosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		s, c := w.start("s", ServerConfig{Groups: g.only}), w.start("c", ServerConfig{})
		defer s.close()
		defer c.close()
		r := c.pool.Remote("s")
		grant, err := r.OpenSession(t.Context(), words.OpenSession{Group: "g", Term: time.Second})
		if err != nil || grant.Session.Index != 7 || grant.DedupEpoch != 3 {
			t.Errorf("opened %+v, %v", grant, err)
		}
		if _, err := r.OpenSession(t.Context(), words.OpenSession{Group: "g", Term: time.Hour}); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("too long a term: %v", err)
		}
		leases := []api.DroppedLease{{Session: grant.Session, Key: "k\xff", Lease: 4}}
		err = errors.Join(r.CloseSession(t.Context(), "g", grant.Session, ident.Nonce{1}), r.Release(t.Context(), "g", leases))
		if err != nil || g.closed != grant.Session || len(g.released) != 1 || g.released[0] != leases[0] {
			t.Errorf("closed %v, released %+v: %v", g.closed, g.released, err)
		}
		if _, err := r.Read(t.Context(), &api.ReadRequest{Keys: []api.Key{"k"}, Group: "other"}); !errors.Is(err, api.CodeNotLeader) {
			t.Errorf("a group that is not there: %v", err)
		}
		if _, err := r.Read(t.Context(), &api.ReadRequest{Keys: []api.Key{"k"}}); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("no group: %v", err)
		}
		report, err := r.Report(t.Context())
		if err != nil || report.Node != "s" {
			t.Errorf("report %+v, %v", report, err)
		}
	})
}

func TestReport(t *testing.T) {
	g := newGroup("g")
	m := &fakeMeta{now: someMap(t, 3)}
	s, err := NewServer(ServerConfig{Self: "s", Region: "r", Role: api.RoleServer, Groups: g.only,
		All: func() []api.GroupID { return []api.GroupID{"g", "gone"} }, Meta: func() Meta { return m }})
	if err != nil {
		t.Fatal(err)
	}
	r := s.Report()
	if r.Sessions != 2 || r.Leases != 5 || len(r.Groups) != 2 || r.Groups[0].Applied != 9 || r.Groups[1].Group != ident.MetaGroup {
		t.Errorf("report %+v", r)
	}
}

// TestLostAnswers: a write that may have been carried out is ambiguous, one that never left is not; reads never are.
func TestLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		stuck := make(chan struct{})
		g.do = func(ctx context.Context, _ *api.Txn) (*api.TxnResult, error) { <-stuck; return &api.TxnResult{}, nil }
		g.read = func(ctx context.Context, _ *api.ReadRequest) (*api.ReadResult, error) {
			<-stuck
			return &api.ReadResult{}, nil
		}
		s, c := w.start("s", ServerConfig{Groups: g.only}), w.start("c", ServerConfig{})
		defer c.close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := c.pool.Remote("s")
		txn := &api.Txn{Group: "g", Then: []api.Op{{Kind: api.OpPut, Key: "k"}}}
		if _, err := r.Do(ctx, txn); api.CodeOf(err) != api.CodeAmbiguous {
			t.Errorf("a write without an answer: %v", err)
		}
		if _, err := r.Do(ctx, txn); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("a write whose time was up before it left: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Read(ctx, &api.ReadRequest{Group: "g", Keys: []api.Key{"k"}}); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("a read without an answer: %v", err)
		}
		close(stuck)
		s.close()
		time.Sleep(time.Second) // until this node has noticed
		if _, err := r.Do(t.Context(), txn); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("a write to a node that is not there: %v", err)
		}
	})
}

// TestSomebodyElse: calls never go to a node that was not meant, so their outcome is known; and when the right one is there
// again, they do.
func TestSomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		w.moved = true
		s, c := w.start("s", ServerConfig{Groups: g.only}), w.start("c", ServerConfig{})
		defer s.close()
		defer c.close()
		r := named{c.pool.Remote("s"), "g"}
		txn := &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k"}}}
		for range 3 {
			if _, err := r.Do(t.Context(), txn); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("a write to somebody else: %v", err)
			}
		}
		w.moved = false
		time.Sleep(callsRedial)
		if _, err := r.Do(t.Context(), txn); err != nil {
			t.Errorf("the node is there: %v", err)
		}
		if _, err := c.pool.RemoteAt("s").Do(t.Context(), txn); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("a write to whoever is at an address: %v", err)
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		free := make(chan struct{})
		g.read = func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
			<-free
			return &api.ReadResult{}, nil
		}
		s, c := w.start("s", ServerConfig{Groups: g.only, MaxRequests: 2, MaxPolls: 1, Mirror: &fakeMirror{}}), w.start("c", ServerConfig{})
		defer s.close()
		defer c.close()
		var wg sync.WaitGroup
		q := &api.ReadRequest{Group: "g", Keys: []api.Key{"k"}}
		for _, at := range []*station{s, c} {
			wg.Go(func() {
				if _, err := at.pool.Remote("s").Read(t.Context(), q); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if now, err := c.pool.Remote("s").Poll(t.Context(), 1); err != nil || now != nil {
				t.Errorf("polled %+v, %v", now, err)
			}
		})
		time.Sleep(100 * time.Millisecond)
		for _, at := range []*station{s, c} {
			_, err := at.pool.Remote("s").Read(t.Context(), q)
			if e := api.AsError(err); e.Code != api.CodeUnavailable || e.RetryAfter == 0 {
				t.Errorf("one too many: %v", err)
			}
		}
		if _, err := c.pool.Remote("s").Poll(t.Context(), 0); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("a poll too many: %v", err)
		}
		if _, err := c.pool.Remote("s").Confirm(t.Context(), "g", 1); err != nil {
			t.Errorf("confirms have no part in that: %v", err)
		}
		if err := c.pool.Remote("s").Release(t.Context(), "g", nil); err != nil {
			t.Errorf("sessions have no part in that: %v", err)
		}
		close(free)
		wg.Wait()
	})
}

// TestBusy: while the processors cannot keep up, requests beyond a calm number are refused, and nothing else is.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		free := make(chan struct{})
		g.read = func(context.Context, *api.ReadRequest) (*api.ReadResult, error) {
			<-free
			return &api.ReadResult{}, nil
		}
		s, c := w.start("s", ServerConfig{Groups: g.only, CalmRequests: 1, Busy: func() bool { return true }}), w.start("c", ServerConfig{})
		defer s.close()
		defer c.close()
		var first sync.WaitGroup
		q := &api.ReadRequest{Group: "g", Keys: []api.Key{"k"}}
		first.Go(func() {
			if _, err := c.pool.Remote("s").Read(t.Context(), q); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(100 * time.Millisecond)
		for _, at := range []*station{s, c} {
			_, err := at.pool.Remote("s").Read(t.Context(), q)
			if e := api.AsError(err); e.Code != api.CodeUnavailable || e.RetryAfter == 0 {
				t.Errorf("one too many: %v", err)
			}
		}
		if err := c.pool.Remote("s").Release(t.Context(), "g", nil); err != nil {
			t.Errorf("sessions have no part in that: %v", err)
		}
		close(free)
		first.Wait()
		if _, err := c.pool.Remote("s").Read(t.Context(), q); err != nil {
			t.Errorf("the first of its kind: %v", err)
		}
	})
}

func TestClosedPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, c := w.start("s", ServerConfig{Groups: newGroup("g").only}), w.start("c", ServerConfig{})
		defer s.close()
		before := c.pool.Remote("s")
		c.close()
		s.pool.Close()
		for _, r := range []*Remote{before, c.pool.Remote("s"), c.pool.RemoteAt("s")} {
			if _, err := r.Report(t.Context()); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("a call: %v", err)
			}
			if _, err := r.OpenLeases(t.Context(), Hello{}); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("a stream: %v", err)
			}
		}
		for _, r := range []*Remote{before, s.pool.Remote("s")} {
			if _, err := r.Confirm(t.Context(), "g", 1); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("a confirm: %v", err)
			}
		}
	})
}

// TestConfirm: right answers to many questions at once, in few frames.
func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.start("s", ServerConfig{Term: func(g api.GroupID) (uint64, bool) { return uint64(len(g)), g != "none" }})
		c := w.start("c", ServerConfig{})
		defer s.close()
		defer c.close()
		for _, at := range []*station{s, c} {
			r := at.pool.Remote("s")
			var wg sync.WaitGroup
			for _, g := range []api.GroupID{"a", "bb", "ccc", "none"} {
				for term := range uint64(6) {
					wg.Go(func() {
						yes, err := r.Confirm(t.Context(), g, term)
						if want := g != "none" && term == uint64(len(g)); err != nil || yes != want {
							t.Errorf("%s at %d: %v, %v", g, term, yes, err)
						}
					})
				}
			}
			wg.Wait()
		}
	})
}

// TestConfirmStartsAfterArrival: what is asked while frames are under way is answered by a later one, whose answers were
// given after the question; frames are few however many ask.
func TestConfirmStartsAfterArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var term, frames atomic.Uint64
		term.Store(1)
		s := w.start("s", ServerConfig{Term: func(api.GroupID) (uint64, bool) {
			frames.Add(1)
			return term.Load(), true
		}})
		c := w.start("c", ServerConfig{})
		defer s.close()
		defer c.close()
		r := c.pool.Remote("s")
		if yes, err := r.Confirm(t.Context(), "g", 1); err != nil || !yes {
			t.Fatalf("%v, %v", yes, err)
		}
		w.fabric.Cut("s", "c") // answers are held back
		var wg sync.WaitGroup
		early := func() {
			if yes, err := r.Confirm(t.Context(), "g", 1); err != nil || !yes {
				t.Errorf("asked before the term ended: %v, %v", yes, err)
			}
		}
		wg.Go(early)
		time.Sleep(100 * time.Millisecond)
		wg.Go(early)
		time.Sleep(100 * time.Millisecond)
		before := frames.Load()
		term.Store(2)
		for range 50 {
			wg.Go(func() {
				if yes, err := r.Confirm(t.Context(), "g", 1); err != nil || yes {
					t.Errorf("asked after the term had ended: %v, %v", yes, err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		if n := frames.Load() - before; n != 0 {
			t.Errorf("%d questions left while two frames were under way", n)
		}
		w.fabric.Heal("s", "c")
		wg.Wait()
		if n := frames.Load() - before; n != 1 {
			t.Errorf("fifty who asked the same were asked for %d times", n)
		}
	})
}

func TestConfirmEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.start("s", ServerConfig{Term: func(api.GroupID) (uint64, bool) { return 1, true }})
		c := w.start("c", ServerConfig{})
		defer s.close()
		defer c.close()
		r := c.pool.Remote("s")
		if _, err := r.Confirm(t.Context(), "g", 1); err != nil {
			t.Fatal(err)
		}
		w.fabric.Cut("s", "c")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := r.Confirm(ctx, "g", 1); api.CodeOf(err) != api.CodeUnavailable || time.Since(began) != time.Second {
			t.Errorf("a silent voter: %v after %v", err, time.Since(began))
		}
		if _, err := r.Confirm(t.Context(), "g", 1); err == nil || time.Since(began) > 12*time.Second {
			t.Errorf("a silent voter, without a deadline: %v after %v", err, time.Since(began))
		}
		w.fabric.Heal("s", "c")
		time.Sleep(eventually)
		if yes, err := r.Confirm(t.Context(), "g", 1); err != nil || !yes {
			t.Errorf("when it is back: %v, %v", yes, err)
		}
	})
}

// fakeMeta is a meta group that never loses its leader.
type fakeMeta struct {
	now *placement.Map
	err error
	got placement.Command
}

func (m *fakeMeta) Map() *placement.Map                         { return m.now }
func (m *fakeMeta) Get(context.Context) (*placement.Map, error) { return m.now, m.err }
func (m *fakeMeta) Wait(context.Context, uint64) *placement.Map { return m.now }
func (m *fakeMeta) Status() api.GroupStatus                     { return api.GroupStatus{Group: ident.MetaGroup} }
func (m *fakeMeta) Propose(_ context.Context, c placement.Command) (*placement.Map, error) {
	m.got = c
	return m.now, m.err
}

// fakeMirror has a map, or waits.
type fakeMirror struct{ now *placement.Map }

func (m *fakeMirror) Wait(ctx context.Context, since uint64) (*placement.Map, error) {
	if m.now != nil && m.now.Version > since {
		return m.now, nil
	}
	<-ctx.Done()
	return nil, api.CodeUnavailable
}

func someMap(t *testing.T, version uint64) *placement.Map {
	t.Helper()
	m, err := placement.Static("c", []placement.Node{{ID: "s", Region: "r", Role: api.RoleServer}}, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	m.Version = version
	return m
}

func TestMapCrosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		meta := &fakeMeta{now: someMap(t, 5)}
		s := w.start("s", ServerConfig{Meta: func() Meta { return meta }, Mirror: &fakeMirror{}})
		e := w.start("e", ServerConfig{Mirror: &fakeMirror{now: someMap(t, 4)}})
		c := w.start("c", ServerConfig{})
		defer s.close()
		defer e.close()
		defer c.close()
		source := Source{c.pool}
		if now, err := source.Poll(t.Context(), "s", 4); err != nil || now.Version != 5 || now.Check() != nil {
			t.Errorf("a voter polled: %+v, %v", now, err)
		}
		if now, err := source.Poll(t.Context(), "s", 5); err != nil || now != nil {
			t.Errorf("without news: %+v, %v", now, err)
		}
		if now, err := source.PollAddress(t.Context(), "e", 0); err != nil || now.Version != 4 {
			t.Errorf("a mirror polled: %+v, %v", now, err)
		}
		began := time.Now()
		if now, err := source.Poll(t.Context(), "e", 4); err != nil || now != nil || time.Since(began) < 5*time.Second {
			t.Errorf("a mirror without news: %+v, %v after %v", now, err, time.Since(began))
		}
		began = time.Now()
		if now, err := source.Poll(t.Context(), "c", 0); !errors.Is(err, api.CodeUnavailable) || now != nil || time.Since(began) > time.Second {
			t.Errorf("who knows nothing: %+v, %v after %v", now, err, time.Since(began))
		}
		if now, err := source.Get(t.Context(), "s"); err != nil || now.Version != 5 {
			t.Errorf("got %+v, %v", now, err)
		}
		if _, err := source.Get(t.Context(), "e"); !errors.Is(err, api.CodeNotLeader) {
			t.Errorf("got from an edge: %v", err)
		}
		command := placement.SetRange{Range: api.Range{Start: "k\xff"}, Epoch: 3, Region: "r", Groups: []api.GroupID{"r.1"}}
		if now, err := c.pool.Remote("s").Propose(t.Context(), command); err != nil || now.Version != 5 {
			t.Errorf("proposed: %+v, %v", now, err)
		}
		if got, ok := meta.got.(placement.SetRange); !ok || got.Range != command.Range || got.Epoch != 3 {
			t.Errorf("the command arrived as %+v", meta.got)
		}
		meta.err = &api.Error{Code: api.CodeNotLeader, Leader: "x"}
		if _, err := c.pool.Remote("s").Propose(t.Context(), command); api.AsError(err).Leader != "x" {
			t.Errorf("elsewhere: %v", err)
		}
		if _, err := c.pool.Remote("e").Propose(t.Context(), command); !errors.Is(err, api.CodeNotLeader) {
			t.Errorf("at an edge: %v", err)
		}
	})
}

// applied is the result of the command at the machine.
func applied(t *testing.T, m *fsm.Machine, c fsm.Command) fsm.Result {
	t.Helper()
	results, err := m.Apply(1, 1, [][]byte{fsm.Encode(c, fsm.NewestLevel)})
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

// TestMove has real machines give a range from two groups to three, over the wire, with a result kept for a retry.
func TestMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		groups := map[api.GroupID]*fakeGroup{}
		machines := map[api.GroupID]*fsm.Machine{}
		all := api.Range{}
		for i, id := range []api.GroupID{"a.1", "a.2", "b.1", "b.2", "b.3"} {
			var shards []fsm.Shard
			if i < 2 {
				shards = []fsm.Shard{{Range: all, Epoch: 1, Index: uint32(i), Of: 2}}
			}
			m, err := fsm.Open(engine.NewMemory())
			if err != nil {
				t.Fatal(err)
			}
			apply := func(c fsm.Command) fsm.Result { return applied(t, m, c) }
			apply(fsm.Init{Group: id, Incarnation: 1, Shards: shards, MaxTerm: time.Minute})
			g := newGroup(id)
			g.cede = func(r api.Range, epoch uint64, to []api.GroupID) (*fsm.Receipt, error) {
				res := apply(fsm.Cede{Term: 1, Range: r, Epoch: epoch, To: to})
				if res.Err != nil {
					return nil, res.Err
				}
				return res.Receipt, nil
			}
			g.adopt = func(receipt *fsm.Receipt, shard fsm.Shard) error {
				if res := apply(fsm.Adopt{Receipt: *receipt, Shard: shard}); res.Err != nil {
					return res.Err
				}
				return nil
			}
			groups[id], machines[id] = g, m
		}
		s := w.start("s", ServerConfig{Groups: func(id api.GroupID) (Group, bool) { g, ok := groups[id]; return g, ok }})
		c := w.start("c", ServerConfig{})
		defer s.close()
		defer c.close()
		mover := &Mover{Pool: c.pool, OnLeader: func(ctx context.Context, _ api.GroupID, _ string, _ bool, call func(context.Context, api.NodeID) error) error {
			return call(ctx, "s")
		}}
		id := api.RequestID{Client: api.ClientID{1}, Seq: 1}
		once := api.Txn{ID: id, Then: []api.Op{{Kind: api.OpDelete, Key: "p/k/\xff"}}}
		owner := []api.GroupID{"a.1", "a.2"}[ident.ShardOf("p/k/\xff", 2)]
		if res := applied(t, machines[owner], fsm.Write{Term: 1, Txn: once}); res.Err != nil {
			t.Fatal(res.Err)
		}
		r, to := api.PrefixRange("p/"), []api.GroupID{"b.1", "b.2", "b.3"}
		var receipts []*fsm.Receipt
		for _, g := range []api.GroupID{"a.1", "a.2"} {
			if err := mover.Empty(t.Context(), g, r); err != nil {
				t.Fatal(err)
			}
			receipt, err := mover.Cede(t.Context(), g, r, 2, to)
			if err != nil {
				t.Fatal(err)
			}
			receipts = append(receipts, receipt)
		}
		for i, g := range to {
			part := placement.Owned{Range: r, Epoch: 2, Index: uint32(i), Of: 3}
			if err := mover.Adopt(t.Context(), g, receipts[:1], part); err == nil {
				t.Error("adopted on the word of one of two owners")
			}
			if err := mover.Adopt(t.Context(), g, receipts, part); err != nil {
				t.Fatal(err)
			}
		}
		if err := mover.Adopt(t.Context(), "b.1", nil, placement.Owned{}); err == nil {
			t.Error("adopted what nobody has ceded")
		}
		taker := to[ident.ShardOf("p/k/\xff", 3)]
		res := applied(t, machines[taker], fsm.Write{Term: 1, Txn: once})
		if res.Err != nil || !res.Txn.Replayed {
			t.Errorf("the retry at the new owner gave %+v, %v", res.Txn, res.Err)
		}
		if _, err := groups["b.2"].Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "p/x"}}}); err != nil {
			t.Fatal(err)
		}
		if err := mover.Empty(t.Context(), "b.2", r); !errors.Is(err, api.CodeConflict) {
			t.Errorf("not empty: %v", err)
		}
	})
}
