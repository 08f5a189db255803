package cluster

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/peer/peertest"
	"github.com/edgehold/edgehold/cluster/words"
)

func noDial(context.Context, api.NodeID) (net.Conn, error) { return nil, net.ErrClosed }

// TestSlowScope: a node that serves some prefixes alone learns of requests for other keys without the keys.
func TestSlowScope(t *testing.T) {
	s := newSlowRequests("us-1")
	for _, k := range []api.Key{"shop/a", "bank/b", ""} {
		s.log.Add(time.Now(), api.SlowRequest{Key: k, TookMS: 10, Started: time.Now()})
	}
	for range 20_000 {
		s.hot.Read("bank/b")
	}
	for _, scope := range [][]api.Key{nil, {"shop/"}} {
		own := &words.Caller{Node: "edge", Role: api.RoleEdge, Scope: scope}
		server, err := peer.NewServer(peer.ServerConfig{Self: "us-1", Role: api.RoleServer, Own: own})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		s.register(server)
		pool, err := peer.NewPool(peer.PoolConfig{Server: server, Dial: noDial, DialCalls: noDial})
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		r, err := methodSlow.Ask(t.Context(), pool.Remote("us-1"), &peer.Nothing{})
		if err != nil || len(r.Slow) != 3 || len(r.Hot) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		for _, x := range r.Slow {
			if shown, may := x.Key == "bank/b", scope == nil; shown && !may || x.Hidden && may {
				t.Errorf("scope %q: %+v", scope, x)
			}
		}
		if shown := r.Hot[0].Key != ""; shown != (scope == nil) || r.Hot[0].Hidden == shown {
			t.Errorf("scope %q: %+v", scope, r.Hot)
		}
	}
}

// TestSlowOfAnOlderNode: a node whose version does not know the method is distinguished from one that does not answer.
func TestSlowOfAnOlderNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := peertest.New(t)
		older, asks := w.Start("older", peer.ServerConfig{}, nil, func(*peer.Server) {}), w.Start("asks", peer.ServerConfig{}, nil, func(*peer.Server) {})
		defer older.Close()
		defer asks.Close()
		ids := []api.NodeID{"older", "down"}
		out := reportSlow(ids, []*slowReport{askSlow(t.Context(), asks.Pool, "older"), askSlow(t.Context(), asks.Pool, "down")})
		if out.Nodes[0].State != "older" || out.Nodes[1].State != "unreachable" {
			t.Errorf("the nodes are %+v", out.Nodes)
		}
	})
}

// TestSlowOfOthers: what another node says is its own, with the times at which its requests started, and of a bounded number.
func TestSlowOfOthers(t *testing.T) {
	at := time.Now()
	r := &slowReport{Slow: make([]slowRow, 1000), Hot: make([]api.HotKey, 1000)}
	r.Slow[0] = slowRow{api.SlowRequest{Node: "another", TookMS: 5}, at.UnixMicro()}
	out := reportSlow([]api.NodeID{"b", "c"}, []*slowReport{r.from("b"), nil})
	if len(out.Slow) > 160 || len(out.Hot) > 20 || out.Slow[0].Node != "b" || out.Slow[0].Started.UnixMicro() != at.UnixMicro() {
		t.Errorf("%d slow, %d hot, the first %+v", len(out.Slow), len(out.Hot), out.Slow[0])
	}
	if len(out.Nodes) != 2 || out.Nodes[0].State != "up" || out.Nodes[1].State != "unreachable" {
		t.Errorf("the nodes are %+v", out.Nodes)
	}
}
