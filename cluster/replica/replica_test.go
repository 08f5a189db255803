package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

func TestProposeReturnsTheMachinesResult(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		before := len(l.machine.applied)
		for i := range 5 {
			command := fmt.Sprint("c", i)
			if r := g.must(l, command); r.Command != command || r.Place != before+i+1 {
				t.Errorf("the result of %s is %+v", command, r)
			}
		}
		g.settle()
	})
}

func TestProposeElsewhereNamesTheLeader(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		time.Sleep(time.Second)
		for _, name := range g.others(l.name) {
			_, err := g.nodes[name].rep.Propose(t.Context(), []byte("c"))
			wantCode(t, err, api.CodeNotLeader)
			if e := api.AsError(err); string(e.Leader) != l.name {
				t.Errorf("the error names leader %q, want %s", e.Leader, l.name)
			}
			if leader, term := g.nodes[name].rep.Leader(); leader != l.name || term != l.rep.CurrentTerm() {
				t.Errorf("%s believes that %s leads in term %d", name, leader, term)
			}
		}
	})
}

// TestGroupCommit proposes from many clients at once: few entries carry them all.
func TestGroupCommit(t *testing.T) {
	simulate(t, 3, Limits{EntryCommands: 100}, func(t *testing.T, g *group) {
		l := g.leader()
		const clients, each = 200, 10
		entries := l.machine.entries
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				for i := range each {
					g.must(l, fmt.Sprintf("c%d.%d", c, i))
				}
			})
		}
		wg.Wait()
		if n := l.machine.entries - entries; n > clients*each/20 {
			t.Errorf("%d commands took %d entries", clients*each, n)
		}
		if all := l.machine.all(); len(all) != clients*each {
			t.Errorf("%d commands applied, want %d", len(all), clients*each)
		}
		g.settle()
	})
}

// TestEntryBytes: entries stay within the limit, except for a long command alone.
func TestEntryBytes(t *testing.T) {
	simulate(t, 1, Limits{EntryBytes: 1000}, func(t *testing.T, g *group) {
		l := g.leader()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { g.must(l, fmt.Sprintf("%0*d", 100+400*(i%7), i)) })
		}
		wg.Wait()
		if got := len(l.machine.all()); got != 20 {
			t.Errorf("%d commands applied, want 20", got)
		}
	})
}

func TestOnLeadershipAppliesOnceATerm(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		for range 3 {
			l := g.leader()
			if err := l.rep.Transfer(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			g.leader(l.name)
		}
		l := g.leader()
		time.Sleep(time.Second)
		l.machine.mu.Lock()
		defer l.machine.mu.Unlock()
		announced := make(map[string]uint64)
		for i, c := range l.machine.applied {
			var name string
			var term uint64
			if _, err := fmt.Sscanf(c, "lead %s %d", &name, &term); err != nil {
				t.Fatal(err)
			}
			if announced[c] != 0 || l.machine.terms[i] != term {
				t.Errorf("%q applied in term %d, and before in %d", c, l.machine.terms[i], announced[c])
			}
			announced[c] = term
		}
		if len(announced) < 4 {
			t.Errorf("%d leaders announced themselves", len(announced))
		}
	})
}

// TestFailover cuts the leader off: it steps down, another member takes over, and nothing that was acknowledged is lost.
func TestFailover(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		var acked []string
		for i := range 20 {
			g.must(l, fmt.Sprint("a", i))
			acked = append(acked, fmt.Sprint("a", i))
		}
		g.net.cut(true, []string{l.name}, g.others(l.name)...)
		start := time.Now()
		_, err := l.rep.Propose(t.Context(), []byte("lost"))
		wantCode(t, err, api.CodeAmbiguous)
		l2 := g.leader(l.name)
		if d := time.Since(start); d > 6*time.Second {
			t.Errorf("failover took %v", d)
		}
		for i := range 20 {
			g.must(l2, fmt.Sprint("b", i))
			acked = append(acked, fmt.Sprint("b", i))
		}
		g.net.cut(false, []string{l.name}, g.others(l.name)...)
		g.settle()
		if all := l.machine.all(); !slices.Equal(all, acked) {
			t.Errorf("after healing %s has %v, want %v", l.name, all, acked)
		}
	})
}

// TestCrashAndRestart crashes every node in turn, and all at once, under load: what was acknowledged is there.
func TestCrashAndRestart(t *testing.T) {
	simulate(t, 3, Limits{SnapshotEntries: 40, TrailingEntries: 20, SnapshotInterval: time.Second}, func(t *testing.T, g *group) {
		ctx, stop := context.WithCancel(t.Context())
		acked, wait := g.load(ctx, 4)
		for round := range 6 {
			time.Sleep(3 * time.Second)
			if round == 5 {
				for _, n := range g.sorted() {
					g.crash(n.name)
				}
			} else {
				g.crash(fmt.Sprint("n", round%3))
			}
			time.Sleep(time.Second)
			for _, n := range g.sorted() {
				if n.rep == nil {
					g.start(n.name, 3)
				}
			}
		}
		time.Sleep(3 * time.Second)
		stop()
		wait()
		g.leader()
		g.settle()
		all := make(map[string]bool)
		for _, c := range g.nodes["n0"].machine.all() {
			if all[c] {
				t.Errorf("%s applied twice", c)
			}
			all[c] = true
		}
		if len(*acked) < 1000 {
			t.Errorf("only %d commands were acknowledged", len(*acked))
		}
		for _, c := range *acked {
			if !all[c] {
				t.Fatalf("%s was acknowledged and is lost", c)
			}
		}
	})
}

// load proposes from several clients until ctx ends, each command once, at the leader. acked may be read after wait.
func (g *group) load(ctx context.Context, clients int) (acked *[]string, wait func()) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	acked = new([]string)
	for c := range clients {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				command := fmt.Sprintf("c%d.%d", c, i)
				for _, n := range g.sorted() {
					g.mu.Lock()
					rep := n.rep
					g.mu.Unlock()
					if rep == nil || !rep.IsLeader() {
						continue
					}
					if _, err := rep.Propose(ctx, []byte(command)); err == nil {
						mu.Lock()
						*acked = append(*acked, command)
						mu.Unlock()
					}
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	return acked, wg.Wait
}

// TestSnapshotCatchUp adds an empty replica under writes to a group that has truncated its log, and gives it a vote.
func TestSnapshotCatchUp(t *testing.T) {
	limits := Limits{SnapshotEntries: 50, TrailingEntries: 10, SnapshotInterval: 500 * time.Millisecond}
	simulate(t, 3, limits, func(t *testing.T, g *group) {
		l := g.leader()
		ctx, stop := context.WithCancel(t.Context())
		_, wait := g.load(ctx, 4)
		time.Sleep(5 * time.Second)
		n := g.join("n3")
		_, index := l.rep.Members()
		if err := l.rep.AddMember(t.Context(), Member{Node: "n3", Address: "n3"}, index); err != nil {
			t.Fatal(err)
		}
		err := l.rep.AddMember(t.Context(), Member{Node: "n4", Address: "n4"}, index)
		wantCode(t, err, api.CodeConflict) // the members have changed since
		g.until(30*time.Second, "caught-up member", func() bool { return l.rep.CaughtUp("n3") })
		_, index = l.rep.Members()
		if err := l.rep.PromoteMember(t.Context(), "n3", index); err != nil {
			t.Fatal(err)
		}
		stop()
		wait()
		g.settle()
		if n.machine.restore == 0 {
			t.Error("the empty replica caught up without a snapshot")
		}
		members, _ := l.rep.Members()
		if len(members) != 4 || !members[3].Voter {
			t.Errorf("the members are %v", members)
		}
		g.crash("n3")
		g.start("n3", 0)
		g.settle()
		if again, _ := g.nodes["n3"].rep.Members(); !slices.Equal(again, members) {
			t.Errorf("after a restart n3 knows %v", again)
		}
	})
}

func TestMembers(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		ctx := t.Context()
		_, index := l.rep.Members()
		if index == 0 {
			t.Fatal("the founding members have no index")
		}
		other := g.nodes[g.others(l.name)[0]]
		wantCode(t, other.rep.AddMember(ctx, Member{Node: "x", Address: "x"}, index), api.CodeNotLeader)
		wantCode(t, l.rep.PromoteMember(ctx, "x", index), api.CodeNotFound)
		if err := l.rep.AddMember(ctx, Member{Node: "x", Address: "x"}, index); err != nil {
			t.Fatal(err)
		}
		_, index = l.rep.Members()
		wantCode(t, l.rep.PromoteMember(ctx, "x", index), api.CodeUnavailable) // no replica runs there
		if err := l.rep.RemoveMember(ctx, "x", index); err != nil {
			t.Fatal(err)
		}
		_, index = l.rep.Members()
		if err := l.rep.RemoveMember(ctx, l.name, index); err != nil {
			t.Fatal(err)
		}
		l2 := g.leader(l.name)
		if members, _ := l2.rep.Members(); len(members) != 2 {
			t.Errorf("the members are %v", members)
		}
		g.must(l2, "c")
	})
}

// TestOutcomes: a command whose error says that it was not applied never applies.
func TestOutcomes(t *testing.T) {
	simulate(t, 3, Limits{QueueCommands: 4, InFlight: 2}, func(t *testing.T, g *group) {
		l := g.leader()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		g.net.cut(true, []string{l.name}, g.others(l.name)...)
		type outcome struct {
			command string
			err     error
		}
		var wg sync.WaitGroup
		results := make(chan outcome, 20)
		propose := func(ctx context.Context, command string) {
			wg.Go(func() {
				_, err := l.rep.Propose(ctx, []byte(command))
				results <- outcome{command, err}
			})
			synctest.Wait()
		}
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		propose(t.Context(), "first")      // an entry under way
		propose(t.Context(), "second")     // another
		propose(short, "waits in vain")    // for a place in a third
		propose(gone, "gone before")       // the same
		propose(t.Context(), "waits")      // the same, until leadership is lost
		propose(t.Context(), "waits too")  // the same
		propose(t.Context(), "one more")   // the queue is full, or it waits as well
		propose(t.Context(), "far beyond") // full
		wg.Wait()
		close(results)
		want := map[string]api.Code{
			"first": api.CodeAmbiguous, "second": api.CodeAmbiguous, "waits in vain": api.CodeUnavailable,
			"gone before": api.CodeUnavailable, "waits": api.CodeNotLeader, "waits too": api.CodeNotLeader, "far beyond": api.CodeUnavailable,
		}
		for o := range results {
			if code, ok := want[o.command]; ok && !errors.Is(o.err, code) {
				t.Errorf("%s ends as %v, want %s", o.command, o.err, code)
			}
		}
		g.net.cut(false, []string{l.name}, g.others(l.name)...)
		l2 := g.leader()
		g.must(l2, "after")
		g.settle()
		for command, code := range want {
			if code != api.CodeAmbiguous && l2.machine.has(command) {
				t.Errorf("%s was refused as %s, and applied", command, code)
			}
		}
	})
}

// TestExpiryUnderWay: the caller's context ends while an entry is under way that applies later.
func TestExpiryUnderWay(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		g.net.cut(true, []string{l.name}, g.others(l.name)...)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := l.rep.Propose(ctx, []byte("late"))
		wantCode(t, err, api.CodeAmbiguous)
		g.net.cut(false, []string{l.name}, g.others(l.name)...)
		g.until(30*time.Second, "late command", func() bool { return l.machine.has("late") })
	})
}

func TestCloseAnswersProposers(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		g.net.cut(true, []string{l.name}, g.others(l.name)...)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				_, err := l.rep.Propose(t.Context(), fmt.Append(nil, i))
				if c := api.CodeOf(err); c != api.CodeAmbiguous && c != api.CodeUnavailable {
					t.Errorf("a closing replica answers %v", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := l.rep.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("closing took %v", d)
		}
		wg.Wait()
		_, err := l.rep.Propose(t.Context(), []byte("closed"))
		if c := api.CodeOf(err); c != api.CodeNotLeader && c != api.CodeUnavailable {
			t.Errorf("a closed replica answers %v", err)
		}
		g.net.cut(false, []string{l.name}, g.others(l.name)...)
	})
}

// TestCloseNeverElected closes the last member of a group, and a replica that waits to be added.
func TestCloseNeverElected(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		g.crash("n0")
		g.crash("n1")
		g.join("n9")
		time.Sleep(20 * time.Second)
		if g.nodes["n2"].rep.IsLeader() || g.nodes["n9"].rep.IsLeader() {
			t.Error("it leads without a quorum")
		}
	})
}
