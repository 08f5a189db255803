package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm/placement"
)

// fakeRoster is a replica at s1 that notes what is asked of it.
type fakeRoster struct {
	follower bool
	node     string // "" is s1
	members  []replica.Member
	caughtUp []string
	silent   []string
	err      error
	did      string
}

func (f *fakeRoster) IsLeader() bool                      { return !f.follower }
func (f *fakeRoster) Members() ([]replica.Member, uint64) { return f.members, 7 }
func (f *fakeRoster) Leader() (string, uint64)            { return cmp.Or(f.node, "s1"), 3 }
func (f *fakeRoster) CaughtUp(node string) bool           { return slices.Contains(f.caughtUp, node) }

func (f *fakeRoster) Lag(string) (uint64, bool) { return 0, true }

func (f *fakeRoster) Silent(node string) (time.Duration, bool) {
	if slices.Contains(f.silent, node) {
		return time.Minute, false
	}
	return 0, true
}

func (f *fakeRoster) note(ctx context.Context, format string, args ...any) error {
	if _, bounded := ctx.Deadline(); !bounded {
		return errors.New("a change without an end")
	}
	f.did += fmt.Sprintf(format, args...)
	return f.err
}

func (f *fakeRoster) AddMember(ctx context.Context, m replica.Member, prev uint64) error {
	return f.note(ctx, "add %s at %s (voter: %v) after %d;", m.Node, m.Address, m.Voter, prev)
}

func (f *fakeRoster) PromoteMember(ctx context.Context, node string, prev uint64) error {
	return f.note(ctx, "promote %s after %d;", node, prev)
}

func (f *fakeRoster) UpdateAddress(ctx context.Context, node, address string, prev uint64) error {
	return f.note(ctx, "move %s to %s after %d;", node, address, prev)
}

func (f *fakeRoster) RemoveMember(ctx context.Context, node string, prev uint64) error {
	return f.note(ctx, "remove %s after %d;", node, prev)
}

func (f *fakeRoster) Transfer(ctx context.Context, to string) error {
	return f.note(ctx, "let %s lead;", to)
}

func voter(node string) replica.Member   { return replica.Member{Node: node, Address: node, Voter: true} }
func learner(node string) replica.Member { return replica.Member{Node: node, Address: node} }

// TestReconcile: a leader takes one step at a time towards the map. No living voter is removed before all that it names vote, a
// dead one before its successor votes, and a leader that it does not name hands over first. Nothing is done without a majority
// that answers.
func TestReconcile(t *testing.T) {
	m := planned(t, "s1", "s2", "s3", "s4")
	g, _ := m.Group("r.1")
	if !slices.Equal(g.Voters, []api.NodeID{"s1", "s2", "s3"}) {
		t.Fatalf("the voters are %v", g.Voters)
	}
	moved := voter("s2")
	moved.Address = "where it was"
	one, two, three, four := voter("s1"), voter("s2"), voter("s3"), voter("s4")
	for _, c := range []struct {
		name string
		r    fakeRoster
		want string
	}{
		{"a follower changes nothing", fakeRoster{follower: true, members: []replica.Member{one, moved}}, ""},
		{"all is well", fakeRoster{members: []replica.Member{one, two, three}}, ""},
		{"the first of two that are missing", fakeRoster{members: []replica.Member{one}}, "add s2 at s2 (voter: false) after 7;"},
		{"the second", fakeRoster{members: []replica.Member{one, two}}, "add s3 at s3 (voter: false) after 7;"},
		{"one catches up", fakeRoster{members: []replica.Member{one, two, learner("s3")}}, ""},
		{"one has caught up", fakeRoster{members: []replica.Member{one, two, learner("s3")}, caughtUp: []string{"s3"}}, "promote s3 after 7;"},
		{"one has moved", fakeRoster{members: []replica.Member{one, moved, learner("s3")}, caughtUp: []string{"s3"}}, "move s2 to s2 after 7;"},
		{"one is not wanted", fakeRoster{members: []replica.Member{four, one, two, three}}, "remove s4 after 7;"},
		{"one that the map does not know", fakeRoster{members: []replica.Member{one, two, three, voter("gone")}}, "remove gone after 7;"},
		{"one is not wanted, and one still catches up", fakeRoster{members: []replica.Member{four, one, two, learner("s3")}}, ""},
		{"one is not wanted, and one is missing", fakeRoster{members: []replica.Member{four, one, two}}, "add s3 at s3 (voter: false) after 7;"},
		{"one that the map does not name has caught up", fakeRoster{members: []replica.Member{one, two, three, learner("s4")}, caughtUp: []string{"s4"}}, "remove s4 after 7;"},
		{"the leader is not wanted", fakeRoster{node: "s4", members: []replica.Member{four, one, two, three}, caughtUp: []string{"s2"}}, "let s2 lead;"},
		{"a dead one is not wanted, and its successor still catches up", fakeRoster{members: []replica.Member{four, one, two, learner("s3")}, silent: []string{"s4"}}, ""},
		{"its successor has caught up", fakeRoster{members: []replica.Member{four, one, two, learner("s3")}, silent: []string{"s4"}, caughtUp: []string{"s3"}}, "remove s4 after 7;"},
		{"one that was removed from the cluster a moment ago", fakeRoster{members: []replica.Member{voter("gone"), one, two, learner("s3")}, caughtUp: []string{"s3"}}, "remove gone after 7;"},
		{"the dead one is removed", fakeRoster{members: []replica.Member{one, two, learner("s3")}, caughtUp: []string{"s3"}}, "promote s3 after 7;"},
		{"a living one is not wanted", fakeRoster{members: []replica.Member{four, one, two, learner("s3")}, caughtUp: []string{"s3"}}, "promote s3 after 7;"},
		{"no majority answers", fakeRoster{members: []replica.Member{one, two, moved, four}, silent: []string{"s2", "s4"}}, ""},
		{"one more would be one too many", fakeRoster{members: []replica.Member{one, two, learner("s3")}, silent: []string{"s2"}, caughtUp: []string{"s3"}}, ""},
		{"a voter is dead and wanted", fakeRoster{members: []replica.Member{one, two, voter("s3"), four}, silent: []string{"s3"}}, "remove s4 after 7;"},
		{"the others would be too few", fakeRoster{members: []replica.Member{one, two, three, four, voter("s5")}, silent: []string{"s2", "s3"}}, ""},
		{"a learner that is not wanted, while one catches up", fakeRoster{members: []replica.Member{one, two, learner("s3"), learner("s4")}}, "remove s4 after 7;"},
	} {
		if err := reconcile(context.Background(), &c.r, g, m); err != nil || c.r.did != c.want {
			t.Errorf("%s: it did %q, not %q: %v", c.name, c.r.did, c.want, err)
		}
	}
	left := fakeRoster{node: "s4", members: []replica.Member{four, one, two, three}}
	if err := reconcile(context.Background(), &left, g, m); api.CodeOf(err) != api.CodeConflict || api.AsError(err).Hint != "no other voter of r.1 has caught up" {
		t.Errorf("a leader that no voter can follow: %v", err)
	}
	failing := fakeRoster{members: []replica.Member{voter("s1")}, err: errors.New("no quorum")}
	if err := reconcile(context.Background(), &failing, g, m); !errors.Is(err, failing.err) {
		t.Errorf("a step that failed: %v", err)
	}
}

// TestFounders: a planet that was known before is founded by all voters at once, a cluster that grows by one alone.
func TestFounders(t *testing.T) {
	m := planned(t, "s1", "s2", "s3")
	g := placement.Group{ID: "r.1", Region: "r", Founder: "s2", Voters: []api.NodeID{"s1", "s2", "s3", "unknown"}}
	if got := founders(g, m, true); !slices.Equal(got, []replica.Member{voter("s1"), voter("s2"), voter("s3")}) {
		t.Errorf("all at once: %v", got)
	}
	if got := founders(g, m, false); !slices.Equal(got, []replica.Member{voter("s2")}) {
		t.Errorf("one alone: %v", got)
	}
}
