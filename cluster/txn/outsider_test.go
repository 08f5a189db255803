package txn

import (
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestClientsCannotSpeakAsAGateway checks that a request under the id of a gateway's own client is refused, whatever it
// acknowledges, and that the gateway's transactions go on. No error contains that id.
func TestClientsCannotSpeakAsAGateway(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		g := w.gateway("us")
		own := g.own.client
		if (api.RequestID{Client: own, Seq: 1}).Check() == nil || own == w.gateway("us").own.client {
			t.Fatalf("a gateway's client is %v", own)
		}
		tx := leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{addOp("us/a", 1), addOp("eu/a", 1)}}}, "eu/far")
		if _, err := g.Do(within(t, 5*time.Second), tx); err != nil {
			t.Fatal(err)
		}
		for _, keys := range [][]api.Op{{putOp("us/x", "v")}, {putOp("eu/x", "v")}, {putOp("us/x", "v"), putOp("eu/x", "v")}} {
			for _, id := range []api.RequestID{{Client: own, Seq: 4e9, AckedBelow: 4e9}, {Client: own, Seq: 1, AckedBelow: 4e9}, {Client: own}} {
				front := words.Plain{Store: w.gateway("eu")}
				if _, err := front.Do(within(t, 5*time.Second), &api.Txn{ID: id, Then: keys}); api.CodeOf(err) != api.CodeInvalid {
					t.Errorf("%v: %v, want invalid", id, err)
				}
			}
		}
		if _, err := g.Do(within(t, 5*time.Second), tx); err != nil {
			t.Errorf("a transaction of the gateway: %v", err)
		}

		// A gateway that stops in the middle leaves locks whose decision group cannot be asked.
		g.line.point = func(p point) error {
			if p.kind == "decide" || p.kind == "abort" || p.kind == "outcome" || p.kind == "resolve" {
				return api.Errorf(api.CodeAmbiguous, "lost")
			}
			return nil
		}
		if _, err := g.Do(within(t, time.Second), tx); err == nil {
			t.Fatal("the transaction ended")
		}
		w.cut("eu.1", "us.1", true)
		for _, ops := range [][]api.Op{{putOp("eu/a", "v")}, {putOp("eu/a", "v"), putOp("us/b", "v")}} {
			_, err := w.gateway("eu").Do(within(t, time.Second), &words.Txn{Txn: api.Txn{Then: ops}})
			if err == nil || strings.Contains(err.Error(), own.String()) {
				t.Errorf("a write of a locked key: %v", err)
			}
		}
		w.cut("eu.1", "us.1", false)
		w.settled(30 * time.Second)
	})
}
