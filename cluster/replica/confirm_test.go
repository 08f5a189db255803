package replica

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// quiet is a timing with which leaders send only heartbeats between entries, and a leader without contact to a quorum stays
// leader for a while.
var quiet = Timing{Commit: 10 * time.Second, LeaderLease: time.Second}

// readAtDeposed deposes l by a transfer to b that l does not learn of, commits a write at b, and then reads at l as an owner
// would: confirm, then look. Meanwhile release delivers what the schedule held back. It reports whether l still believed that it
// led at the read: sometimes "lead now" crosses a heartbeat and is lost, which shows nothing.
func readAtDeposed(t *testing.T, g *group, l, b *node, release func()) (shown bool) {
	t.Helper()
	term := l.rep.CurrentTerm()
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.rep.Transfer(t.Context(), b.name) })
	time.Sleep(g.net.latency / 2)
	g.net.hold(true, []string{b.name}, l.name) // "lead now" is under way to b; nothing comes back
	defer wg.Wait()
	defer g.net.hold(false, g.others(), g.others()...)
	g.must(g.leader(l.name), "new")
	if !l.rep.IsLeader() || l.rep.CurrentTerm() != term {
		return false
	}
	wg.Go(func() {
		time.Sleep(5 * time.Millisecond)
		release()
	})
	err := l.rep.QuorumConfirm(t.Context(), term)
	if err == nil && !l.machine.has("new") {
		t.Error("a stale read: the deposed leader was confirmed after a newer one had acknowledged a write")
	}
	if err != nil {
		wantCode(t, err, api.CodeNotLeader)
	}
	return true
}

// untilShown repeats a schedule until it has happened as planned.
func untilShown(t *testing.T, schedule func(t *testing.T, g *group) (shown bool)) {
	for range 20 {
		shown := false
		simulateTimed(t, 3, Limits{}, quiet, func(t *testing.T, g *group) { shown = schedule(t, g) })
		if shown {
			return
		}
	}
	t.Error("the schedule never happened as planned")
}

// TestConfirmDelayedAck is the first schedule by which VerifyLeader confirms a deposed leader: an acknowledgement that a
// follower gave before the election arrives after the question.
func TestConfirmDelayedAck(t *testing.T) {
	untilShown(t, func(t *testing.T, g *group) bool {
		l := g.leader()
		others := g.others(l.name)
		b, c := g.nodes[others[0]], g.nodes[others[1]]
		g.must(l, "old")
		time.Sleep(time.Second)
		g.net.hold(true, []string{c.name}, l.name)
		time.Sleep(250 * time.Millisecond) // a heartbeat has reached c; its answer is under way
		return readAtDeposed(t, g, l, b, func() { g.net.hold(false, []string{c.name}, l.name) })
	})
}

// TestConfirmNonVoter is the second schedule: the old leader reaches no voter, only a member without a vote.
func TestConfirmNonVoter(t *testing.T) {
	untilShown(t, func(t *testing.T, g *group) bool {
		l := g.leader()
		others := g.others(l.name)
		b, c := g.nodes[others[0]], g.nodes[others[1]]
		d := g.join("n9")
		_, index := l.rep.Members()
		if err := l.rep.AddMember(t.Context(), Member{Node: d.name, Address: d.name}, index); err != nil {
			t.Fatal(err)
		}
		g.until(10*time.Second, "caught-up member", func() bool { return l.rep.CaughtUp(d.name) })
		g.must(l, "old")
		time.Sleep(time.Second)
		g.net.hold(true, others, l.name) // what says "transfer" to b still passes
		g.net.hold(true, []string{l.name}, c.name)
		g.net.cut(true, []string{d.name}, others...)
		return readAtDeposed(t, g, l, b, func() {})
	})
}

func TestConfirmSharesRounds(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		var asked atomic.Int64
		g.ask = func(context.Context, string) error {
			asked.Add(1)
			time.Sleep(10 * time.Millisecond)
			return nil
		}
		l := g.leader()
		term := l.rep.CurrentTerm()
		confirm := func() {
			if err := l.rep.QuorumConfirm(t.Context(), term); err != nil {
				t.Error(err)
			}
		}
		var wg sync.WaitGroup
		wg.Go(confirm)
		time.Sleep(time.Millisecond) // the first round is under way
		start := time.Now()
		for range 100 {
			wg.Go(confirm)
		}
		wg.Wait()
		if n := asked.Load(); n != 4 {
			t.Errorf("101 calls asked %d questions, want 4: two rounds", n)
		}
		if d := time.Since(start); d < 19*time.Millisecond {
			t.Errorf("calls that came %v before the end shared a round that had begun before", d)
		}
	})
}

func TestConfirmOnlyVoters(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		_, index := l.rep.Members()
		if err := l.rep.AddMember(t.Context(), Member{Node: "x", Address: "x"}, index); err != nil {
			t.Fatal(err)
		}
		g.ask = func(_ context.Context, node string) error {
			if node == "x" || node == l.name {
				t.Errorf("%s is asked", node)
			}
			return nil
		}
		if err := l.rep.QuorumConfirm(t.Context(), l.rep.CurrentTerm()); err != nil {
			t.Error(err)
		}
	})
}

func TestConfirmFails(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		term := l.rep.CurrentTerm()
		wantCode(t, l.rep.QuorumConfirm(t.Context(), term-1), api.CodeNotLeader)
		wantCode(t, l.rep.QuorumConfirm(t.Context(), term+1), api.CodeNotLeader)
		other := g.nodes[g.others(l.name)[0]]
		wantCode(t, other.rep.QuorumConfirm(t.Context(), term), api.CodeNotLeader)

		var all atomic.Bool
		g.ask = func(ctx context.Context, node string) error {
			if node == other.name && !all.Load() {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		for range 100 { // one silent voter does no harm, and its questions stay few
			if err := l.rep.QuorumConfirm(t.Context(), term); err != nil {
				t.Fatal(err)
			}
		}
		all.Store(true)
		start := time.Now()
		wantCode(t, l.rep.QuorumConfirm(t.Context(), term), api.CodeNotLeader)
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("no answer took %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		wantCode(t, l.rep.QuorumConfirm(ctx, term), api.CodeUnavailable)
	})
}

// TestConfirmLosesTerm: a leader that learns of a higher term during the round is not confirmed.
func TestConfirmLosesTerm(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		term := l.rep.CurrentTerm()
		go2 := make(chan struct{})
		g.ask = func(context.Context, string) error {
			<-go2
			return nil
		}
		done := make(chan error)
		go func() { done <- l.rep.QuorumConfirm(t.Context(), term) }()
		synctest.Wait()
		if err := l.rep.Transfer(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		close(go2)
		wantCode(t, <-done, api.CodeNotLeader)
	})
}

func TestConfirmAlone(t *testing.T) {
	simulate(t, 1, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		if err := l.rep.QuorumConfirm(t.Context(), l.rep.CurrentTerm()); err != nil {
			t.Error(err)
		}
	})
}
