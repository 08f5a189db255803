package transport

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// wrapped is a connection in a room's own clothes.
type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

// TestIdentify: the port asks once a connection, on every lane between nodes, which node is at its other end; the answer stays with the
// connection, and an error closes it. Connections of clients are not asked about.
func TestIdentify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []Arrival
		p := open(t, Config{Identify: func(_ context.Context, a Arrival) (any, error) {
			asked = append(asked, a)
			if a.Caller == "stranger" {
				return nil, errors.New("not known here")
			}
			return "node " + a.Caller, nil
		}})
		raft := p.Raft("c/n/g")
		p.dialer.Caller = "s1"
		for _, lane := range []struct {
			name, target string
			l            net.Listener
			dial         func(ctx context.Context, address, name string) (net.Conn, error)
		}{
			{LaneRaft, "c/n/g", raft, func(ctx context.Context, address, name string) (net.Conn, error) {
				return p.dialer.DialRaft(ctx, address, name)
			}},
			{LanePeer, "", p.Peer(), func(ctx context.Context, address, name string) (net.Conn, error) {
				return p.dialer.DialPeer(ctx, address, name)
			}},
			{LaneCalls, "n", p.Calls(), func(ctx context.Context, address, name string) (net.Conn, error) {
				return p.dialer.DialCalls(ctx, address, name)
			}},
		} {
			asked = nil
			p.dialer.Caller = "s1"
			if _, err := lane.dial(t.Context(), "port", lane.target); err != nil {
				t.Fatal(err)
			}
			c, err := lane.l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if len(asked) != 1 || asked[0].Lane != lane.name || asked[0].Target != lane.target || asked[0].Caller != "s1" || asked[0].TLS != nil || asked[0].Remote == nil {
				t.Errorf("%s: asked about %+v", lane.name, asked)
			}
			if PeerOf(c) != "node s1" || PeerOf(wrapped{wrapped{c}}) != "node s1" {
				t.Errorf("%s: the connection is of %v", lane.name, PeerOf(c))
			}
			p.dialer.Caller = "stranger"
			refused, err := lane.dial(t.Context(), "port", lane.target)
			if err != nil {
				t.Fatal(err)
			}
			closedAfter(t, refused, time.Millisecond)
		}
		asked = nil
		p.raw(t, "GET /")
		c, err := p.HTTP().Accept()
		if err != nil || PeerOf(c) != nil || len(asked) != 0 {
			t.Errorf("a client's connection: %v, of %v, asked %v", err, PeerOf(c), asked)
		}
		if a, b := net.Pipe(); PeerOf(a) != nil {
			t.Errorf("%v is not of a lane", b)
		}
	})
}

// TestIdentifyEnds: a question about a connection ends with the time for its preface, and with the port.
func TestIdentifyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, Config{Preface: 2 * time.Second, Identify: func(ctx context.Context, _ Arrival) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		c, err := p.dialer.DialPeer(t.Context(), "port", "")
		if err != nil {
			t.Fatal(err)
		}
		if d := closedAfter(t, c, time.Minute); d != 2*time.Second {
			t.Errorf("closed after %v", d)
		}
		if c, err = p.dialer.DialPeer(t.Context(), "port", ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		closedAfter(t, c, time.Millisecond)
	})
}
