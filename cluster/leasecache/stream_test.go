package leasecache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestStreamBreaks checks that a broken stream is opened again, and that nothing else changes.
func TestStreamBreaks(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.lease("a/k")
		sid := r.session("a")
		for i := range 5 {
			r.streams["n1"].cut()
			synctest.Wait()
			if !r.servable("a/k") {
				t.Fatal("a broken stream took a lease")
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if r.dials != i+2 {
				t.Fatalf("%d streams were opened after %d breaks", r.dials, i+1)
			}
		}
		time.Sleep(2 * term)
		if !r.servable("a/k") || r.session("a") != sid || len(r.opened) != 1 {
			t.Error("the session did not live on over the new stream")
		}
	})
}

// TestPeerThatCannotBeDialled checks that dials are spaced out, and that Close does not wait for one that hangs.
func TestPeerThatCannotBeDialled(t *testing.T) {
	dials := 0
	hang := func(ctx context.Context, _ api.NodeID) (words.LeaseStream, error) {
		if dials++; dials > 10 {
			<-ctx.Done()
		}
		return nil, errors.New("refused")
	}
	bubble(t, func(t *testing.T, r *rig) {
		time.Sleep(time.Minute)
		synctest.Wait()
		if dials < 11 || dials > 40 {
			t.Errorf("%d dials in a minute", dials)
		}
	}, func(c *Config) { c.Open = hang })
}

// TestOneKeepAliveAPeer checks that a message covers all sessions of groups with a voter at the peer, and is sent once
// a beat.
func TestOneKeepAliveAPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.peers = []PeerGroups{{"n1", []api.GroupID{"a", "b"}}, {"n2", []api.GroupID{"b", "c", ident.MetaGroup}}, {"n3", nil}}
		r.Start()
		time.Sleep(10*beat + beat/2)
		synctest.Wait()
		got := map[int]int{}
		seqs := map[uint64]bool{}
		for _, k := range r.alive {
			got[len(k.Sessions)]++
			if seqs[k.Seq] || k.Node != "edge" || k.Nonce != testNonce {
				t.Errorf("keep-alive %+v", k)
			}
			seqs[k.Seq] = true
		}
		if n := len(r.alive); n > 22 || got[2] < 20 { // the first may be sent before all sessions are open
			t.Errorf("keep-alives by sessions covered: %v", got)
		}
		if len(r.opened) != 3 || r.dials != 3 {
			t.Errorf("%d sessions, %d streams", len(r.opened), r.dials)
		}
		// n2 goes, n4 comes.
		r.change(func() { r.peers = []PeerGroups{{"n1", []api.GroupID{"a", "b"}}, {"n4", []api.GroupID{"c"}}} })
		time.Sleep(2 * beat)
		synctest.Wait()
		if r.streams["n2"].ctx.Err() == nil || r.streams["n3"].ctx.Err() == nil || r.streams["n4"] == nil || r.streams["n4"].ctx.Err() != nil {
			t.Error("streams do not follow the peers")
		}
		r.Close()
		if len(r.closed) != 3 {
			t.Errorf("%d sessions were closed", len(r.closed))
		}
	})
}

// TestLeads checks that a cache that hears of a new leader asks it at once.
func TestLeads(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		time.Sleep(beat / 4)
		synctest.Wait()
		before := len(r.alive)
		l := words.Leads{Group: "a", Term: 7, Node: "n1"}
		r.streams["n1"].down <- words.LeaseEvent{Leads: &l}
		synctest.Wait()
		if len(r.led) != 1 || r.led[0] != l || len(r.alive) != before+1 {
			t.Errorf("led %v, %d keep-alives more", r.led, len(r.alive)-before)
		}
	})
}

// TestOpeningFails checks that a failed opening is tried again, with pauses. Reads go on without requesting leases.
func TestOpeningFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		tries := 0
		r.lessor.open = func(ctx context.Context, o words.OpenSession) (words.SessionGrant, error) {
			if tries++; tries < 5 {
				return words.SessionGrant{}, &api.Error{Code: api.CodeUnavailable}
			}
			return r.ownerOpen(ctx, o)
		}
		r.Start()
		synctest.Wait()
		for range 5 {
			if _, by := r.get("a/k"); by != api.ServedByOwner {
				t.Errorf("served by %v", by)
			}
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if tries != 5 || len(r.opened) != 1 {
			t.Errorf("%d tries, %d opened", tries, len(r.opened))
		}
		r.lease("a/k")
		r.Close()
	})
}

// TestClose checks that after Close nothing is served and sessions are closed at their groups. A group that does not
// answer does not delay Close for long.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.peers = []PeerGroups{{"n1", []api.GroupID{"a", "b"}}}
		r.lessor.close = func(ctx context.Context, g api.GroupID, s ident.SessionID, n ident.Nonce) error {
			if r.servable("a/k") || n != testNonce {
				t.Error("a session was closed while its leases were in use")
			}
			if g == "b" {
				<-ctx.Done()
				return ctx.Err()
			}
			return r.ownerClose(ctx, g, s, n)
		}
		r.Start()
		synctest.Wait()
		r.put("a/k", "v")
		r.lease("a/k")
		began := time.Now()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d != 2*time.Second || len(r.closed) != 1 {
			t.Errorf("closed %d sessions in %v", len(r.closed), d)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		r.Start()
		_, err1 := storetest.Read(t.Context(), r, &api.ReadRequest{Keys: []api.Key{"a/k"}})
		_, err2 := r.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "a/k"}}})
		_, err3 := r.List(t.Context(), &api.ListRequest{})
		for _, err := range []error{err1, err2, err3} {
			if !errors.Is(err, api.CodeUnavailable) {
				t.Errorf("after Close: %v", err)
			}
		}
	})
}
