package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// chair is a meta group's leader in a test: a machine, and whether its proposals reach a quorum.
type chair struct {
	metaGroup
	machine *placement.Machine
	leader  api.NodeID
	term    api.Term
	cutOff  bool
}

func (c *chair) Status() api.GroupStatus {
	return api.GroupStatus{Group: ident.MetaGroup, Leader: c.leader, Term: c.term}
}

func (c *chair) Get(context.Context) (*placement.Map, error) {
	if c.cutOff {
		return nil, errors.New("no quorum confirms")
	}
	return c.machine.Map(), nil
}

func (c *chair) Propose(_ context.Context, x placement.Command) (meta.Applied, error) {
	if c.cutOff {
		return meta.Applied{}, errors.New("no quorum")
	}
	r, err := c.machine.Apply(c.term, [][]byte{placement.Encode(x)})
	if err != nil {
		return meta.Applied{}, err
	}
	if r[0].Err != nil {
		return meta.Applied{}, r[0].Err
	}
	return meta.Applied{Map: r[0].Map}, nil
}

// stage is a steward of a region of five servers, of which s1 s2 s3 vote, and what it hears.
type stage struct {
	*chair
	steward *steward
	silent  map[api.NodeID]bool
	slow    map[api.NodeID]bool // learners that do not catch up
	clocks  map[api.NodeID]int64
	holders []heardNode // that s1 hears
	acted   []string
}

func newStage(t *testing.T, ids ...api.NodeID) *stage {
	t.Helper()
	m := placement.New()
	s := &stage{chair: &chair{machine: m, leader: "s1", term: 1}, silent: map[api.NodeID]bool{}, slow: map[api.NodeID]bool{}, clocks: map[api.NodeID]int64{}}
	if _, err := s.Propose(t.Context(), placement.Init{Map: planned(t, ids...)}); err != nil {
		t.Fatal(err)
	}
	s.steward = &steward{
		background: newBackground(), self: "s1", meta: func() metaGroup { return s.chair }, log: hclog.NewNullLogger(), ask: s.answers,
		acts: func(_ float64, values ...string) { s.acted = append(s.acted, values...) }, watch: func([]api.NodeID) {},
	}
	t.Cleanup(s.steward.background.close)
	return s
}

// answers are those of all servers that are not silent; s1 leads the groups, whose members are at once as the map says, but for those
// that are slow.
func (s *stage) answers(_ context.Context, m *placement.Map) map[api.NodeID]*health {
	all := map[api.NodeID]*health{}
	for _, n := range m.Nodes {
		if n.Role == api.RoleServer && !s.silent[n.ID] {
			all[n.ID] = &health{Now: time.Now().Unix() + s.clocks[n.ID]}
		}
	}
	if all["s1"] == nil {
		return all
	}
	all["s1"].Holders = s.holders
	for _, g := range m.Groups {
		led := ledGroup{Group: g.ID, Term: 5}
		for _, v := range g.Voters {
			x := ledMember{Node: v, Voter: !s.slow[v], Heard: !s.silent[v], CaughtUp: !s.slow[v]}
			if s.silent[v] {
				x.Silent = time.Hour.Milliseconds()
			}
			led.Members = append(led.Members, x)
		}
		all["s1"].Led = append(all["s1"].Led, led)
	}
	return all
}

// pass lets the steward look for so long.
func (s *stage) pass(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(stewardEvery) {
		s.steward.look()
	}
}

func (s *stage) did(t *testing.T, what string, want string) {
	t.Helper()
	if got := strings.Join(s.acted, " "); got != want {
		t.Errorf("%s: it did %q, not %q", what, got, want)
	}
}

// TestSteward: a dead voter is replaced once after dead-after, not before and not twice; nothing happens while the steward has no
// quorum, does not lead, or has only just begun to lead. Attack 43.
func TestSteward(t *testing.T) {
	run := func(name string, f func(t *testing.T, s *stage)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, newStage(t, "s1", "s2", "s3", "s4", "s5")) })
		})
	}
	run("dead", func(t *testing.T, s *stage) {
		s.pass(time.Minute)
		s.silent["s3"] = true
		s.pass(9 * time.Minute)
		s.did(t, "before dead-after", "")
		s.pass(2 * time.Minute)
		s.did(t, "after dead-after", "place place")
		if g, _ := s.machine.Map().Group("r.1"); fmt.Sprint(g.Voters) != "[s1 s2 s5]" {
			t.Errorf("voters %v", g.Voters)
		}
		s.pass(time.Hour)
		s.did(t, "an hour later", "place place")
	})
	run("flapping", func(t *testing.T, s *stage) {
		for range 10 {
			s.silent["s3"] = true
			s.pass(9*time.Minute + 50*time.Second)
			s.silent["s3"] = false
			s.pass(10 * time.Second)
		}
		s.did(t, "flapping below dead-after", "")
		s.silent["s3"] = true
		s.pass(10*time.Minute + 10*time.Second)
		s.silent["s3"] = false
		s.pass(time.Hour)
		if len(s.acted) > 2 {
			t.Errorf("it did %q", s.acted)
		}
	})
	run("slow learner", func(t *testing.T, s *stage) {
		s.slow["s4"] = true
		s.silent["s3"] = true
		s.pass(3 * time.Hour)
		s.did(t, "while the new one catches up", "place place") // of each group, once
	})
	run("cut off", func(t *testing.T, s *stage) {
		s.silent["s3"] = true
		s.cutOff = true
		s.pass(time.Hour)
		s.did(t, "without a quorum", "")
		if words := s.steward.words(); len(words) > 0 {
			t.Errorf("it says %q", words)
		}
		s.cutOff, s.term = false, 2 // and leads again
		s.pass(9 * time.Minute)
		s.did(t, "soon after it leads again", "")
	})
	run("all unheard", func(t *testing.T, s *stage) {
		for _, id := range []api.NodeID{"s2", "s3", "s4", "s5"} {
			s.silent[id] = true
		}
		s.pass(time.Hour)
		s.did(t, "alone", "")
	})
	run("two leaders", func(t *testing.T, s *stage) {
		other := *s.chair
		two := &steward{
			background: newBackground(), self: "s2", meta: func() metaGroup { return &other }, log: hclog.NewNullLogger(), ask: s.answers,
			acts: s.steward.acts, watch: func([]api.NodeID) {},
		}
		defer two.background.close()
		other.leader, other.term = "s2", 2
		s.silent["s3"] = true
		for range 200 {
			s.steward.look()
			two.look()
			time.Sleep(stewardEvery)
		}
		s.did(t, "both", "place place")
	})
	run("drain ends", func(t *testing.T, s *stage) {
		if _, err := s.Propose(t.Context(), placement.SetState{Node: "s2", State: placement.Draining, Until: time.Now().Add(time.Minute).Unix()}); err != nil {
			t.Fatal(err)
		}
		s.clocks["s1"] = 600 // the steward's clock is off
		s.pass(5 * time.Minute)
		s.did(t, "by a wrong clock", "")
		s.clocks["s1"] = 0
		s.pass(10 * time.Second)
		s.did(t, "by a right one", "set state")
	})
	run("troubles", func(t *testing.T, s *stage) {
		for _, id := range []api.NodeID{"s3", "s4", "s5"} {
			s.silent[id] = true
		}
		s.pass(12 * time.Minute)
		s.did(t, "without a spare server", "")
		if got := strings.Join(s.steward.words(), "; "); got != "s3 unheard for 12m, no spare server in r: add one" {
			t.Errorf("it says %q", got)
		}
		if _, err := s.Propose(t.Context(), placement.Retire{Node: "s5"}); err != nil {
			t.Fatal(err)
		}
		s.pass(stewardEvery)
		if s3, s5 := s.steward.heardAgo("s3"), s.steward.heardAgo("s5"); s3 < 12*time.Minute || s5 != 0 {
			t.Errorf("s3, which is silent, was heard %v ago, and s5, which was removed, %v", s3, s5)
		}
	})
}

// TestStewardRemovesEdges: an ephemeral edge that no server has heard for an hour is removed; one that is heard by any stays, and one
// is removed an hour.
func TestStewardRemovesEdges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, "s1", "s2", "s3")
		for _, id := range []api.NodeID{"e1", "e2", "e3"} {
			n := placement.Node{ID: id, Region: "r", Role: api.RoleEdge, Address: string(id), Ephemeral: id != "e3"}
			if _, err := s.Propose(t.Context(), placement.Join{Node: n}); err != nil {
				t.Fatal(err)
			}
		}
		s.holders = []heardNode{{"e2", 500}}
		s.pass(59 * time.Minute)
		s.did(t, "within an hour", "")
		s.pass(2 * time.Minute)
		s.did(t, "after an hour", "retire")
		if _, ok := s.machine.Map().Node("e1"); ok {
			t.Error("e1 is still there")
		}
		s.holders = nil
		s.pass(90 * time.Minute)
		s.did(t, "later", "retire retire")
		if n := len(s.machine.Map().Nodes); n != 4 {
			t.Errorf("%d nodes are left", n)
		}
	})
}
