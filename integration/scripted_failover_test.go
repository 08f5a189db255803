package integration

import (
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestLeaderCrash: if the leader of a group crashes, what it had acknowledged survives and writes are back within 5 s.
// Edges keep their sessions, and go on to serve by their leases meanwhile.
func TestLeaderCrash(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const key, other, group = "us-east/greeting", "us-east/other", "us-east.1"
		us := p.byName["us-east-edge-1"]
		edges := []*host{us, p.byName["eu-west-edge-1"], p.byName["ap-south-edge-1"]}
		p.put(us, key, "kept")
		before := map[*host]ident.SessionID{}
		for _, e := range edges {
			p.lease(e, key, "kept")
			before[e] = p.session(e, key)
		}
		leader := p.leader(group)
		p.put(us, other, "acknowledged")
		kill(leader)
		crashed := time.Now()

		txn := put(other, "after")
		txn.ID = api.RequestID{Client: api.ClientID{2}, Seq: 1}
		w := p.begin(us, txn)
		for time.Since(crashed) < leaseTerm-keepAlive-reach {
			for _, e := range edges {
				if v, ok := e.byLease(key); !ok || v != "kept" {
					p.t.Fatalf("%v after the crash %s serves %q by a lease: %v", time.Since(crashed), e.name, v, ok)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
		if took := w.ok(p.t); took > 5*time.Second {
			p.t.Errorf("writes were back after %v", took)
		}
		p.soon(5*time.Second, "all edges serve by their leases", func() bool {
			for _, e := range edges {
				if _, ok := e.byLease(key); !ok {
					return false
				}
			}
			return true
		})
		for _, e := range edges {
			if now := p.session(e, key); now != before[e] {
				p.t.Errorf("the session of %s was %v and is %v", e.name, before[e], now)
			}
			p.reads(e, other, "after")
		}
		leader.start()
		p.ready(15 * time.Second)
		p.reads(leader, other, "after")
		p.sameState()
	})
}

// TestAcknowledgedSurvives: what was acknowledged survives a crash of the leader in the same instant, before any follower
// has learnt that it was committed, and a crash of all voters.
func TestAcknowledgedSurvives(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const key, group = "us-east/greeting", "us-east.1"
		eu := p.byName["eu-west-edge-1"]
		leader := p.leader(group)
		p.put(leader, key, "one")
		kill(leader)
		p.newLeader(group, leader)
		p.reads(eu, key, "one")

		p.put(eu, key, "two")
		var down []*host
		for _, h := range p.hosts {
			if h.region == "us-east" && h.running() != nil {
				down = append(down, h)
			}
		}
		kill(down...)
		for _, h := range append(down, leader) {
			h.start()
		}
		p.ready(15 * time.Second)
		p.reads(eu, key, "two")
		p.sameState()
	})
}

// TestOnce: a write with an id whose answer was lost is sent again through another gateway, after another write and
// another leader. It takes effect once, and the second attempt gets the result of the first.
func TestOnce(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const group = "us-east.1"
		us, eu, ap := p.byName["us-east-edge-1"], p.byName["eu-west-edge-1"], p.byName["ap-south-edge-1"]
		plain := put("us-east/plain", "first")
		plain.ID = api.RequestID{Client: api.ClientID{3}, Seq: 1}
		absent := put("us-east/absent", "first")
		absent.ID = api.RequestID{Client: api.ClientID{3}, Seq: 2}
		absent.If = []api.Cond{{Kind: api.CondAbsent, Key: "us-east/absent"}}
		txns := []*api.Txn{plain, absent}

		p.put(eu, "us-east/other", "eu knows the leader") // else it may try others first
		leader := p.leader(group)
		p.fabric.Cut(leader.name, eu.name)
		var first []api.Version
		for _, txn := range txns {
			key := txn.Then[0].Key
			if _, err := eu.store().Do(within(p.t, 2*time.Second), txn); api.CodeOf(err) != api.CodeAmbiguous {
				p.t.Fatalf("a write whose answer is lost: %v", err)
			}
			first = append(first, p.reads(us, key, "first").Entries[0].Version)
			p.put(us, key, "second")
		}
		kill(leader)
		p.fabric.HealAll()
		p.newLeader(group, leader)
		for i, txn := range txns {
			res, err := ap.store().Do(within(p.t, 10*time.Second), txn)
			if err != nil || !res.Replayed || !res.Committed || res.Version != first[i] {
				p.t.Errorf("sent again: %+v, %v; the first attempt was applied at %v", res, err, first[i])
			}
			for _, at := range []*host{us, eu, ap} {
				p.reads(at, txn.Then[0].Key, "second")
			}
		}
	})
}
