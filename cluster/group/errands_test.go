package group

import (
	"context"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// oneLost is a Groups of which one group is lost: a call to it ends when the caller's time is up.
type oneLost struct{}

func (oneLost) Outcome(ctx context.Context, ref ident.TxnRef, _ bool) (*fsm.Decision, error) {
	if ref.ID.Decider == "lost" {
		<-ctx.Done()
		return nil, unavailable("lost")
	}
	return &fsm.Decision{Txn: ref.ID, Outcome: ident.TxnAborted}, nil
}

func (oneLost) Resolve(ctx context.Context, c fsm.Resolve) error {
	if c.Group == "lost" {
		<-ctx.Done()
		return unavailable("lost")
	}
	return nil
}

func numbered(n int, decider api.GroupID) ident.TxnRef {
	id := ident.TxnID{Client: api.ClientID{1, byte(n >> 8), byte(n)}, Seq: 1, Attempt: 1 << 16, Decider: decider}
	return ident.TxnRef{ID: id, Age: ageAt(0)}
}

// TestLostDeciderHoldsNoPlace checks that, however many transactions wait for a lost decision group, those of another
// group end as soon as they would without them (after 13 s at most). This also holds for a transaction that comes
// when the lost ones have been pushed for long. Meanwhile the sweeper continues its other work.
func TestLostDeciderHoldsNoPlace(t *testing.T) {
	const lost = 600
	bubble(t, func(c *Config) { c.Groups = oneLost{} }, func(t *testing.T, l *testLog) {
		a, e := l.node("a"), l.edge("gone")
		prepare := func(n int, decider api.GroupID) {
			ref := numbered(n, decider)
			v, err := a.authority.Prepare(context.Background(), &fsm.Prepare{Group: "g.1", Txn: ref, Then: put("k"+api.Key(ref.ID.Client[:3]), "v").Then}, nil, false)
			if err != nil || v.Refused != nil {
				t.Fatal(v, err)
			}
		}
		ended := func() time.Duration {
			began := time.Now()
			for a.machine.Meta().Prepared > lost && time.Since(began) < time.Hour {
				time.Sleep(100 * time.Millisecond)
			}
			return time.Since(began)
		}
		for n := range lost {
			prepare(n, "lost")
		}
		prepare(lost, "alive")
		within(t, "the end of the other", ended(), 0, 13*time.Second)
		time.Sleep(time.Minute)
		prepare(lost+1, "alive")
		within(t, "the end of a later one", ended(), 0, 13*time.Second)
		e.close() // its session is ended by the sweeper
		time.Sleep(grantorWait + time.Minute + 2*sweepEvery)
		if n := len(a.machine.Sessions()); n != 0 {
			t.Errorf("%d sessions", n)
		}
	})
}

// TestLostParticipantHoldsNoPlace checks that, however many commits owe a lost participant, the commits of another
// participant are sent to it at once, and that a new leader sends them again.
func TestLostParticipantHoldsNoPlace(t *testing.T) {
	const lost = 600
	bubble(t, func(c *Config) { c.Groups = oneLost{} }, func(t *testing.T, l *testLog) {
		commit := func(n *testNode, i int, participants ...api.GroupID) {
			_, err := n.authority.Decide(context.Background(), &fsm.Decide{Txn: numbered(i, "g.1"), Outcome: ident.TxnCommitted, Participants: participants})
			if err != nil {
				t.Fatal(err)
			}
		}
		a := l.node("a")
		for i := range lost {
			commit(a, i, "lost")
		}
		time.Sleep(time.Second)
		commit(a, lost, "alive")
		commit(a, lost+1, "lost", "alive")
		time.Sleep(100 * time.Millisecond)
		if n := a.machine.Meta().Unresolved; n != lost+1 {
			t.Errorf("%d commits owe something, want %d", n, lost+1)
		}
		d, _ := a.machine.Decided(numbered(lost+1, "g.1").ID)
		if len(d.Unresolved) != 1 || d.Unresolved[0] != "lost" {
			t.Errorf("not resolved: %v", d.Unresolved)
		}
		b := l.elect("b")
		time.Sleep(time.Second)
		commit(b, lost+2, "alive")
		time.Sleep(100 * time.Millisecond)
		if n := b.machine.Meta().Unresolved; n != lost+1 {
			t.Errorf("at the new leader %d commits owe something", n)
		}
		b.authority.mu.Lock()
		defer b.authority.mu.Unlock()
		if q := b.authority.lead.notices; q.running["lost"] != notifyAtOnce || len(q.known) != lost+1 || len(q.queues) != 1 {
			t.Errorf("%d are under way to the lost group, %d are known, %d queues", q.running["lost"], len(q.known), len(q.queues))
		}
	})
}
