package remote

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

var (
	holder = Hello{Nonce: ident.Nonce{1}} // of the node that opens the stream
	sid    = ident.SessionID{Incarnation: 1, Index: 2}
)

// bothWays runs a test with the holder at another node, and at the server's own.
func bothWays(t *testing.T, f func(t *testing.T, w *world, from func() *station, start func(config) *station)) {
	t.Helper()
	for _, self := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var s *station
			start := func(cfg config) *station {
				s = w.start("s", cfg)
				return s
			}
			from := func() *station {
				if self {
					return s
				}
				c := w.start("c", config{})
				t.Cleanup(c.close)
				return c
			}
			f(t, w, from, start)
		})
	}
}

func open(t *testing.T, at *station, h Hello) words.LeaseStream {
	t.Helper()
	h.Node = at.id
	x, err := at.node("s").OpenLeases(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// recv returns the next event, or nil if the stream has ended.
func recv(t *testing.T, x words.LeaseStream) *words.LeaseEvent {
	t.Helper()
	e, err := x.Recv()
	if err != nil {
		if api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("the stream ended with %v", err)
		}
		return nil
	}
	return &e
}

// TestKeepAlives: every session is answered as soon as its group has, each by itself; slow groups and those that are not
// here are left out and not awaited.
func TestKeepAlives(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, from func() *station, start func(config) *station) {
		fast, slow, mute := newGroup("fast"), newGroup("slow"), newGroup("mute")
		slow.keepAlive = func(ctx context.Context, k *words.KeepAlive, s words.SessionKeepAlive) (words.SessionStatus, bool) {
			select {
			case <-time.After(time.Second):
				return words.SessionStatus{Group: s.Group, Seq: k.Seq}, true
			case <-ctx.Done():
				return words.SessionStatus{}, false
			}
		}
		mute.keepAlive = func(ctx context.Context, _ *words.KeepAlive, _ words.SessionKeepAlive) (words.SessionStatus, bool) {
			<-ctx.Done()
			return words.SessionStatus{}, false
		}
		all := map[api.GroupID]Group{"fast": fast, "slow": slow, "mute": mute}
		s := start(config{LeasesConfig: LeasesConfig{Groups: func(id api.GroupID) (Group, bool) { g, ok := all[id]; return g, ok }}})
		defer s.close()
		x := open(t, from(), holder)
		k := &words.KeepAlive{Node: "c", Nonce: holder.Nonce, Seq: 1}
		for _, g := range []api.GroupID{"slow", "mute", "elsewhere", "fast"} {
			k.Sessions = append(k.Sessions, words.SessionKeepAlive{Group: g, Session: sid})
		}
		began := time.Now()
		for seq := range uint64(2) {
			k := *k
			k.Seq = seq
			if err := x.SendKeepAlive(&k); err != nil {
				t.Fatal(err)
			}
			if e := recv(t, x); e == nil || len(e.Statuses) != 1 || e.Statuses[0].Group != "fast" || e.Statuses[0].Seq != seq || !e.Statuses[0].Extended {
				t.Fatalf("first came %+v", e)
			}
		}
		if d := time.Since(began); d > 100*time.Millisecond {
			t.Errorf("the fast group was answered after %v", d)
		}
		for range 2 {
			if e := recv(t, x); e == nil || e.Statuses[0].Group != "slow" {
				t.Errorf("then came %+v", e)
			}
		}
		if d := time.Since(began); d > 1200*time.Millisecond {
			t.Errorf("the slow group was answered after %v", d)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if err := x.SendKeepAlive(k); err == nil {
			t.Error("sent after Close")
		}
	})
}

// TestRenewalsAreBounded: a holder that sends faster than groups answer gets answers for what there is room for.
func TestRenewalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := newWorld(t), newGroup("g")
		running := make(chan struct{}, 100)
		g.keepAlive = func(ctx context.Context, _ *words.KeepAlive, _ words.SessionKeepAlive) (words.SessionStatus, bool) {
			running <- struct{}{}
			<-ctx.Done()
			return words.SessionStatus{}, false
		}
		s := w.start("s", config{LeasesConfig: LeasesConfig{Groups: g.only, MaxRenewals: 3}})
		defer s.close()
		x := open(t, s, holder)
		for range 10 {
			k := &words.KeepAlive{Nonce: holder.Nonce, Sessions: []words.SessionKeepAlive{{Group: "g"}}}
			if err := x.SendKeepAlive(k); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if len(running) != 3 {
			t.Errorf("%d renewals under way", len(running))
		}
	})
}

func TestRevokeAndAck(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, from func() *station, start func(config) *station) {
		g := newGroup("g")
		acks := make(chan words.RevokeAck, 10)
		g.acked = func(a words.RevokeAck) { acks <- a }
		s := start(config{LeasesConfig: LeasesConfig{Groups: g.only}})
		defer s.close()
		at := from()
		if err := s.leases.Revoke(holder.Nonce, at.id, words.Revocation{}); !errors.Is(err, api.CodeUnavailable) {
			t.Errorf("before there is a stream: %v", err)
		}
		x := open(t, at, holder)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		sent := words.Revocation{Group: "g", Session: sid, Leases: []words.RevokedLease{{Key: "k\xff", Lease: 3}}}
		if err := s.leases.Revoke(holder.Nonce, at.id, sent); err != nil {
			t.Fatal(err)
		}
		if err := s.leases.Revoke(ident.Nonce{9}, at.id, sent); !errors.Is(err, api.CodeUnavailable) {
			t.Errorf("another process of the node: %v", err)
		}
		e := recv(t, x)
		if e == nil || e.Revoke == nil || e.Revoke.Session != sid || len(e.Revoke.Leases) != 1 || e.Revoke.Leases[0] != sent.Leases[0] {
			t.Fatalf("came %+v", e)
		}
		forged := &words.RevokeAck{Group: "g", Session: sid, Nonce: ident.Nonce{9}, Leases: sent.Leases}
		honest := &words.RevokeAck{Group: "g", Session: sid, Nonce: holder.Nonce, Leases: sent.Leases}
		elsewhere := &words.RevokeAck{Group: "other", Nonce: holder.Nonce}
		if err := errors.Join(x.SendAck(forged), x.SendAck(elsewhere), x.SendAck(honest)); err != nil {
			t.Fatal(err)
		}
		if a := <-acks; a.Nonce != holder.Nonce || a.Node != at.id || a.Leases[0] != sent.Leases[0] {
			t.Errorf("acknowledged %+v", a)
		}
		_ = x.Close()
		time.Sleep(time.Second)
		synctest.Wait()
		if err := s.leases.Revoke(holder.Nonce, at.id, sent); !errors.Is(err, api.CodeUnavailable) {
			t.Errorf("after the stream: %v", err)
		}
	})
}

// TestRevokeNeverBlocks: a holder that does not read is not reachable, and no call waits for it.
func TestRevokeNeverBlocks(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, from func() *station, start func(config) *station) {
		s := start(config{LeasesConfig: LeasesConfig{Groups: newGroup("g").only, StreamQueue: 4}})
		defer s.close()
		at := from()
		x := open(t, at, holder)
		defer x.Close()
		time.Sleep(100 * time.Millisecond)
		leases := make([]words.RevokedLease, 1000)
		for i := range leases {
			leases[i].Key = api.Key(make([]byte, 1000))
		}
		began := time.Now()
		var err error
		for i := 0; err == nil && i < 200; i++ { // 200 MB: more than any window
			err = s.leases.Revoke(holder.Nonce, at.id, words.Revocation{Leases: leases})
			synctest.Wait()
		}
		if !errors.Is(err, api.CodeUnavailable) || time.Since(began) != 0 {
			t.Errorf("a holder that does not read: %v after %v", err, time.Since(began))
		}
	})
}

func TestAnnounce(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, from func() *station, start func(config) *station) {
		s := start(config{LeasesConfig: LeasesConfig{Groups: newGroup("g").only}})
		defer s.close()
		s.leases.Announce(words.Leads{Group: "g", Term: 5, Node: "s"})
		s.leases.Announce(words.Leads{Group: "g", Term: 4, Node: "s"}) // late
		at := from()
		x := open(t, at, holder)
		y := open(t, at, Hello{Nonce: ident.Nonce{2}})
		for _, st := range []words.LeaseStream{x, y} {
			if e := recv(t, st); e == nil || e.Leads == nil || e.Leads.Term != 5 {
				t.Errorf("on opening came %+v", e)
			}
		}
		s.leases.Announce(words.Leads{Group: "g", Term: 6, Node: "s"})
		for _, st := range []words.LeaseStream{x, y} {
			if e := recv(t, st); e == nil || e.Leads == nil || *e.Leads != (words.Leads{Group: "g", Term: 6, Node: "s"}) {
				t.Errorf("then came %+v", e)
			}
			_ = st.Close()
		}
	})
}

// TestNewestStreamWins: a process that opens a stream anew, its old one half dead, is reached by the new one.
func TestNewestStreamWins(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, from func() *station, start func(config) *station) {
		s := start(config{LeasesConfig: LeasesConfig{Groups: newGroup("g").only, MaxStreams: 1}})
		defer s.close()
		at := from()
		old := open(t, at, holder)
		time.Sleep(100 * time.Millisecond)
		x := open(t, at, holder)
		if e := recv(t, old); e != nil {
			t.Errorf("down the old stream came %+v", e)
		}
		if err := s.leases.Revoke(holder.Nonce, at.id, words.Revocation{Group: "g"}); err != nil {
			t.Fatal(err)
		}
		if e := recv(t, x); e == nil || e.Revoke == nil {
			t.Errorf("down the new stream came %+v", e)
		}
		other := open(t, at, Hello{Nonce: ident.Nonce{2}})
		if e := recv(t, other); e != nil {
			t.Errorf("down a stream too many came %+v", e)
		}
		if s.leases.holders() != 1 {
			t.Errorf("%d streams", s.leases.holders())
		}
		_ = x.Close()
	})
}

// TestServerCloses: open streams end with the server, which waits for their goroutines.
func TestServerCloses(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world, from func() *station, start func(config) *station) {
		s := start(config{LeasesConfig: LeasesConfig{Groups: newGroup("g").only}})
		x := open(t, from(), holder)
		time.Sleep(100 * time.Millisecond)
		s.close()
		if e := recv(t, x); e != nil {
			t.Errorf("came %+v", e)
		}
		if s.leases.holders() != 0 {
			t.Errorf("%d streams after Close", s.leases.holders())
		}
		if _, err := s.leases.attach(t.Context(), process{"c", holder.Nonce}); !errors.Is(err, api.CodeUnavailable) {
			t.Errorf("a stream after Close: %v", err)
		}
	})
}

// TestNoHello: a stream begins with a hello, or ends.
func TestNoHello(t *testing.T) {
	bothWays(t, func(t *testing.T, _ *world, from func() *station, start func(config) *station) {
		s := start(config{})
		defer s.close()
		end, err := streamLeases.Open(t.Context(), from().Pool.Remote("s"))
		if err != nil {
			t.Fatal(err)
		}
		defer end.Close()
		if err := end.Send(&leaseUp{KeepAlive: &words.KeepAlive{}}); err != nil {
			t.Fatal(err)
		}
		if e, err := end.Recv(); err == nil {
			t.Errorf("down came %+v", e)
		}
		if n := s.leases.holders(); n != 0 {
			t.Errorf("%d streams", n)
		}
	})
}

// TestBrokenStream: when the network resets a stream, both ends learn of it.
func TestBrokenStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, c := w.start("s", config{LeasesConfig: LeasesConfig{Groups: newGroup("g").only}}), w.start("c", config{})
		defer s.close()
		defer c.close()
		x := open(t, c, holder)
		time.Sleep(100 * time.Millisecond)
		w.Fabric.Crash("c")
		if e := recv(t, x); e != nil {
			t.Errorf("came %+v", e)
		}
		time.Sleep(time.Second) // until the other end has noticed
		if err := s.leases.Revoke(holder.Nonce, c.id, words.Revocation{}); !errors.Is(err, api.CodeUnavailable) {
			t.Errorf("to a dead holder: %v", err)
		}
	})
}
