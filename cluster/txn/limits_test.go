package txn

import (
	"encoding/binary"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// refusedAtALimit checks that the transaction, one of whose groups is at a limit, is refused as not applied, leaves
// nothing locked in the other group, and blocks no other request in either.
func (w *world) refusedAtALimit(g *gateway, tx *words.Txn, limit string) {
	w.t.Helper()
	began := time.Now()
	_, err := g.Do(within(w.t, 5*time.Second), tx)
	if e := api.AsError(err); e == nil || e.Code != api.CodeUnavailable || e.Applied() != "no" || !strings.Contains(e.Hint, limit) {
		w.t.Errorf("at the limit: %v", err)
	}
	if took := time.Since(began); took > 4*q {
		w.t.Errorf("at the limit: it took %v", took)
	}
	w.mustWrite("eu/a", 4*q)
	w.mustWrite("us/a", 4*q)
}

// TestPreparedLimit checks that a group that has as many prepared transactions as it may refuses more of them, and only
// those, until some are over.
func TestPreparedLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of requests, for a limit")
	}
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.cut("us.1", "eu.1", true) // it decides, so that they stay
		var all sync.WaitGroup
		for i := range fsm.MaxPrepared {
			all.Go(func() {
				p := &fsm.Prepare{Group: "us.1", If: []api.Cond{{Kind: api.CondAbsent, Key: api.Key("us/none" + string(rune('a'+i%100)))}}}
				p.Txn = ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{7}, Seq: uint64(i + 1), Attempt: 1, Decider: "eu.1"}, Age: 1}
				if v, err := w.groups["us.1"].leader().Prepare(within(t, time.Minute), p, nil, true); err != nil || v.Refused != nil {
					t.Errorf("%d: %+v, %v", i, v, err)
				}
			})
		}
		all.Wait()
		g := w.gateway("us")
		for _, tx := range []*words.Txn{
			{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}},
			leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}}, "eu/far"),
			{Txn: api.Txn{ID: requestOf(1), Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}},
		} {
			w.refusedAtALimit(g, tx, "prepared")
		}
		w.cut("us.1", "eu.1", false)
		w.settled(5 * time.Minute)
		if _, err := g.Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}}); err != nil {
			t.Error(err)
		}
	})
}

// TestClientRecordsLimit checks that a group refuses the next request of a client that has as many unacknowledged
// requests there as may be kept, until the client acknowledges some. Other clients are not refused.
func TestClientRecordsLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of requests, for a limit")
	}
	inWorld(t, 1, func(t *testing.T, w *world) {
		client := api.ClientID{7}
		leader := w.groups["eu.1"].leader()
		var all sync.WaitGroup
		for i := range fsm.MaxClientRecords {
			all.Go(func() {
				tx := &words.Txn{Txn: api.Txn{ID: api.RequestID{Client: client, Seq: uint64(i + 1)}, Then: []api.Op{putOp("eu/n", "")}}, Group: "eu.1"}
				tx.Then[0].Value = binary.BigEndian.AppendUint64(nil, uint64(i))
				if _, err := leader.Do(within(t, time.Minute), tx); err != nil {
					t.Errorf("%d: %v", i, err)
				}
			})
		}
		all.Wait()
		g := w.gateway("us")
		next := func(below uint64, other api.ClientID) *words.Txn {
			id := api.RequestID{Client: other, Seq: fsm.MaxClientRecords + 1, AckedBelow: below}
			return &words.Txn{Txn: api.Txn{ID: id, Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}}
		}
		w.refusedAtALimit(g, next(0, client), "acknowledged")
		if _, err := g.Do(within(t, 5*time.Second), next(0, api.ClientID{8})); err != nil {
			t.Errorf("another client: %v", err)
		}
		if _, err := g.Do(within(t, 5*time.Second), next(fsm.MaxClientRecords, client)); err != nil {
			t.Errorf("having acknowledged: %v", err)
		}
		w.settled(20 * time.Second)
	})
}
