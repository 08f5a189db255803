package remote

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

func TestLessorCrosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		s, c := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}}), w.start("c", config{})
		defer s.close()
		defer c.close()
		r := c.node("s")
		grant, err := r.OpenSession(t.Context(), words.OpenSession{Group: "g", Term: time.Second})
		if err != nil || grant.Session.Index != 7 || grant.DedupEpoch != 3 {
			t.Errorf("opened %+v, %v", grant, err)
		}
		if _, err := r.OpenSession(t.Context(), words.OpenSession{Group: "g", Term: time.Hour}); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("too long a term: %v", err)
		}
		leases := []ident.DroppedLease{{Session: grant.Session, Key: "k\xff", Lease: 4}}
		err = errors.Join(r.CloseSession(t.Context(), "g", grant.Session, ident.Nonce{1}), r.Release(t.Context(), "g", leases))
		if err != nil || g.closed != grant.Session || len(g.released) != 1 || g.released[0] != leases[0] {
			t.Errorf("closed %v, released %+v: %v", g.closed, g.released, err)
		}
		if _, err := words.Read(t.Context(), r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}, Group: "other"}); !errors.Is(err, api.CodeNotLeader) {
			t.Errorf("a group that is not there: %v", err)
		}
		if _, err := words.Read(t.Context(), r, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}}); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("no group: %v", err)
		}
	})
}

// TestLostAnswers: a write that may have been carried out is ambiguous, one that never left is not; reads never are.
func TestLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		stuck := make(chan struct{})
		g.do = func(ctx context.Context, _ *words.Txn) (*api.TxnResult, error) { <-stuck; return &api.TxnResult{}, nil }
		g.read = func(ctx context.Context, _ *words.ReadRequest) (*words.ReadResult, error) {
			<-stuck
			return &words.ReadResult{}, nil
		}
		s, c := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}}), w.start("c", config{})
		defer c.close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := c.node("s")
		txn := &words.Txn{Group: "g", Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k"}}}}
		if _, err := r.Do(ctx, txn); api.CodeOf(err) != api.CodeAmbiguous {
			t.Errorf("a write without an answer: %v", err)
		}
		if _, err := r.Do(ctx, txn); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("a write whose time was up before it left: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := words.Read(ctx, r, &words.ReadRequest{Group: "g", ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}}); api.CodeOf(err) != api.CodeUnavailable {
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

// TestAnotherNode: calls never go to a node that was not meant, so their outcome is known; and when the right one is there
// again, they do.
func TestAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		w.Moved = true
		s, c := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}}), w.start("c", config{})
		defer s.close()
		defer c.close()
		r := named{c.node("s"), "g"}
		txn := &words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k"}}}}
		for range 3 {
			if _, err := r.Do(t.Context(), txn); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("a write to another node: %v", err)
			}
		}
		w.Moved = false
		time.Sleep(time.Second)
		if _, err := r.Do(t.Context(), txn); err != nil {
			t.Errorf("the node is there: %v", err)
		}
		byAddress := named{Node{c.Pool.RemoteAt("s")}, "g"}
		if _, err := byAddress.Do(t.Context(), txn); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("a write to the node at an address: %v", err)
		}
	})
}

// TestLimits: the lane of small calls and this node's own calls share one limit, and sessions have no part in that.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		free := make(chan struct{})
		g.read = func(context.Context, *words.ReadRequest) (*words.ReadResult, error) {
			<-free
			return &words.ReadResult{}, nil
		}
		s, c := w.start("s", config{ServerConfig: peer.ServerConfig{Room: admission.New(admission.Config{SlowAfter: time.Hour, Shares: admission.Shares{admission.Request: 2}})}, LeasesConfig: LeasesConfig{Groups: g.only}}), w.start("c", config{})
		defer s.close()
		defer c.close()
		var wg sync.WaitGroup
		q := &words.ReadRequest{Group: "g", ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}}
		for _, at := range []*station{s, c} {
			wg.Go(func() {
				if _, err := words.Read(t.Context(), at.node("s"), q); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		for _, at := range []*station{s, c} {
			_, err := words.Read(t.Context(), at.node("s"), q)
			if e := api.AsError(err); e.Code != api.CodeUnavailable || e.RetryAfter == 0 {
				t.Errorf("one too many: %v", err)
			}
		}
		if err := c.node("s").Release(t.Context(), "g", nil); err != nil {
			t.Errorf("sessions have no part in that: %v", err)
		}
		close(free)
		wg.Wait()
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
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: func(id api.GroupID) (Group, bool) { g, ok := groups[id]; return g, ok }}})
		c := w.start("c", config{})
		defer s.close()
		defer c.close()
		mover := &Mover{Pool: c.Pool, OnLeader: func(ctx context.Context, _ api.GroupID, _ string, _ bool, call func(context.Context, api.NodeID) error) error {
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
			if _, err := mover.Empty(t.Context(), g, r); err != nil {
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
				t.Error("adopted by the receipt of one of two owners")
			}
			if err := mover.Adopt(t.Context(), g, receipts, part); err != nil {
				t.Fatal(err)
			}
		}
		if err := mover.Adopt(t.Context(), "b.1", nil, placement.Owned{}); err == nil {
			t.Error("adopted what was not ceded")
		}
		taker := to[ident.ShardOf("p/k/\xff", 3)]
		res := applied(t, machines[taker], fsm.Write{Term: 1, Txn: once})
		if res.Err != nil || !res.Txn.Replayed {
			t.Errorf("the retry at the new owner gave %+v, %v", res.Txn, res.Err)
		}
		if _, err := groups["b.2"].Do(t.Context(), &words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "p/x"}}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := mover.Empty(t.Context(), "b.2", r); !errors.Is(err, api.CodeConflict) {
			t.Errorf("not empty: %v", err)
		}
	})
}
