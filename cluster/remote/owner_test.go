package remote

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestHelloOfAnother (Attack 8): a lease stream is for the node that opens it. One that names another node is refused; one with
// another node's nonce takes over nothing: revocations go to the holder, and messages of the stream are those of its own node.
func TestHelloOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		renewed := make(chan api.NodeID, 10)
		g.keepAlive = func(_ context.Context, k *words.KeepAlive, s words.SessionKeepAlive) (words.SessionStatus, bool) {
			renewed <- k.Node
			return words.SessionStatus{Group: s.Group, Session: s.Session, Seq: k.Seq}, true
		}
		acks := make(chan words.RevokeAck, 10)
		g.acked = func(a words.RevokeAck) { acks <- a }
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		c, liar := w.start("c", config{}), w.start("liar", config{})
		defer c.close()
		defer liar.close()
		honest := open(t, c, holder)
		time.Sleep(100 * time.Millisecond)

		named, err := liar.node("s").OpenLeases(t.Context(), Hello{Node: "c", Nonce: holder.Nonce})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := named.Recv(); api.CodeOf(err) != api.CodeDenied {
			t.Errorf("a hello for another node: %v", err)
		}
		forged := open(t, liar, holder) // with the same nonce
		k := &words.KeepAlive{Node: "c", Nonce: holder.Nonce, Sessions: []words.SessionKeepAlive{{Group: "g", Session: sid}}}
		if err := forged.SendKeepAlive(k); err != nil {
			t.Fatal(err)
		}
		if n := <-renewed; n != "liar" {
			t.Errorf("a keep-alive is taken for one of %s", n)
		}
		if err := forged.SendAck(&words.RevokeAck{Group: "g", Session: sid, Nonce: holder.Nonce, Node: "c"}); err != nil {
			t.Fatal(err)
		}
		if a := <-acks; a.Node != "liar" {
			t.Errorf("an acknowledgement is taken for one of %s", a.Node)
		}
		if err := s.leases.Revoke(holder.Nonce, "c", words.Revocation{Group: "g", Session: sid}); err != nil {
			t.Fatal(err)
		}
		if e := recv(t, honest); e == nil || e.Revoke == nil {
			t.Errorf("down the holder's stream came %+v", e)
		}
	})
}

// TestOpenSessionOfAnother (Attack 8): a session belongs to the node that opens it, whatever its request says.
func TestOpenSessionOfAnother(t *testing.T) {
	bothWays(t, func(t *testing.T, _ *world, from func() *station, start func(config) *station) {
		g := newGroup("g")
		s := start(config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		at := from()
		if _, err := at.node("s").OpenSession(t.Context(), words.OpenSession{Group: "g", Node: "another", Nonce: ident.Nonce{1}, Term: time.Second}); err != nil {
			t.Fatal(err)
		}
		if g.opened.Node != at.id {
			t.Errorf("the session of %s is opened for %s", at.id, g.opened.Node)
		}
	})
}
