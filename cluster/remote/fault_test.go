package remote

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestPanics: a request of another node, or of this one, that meets a fault in the program fails alone, whichever way it came,
// and so does a message of a lease stream.
func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g") // it has no Participant: a call to it as one panics
		reported := 0
		g.do = func(context.Context, *words.Txn) (*api.TxnResult, error) { panic("a fault") }
		g.keepAlive = func(_ context.Context, k *words.KeepAlive, x words.SessionKeepAlive) (words.SessionStatus, bool) {
			if k.Seq == 1 {
				panic("a fault")
			}
			return words.SessionStatus{Group: "g", Session: x.Session, Seq: k.Seq, Extended: true}, true
		}
		s := w.start("s", config{ServerConfig: peer.ServerConfig{Faults: fault.NewCatcher(observe.NoMetrics{}, func(string, ...any) { reported++ })}, LeasesConfig: LeasesConfig{Groups: g.only}})
		c := w.start("c", config{})
		defer s.close()
		defer c.close()
		for from, r := range map[*station]Node{c: c.node("s"), s: s.node("s")} {
			txn := &words.Txn{Group: "g", Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k"}}}}
			if _, err := r.Do(t.Context(), txn); api.CodeOf(err) != api.CodeInternal {
				t.Errorf("a write: %v", err)
			}
			if _, err := r.Prepare(t.Context(), &fsm.Prepare{Group: "g", Txn: ident.TxnRef{ID: from.attempt(1, "g")}}, nil, false); api.CodeOf(err) != api.CodeInternal {
				t.Errorf("a prepare: %v", err)
			}
			if _, err := words.Read(t.Context(), r, &words.ReadRequest{Group: "g", ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}}); err != nil {
				t.Errorf("a read beside them: %v", err)
			}
		}
		leases, err := c.node("s").OpenLeases(t.Context(), Hello{Node: "c", Nonce: ident.Nonce{1}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = leases.Close() }()
		for seq := range uint64(2) {
			k := &words.KeepAlive{Node: "c", Nonce: ident.Nonce{1}, Seq: seq + 1, Sessions: []words.SessionKeepAlive{{Group: "g"}}}
			if err := leases.SendKeepAlive(k); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if e, err := leases.Recv(); err != nil || len(e.Statuses) != 1 || e.Statuses[0].Seq != 2 {
			t.Errorf("the stream gave %+v, %v", e, err)
		}
		if reported != 5 {
			t.Errorf("%d panics were reported, of 5", reported)
		}
	})
}
