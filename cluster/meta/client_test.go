package meta

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// slip is a fake receipt.
type slip struct {
	from api.GroupID
	part placement.Owned // as it was owned
	r    api.Range
	at   uint64
	to   []api.GroupID
}

// groups are fake groups, with the rules of a group's machine that matter here. budget is how many calls get through
// before everything fails, as if the caller had died; after that a call is lost before or after it was carried out.
type groups struct {
	mu      sync.Mutex
	owned   map[api.GroupID][]placement.Owned
	keys    map[api.GroupID][]api.Key
	slips   []slip
	counted map[api.GroupID]uint64
	budget  int
	late    bool // lost calls are carried out
}

func newGroups(m *placement.Map) *groups {
	g := &groups{owned: map[api.GroupID][]placement.Owned{}, keys: map[api.GroupID][]api.Key{}, budget: 1 << 30}
	for _, x := range m.Groups {
		g.owned[x.ID] = m.Owned(x.ID)
	}
	return g
}

// spend reports whether a call is carried out, and whether its answer arrives. The lock is held.
func (g *groups) spend() (carriedOut, answered bool) {
	g.budget--
	return g.budget >= 0 || g.budget == -1 && g.late, g.budget >= 0
}

var errLost = api.Errorf(api.CodeAmbiguous, "no answer")

func (g *groups) empty(id api.GroupID, r api.Range) error {
	if !slices.ContainsFunc(g.owned[id], func(o placement.Owned) bool { return o.Range.ContainsRange(r) }) {
		return api.CodeWrongGroup
	}
	for _, k := range g.keys[id] {
		if r.Contains(k) {
			return &api.Error{Code: api.CodeConflict, Key: k}
		}
	}
	return nil
}

func (g *groups) Empty(_ context.Context, id api.GroupID, r api.Range) (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if done, answered := g.spend(); !done || !answered {
		return 0, errLost
	}
	return g.counted[id], g.empty(id, r)
}

func (g *groups) Cede(_ context.Context, id api.GroupID, r api.Range, epoch uint64, to []api.GroupID) (slip, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	done, answered := g.spend()
	if !done {
		return slip{}, errLost
	}
	s, err := g.cede(id, r, epoch, to)
	if !answered {
		return slip{}, errLost
	}
	return s, err
}

func (g *groups) cede(id api.GroupID, r api.Range, epoch uint64, to []api.GroupID) (slip, error) {
	for _, s := range g.slips {
		if s.from == id && s.r == r && s.at == epoch && slices.Equal(s.to, to) {
			return s, nil
		}
	}
	if err := g.empty(id, r); err != nil {
		return slip{}, err
	}
	i := slices.IndexFunc(g.owned[id], func(o placement.Owned) bool { return o.Range.ContainsRange(r) })
	o := g.owned[id][i]
	if epoch < ident.NextEpoch(o.Epoch, g.counted[id]) {
		return slip{}, api.CodeConflict
	}
	left, right := o, o
	left.Range.End, right.Range.Start = r.Start, r.End
	g.owned[id] = slices.Delete(g.owned[id], i, i+1)
	if left.Range.Start < left.Range.End {
		g.owned[id] = append(g.owned[id], left)
	}
	if r.End != "" && right.Range.Start != o.Range.End {
		g.owned[id] = append(g.owned[id], right)
	}
	s := slip{id, o, r, epoch, to}
	g.slips = append(g.slips, s)
	return s, nil
}

func (g *groups) Adopt(_ context.Context, id api.GroupID, slips []slip, part placement.Owned) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	done, answered := g.spend()
	if !done {
		return errLost
	}
	err := g.adopt(id, slips, part)
	if !answered {
		return errLost
	}
	return err
}

func (g *groups) adopt(id api.GroupID, slips []slip, part placement.Owned) error {
	if len(slips) != int(slips[0].part.Of) || !slices.Contains(slips[0].to, id) {
		return api.Errorf(api.CodeInvalid, "receipts are missing")
	}
	for _, o := range g.owned[id] {
		if o == part {
			return nil
		}
		if o.Range.Overlaps(part.Range) {
			return api.CodeConflict
		}
	}
	g.owned[id] = append(g.owned[id], part)
	return nil
}

// owners returns the groups that own the key, by their own state.
func (g *groups) owners(k api.Key) (ids []api.GroupID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, parts := range g.owned {
		for _, o := range parts {
			if o.Range.Contains(k) && ident.ShardOf(k, o.Of) == o.Index {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

func newClient(t *testing.T) (*Client[slip], *groups, *Meta) {
	t.Helper()
	m, _ := founded(t)
	g := newGroups(m.Map())
	propose := func(ctx context.Context, c placement.Command) (Applied, error) {
		g.mu.Lock()
		done, answered := g.spend()
		g.mu.Unlock()
		if !done {
			return Applied{}, errLost
		}
		now, err := m.Propose(ctx, c)
		if !answered {
			return Applied{}, errLost
		}
		return now, err
	}
	return &Client[slip]{Get: m.Get, Propose: propose, Mover: g}, g, m
}

func TestJoin(t *testing.T) {
	c, _, _ := newClient(t)
	var heard *placement.Map
	c.Update = func(m *placement.Map) { heard = m }
	m, err := c.Join(t.Context(), server("b2", "b"))
	if err != nil || heard != m {
		t.Fatalf("joined %+v, %v", m, err)
	}
	if g, _ := m.Group("b.2"); !slices.Contains(g.Voters, "b2") {
		t.Errorf("no place for the new server: %+v", g)
	}
	if _, err := c.Join(t.Context(), server("", "b")); !errors.Is(err, api.CodeInvalid) {
		t.Errorf("a node without a name: %v", err)
	}
}

func TestSetPlacement(t *testing.T) {
	c, g, m := newClient(t)
	if err := c.SetPlacement(t.Context(), "p/", "b"); err != nil {
		t.Fatal(err)
	}
	for _, k := range []api.Key{"p/1", "p/2", "p/3", "p/x/y", "q"} {
		want, epoch, _ := m.Map().Locate(k)
		if got := g.owners(k); !slices.Equal(got, []api.GroupID{want}) || (epoch == 2) != (k != "q") {
			t.Errorf("%q: owners %v, the map says %s at %d", k, got, want, epoch)
		}
	}
	version := m.Map().Version
	if err := c.SetPlacement(t.Context(), "p/", "b"); err != nil || m.Map().Version != version {
		t.Errorf("what is owned already: %v", err)
	}
	if err := c.SetPlacement(t.Context(), "", "z"); err != nil {
		t.Errorf("all to z: %v", err)
	}
	for _, s := range m.Map().Ranges {
		if s.Region != "z" {
			t.Errorf("left behind: %+v", s)
		}
	}
	if err := c.SetPlacement(t.Context(), "p", "nowhere"); !errors.Is(err, api.CodeInvalid) {
		t.Errorf("an unknown region: %v", err)
	}
	if err := c.SetPlacement(t.Context(), api.Key(make([]byte, api.MaxKeyBytes+1)), "b"); !errors.Is(err, api.CodeTooLarge) {
		t.Errorf("a long prefix: %v", err)
	}
}

// TestSetPlacementGroup: all keys with a prefix go to one group, and stay there if their region is asked for them.
func TestSetPlacementGroup(t *testing.T) {
	c, g, m := newClient(t)
	for _, group := range []api.GroupID{"b.2", "z.1", "z.2", "a.2"} {
		if err := c.SetPlacementGroup(t.Context(), "p/", group); err != nil {
			t.Fatalf("to %s: %v", group, err)
		}
		for _, k := range []api.Key{"p/1", "p/2", "p/3", "p/x/y"} {
			if got := g.owners(k); !slices.Equal(got, []api.GroupID{group}) {
				t.Errorf("%q: owners %v, want %s", k, got, group)
			}
		}
		s := m.Map().Scan(api.PrefixRange("p/"))
		if len(s) != 1 || !slices.Equal(s[0].Groups, []api.GroupID{group}) {
			t.Errorf("the map has %+v, want %s", s, group)
		}
	}
	version := m.Map().Version
	for what, err := range map[string]error{
		"the same group": c.SetPlacementGroup(t.Context(), "p/", "a.2"),
		"its region":     c.SetPlacement(t.Context(), "p/", "a"),
	} {
		if err != nil || m.Map().Version != version {
			t.Errorf("%s: %v", what, err)
		}
	}
	for group, want := range map[api.GroupID]string{"a.1": "divides these keys", "nowhere.1": "no group", ident.MetaGroup: "no group"} {
		if err := c.SetPlacementGroup(t.Context(), "q/", group); !errors.Is(err, api.CodeInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("to %s: %v", group, err)
		}
	}
	if m.Map().Version != version {
		t.Error("the map has changed")
	}
}

// TestNotEmpty: if any owner has a key with the prefix, nothing is given up.
func TestNotEmpty(t *testing.T) {
	for _, owner := range []api.GroupID{"a.1", "a.2"} {
		c, g, m := newClient(t)
		g.keys[owner] = []api.Key{"p/k"}
		before := m.Map()
		if err := c.SetPlacement(t.Context(), "p/", "b"); !errors.Is(err, api.CodeConflict) || api.AsError(err).Key != "p/k" {
			t.Errorf("a key at %s: %v", owner, err)
		}
		if len(g.slips) != 0 || m.Map() != before {
			t.Errorf("given up: %+v", g.slips)
		}
	}
}

// TestCrashAtEachStep: wherever the caller dies, no key has two owners, and the same call finishes. The new epoch is above what every
// owner has counted beyond 40 bits.
func TestCrashAtEachStep(t *testing.T) {
	for _, counted := range []map[api.GroupID]uint64{nil, {"a.1": 3 << 40}, {"a.1": 1, "a.2": 5<<40 - 1}} {
		crashAtEachStep(t, counted)
	}
}

func crashAtEachStep(t *testing.T, counted map[api.GroupID]uint64) {
	for _, late := range []bool{false, true} {
		for steps := range 9 {
			c, g, m := newClient(t)
			g.budget, g.late, g.counted = steps, late, counted
			if err := c.SetPlacement(t.Context(), "p/", "b"); err == nil && steps < 7 {
				t.Fatalf("%d steps were enough", steps)
			}
			for _, k := range []api.Key{"p/1", "p/2", "p/3", "q"} {
				if got := g.owners(k); len(got) > 1 {
					t.Errorf("after %d steps %q belongs to %v", steps, k, got)
				}
			}
			g.budget = 1 << 30
			if err := c.SetPlacement(t.Context(), "p/", "b"); err != nil {
				t.Fatalf("repeated after %d steps: %v", steps, err)
			}
			for _, k := range []api.Key{"p/1", "p/2", "p/3", "q"} {
				want, _, _ := m.Map().Locate(k)
				if got := g.owners(k); !slices.Equal(got, []api.GroupID{want}) {
					t.Errorf("finished after %d steps, %q belongs to %v, not %s", steps, k, got, want)
				}
			}
		}
	}
}

// TestMovesDoNotMix: a move that did not end is finished by its own command; others in its range are refused, and
// change nothing.
func TestMovesDoNotMix(t *testing.T) {
	c, g, m := newClient(t)
	g.budget = 4 // both looked empty, both ceded
	if err := c.SetPlacement(t.Context(), "p/", "b"); !errors.Is(err, api.CodeAmbiguous) {
		t.Fatalf("an unfinished move: %v", err)
	}
	g.budget = 1 << 30
	for _, prefix := range []api.Key{"p/", "p/sub/", ""} {
		if err := c.SetPlacement(t.Context(), prefix, "z"); !errors.Is(err, api.CodeConflict) {
			t.Errorf("prefix %q elsewhere: %v", prefix, err)
		}
	}
	if err := c.SetPlacement(t.Context(), "p/", "b"); err != nil {
		t.Fatal(err)
	}
	if s, _ := m.Map().Spans(api.PrefixRange("p/"))[0], 0; s.Region != "b" {
		t.Errorf("the move ended as %+v", s)
	}
}

// TestCompeting: two callers with different regions: at most one wins, and no key has two owners.
func TestCompeting(t *testing.T) {
	for range 50 {
		c, g, _ := newClient(t)
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, region := range []api.RegionID{"b", "z"} {
			wg.Go(func() { errs[i] = c.SetPlacement(t.Context(), "p/", region) })
		}
		wg.Wait()
		for _, k := range []api.Key{"p/1", "p/2", "p/3"} {
			if got := g.owners(k); len(got) != 1 {
				t.Errorf("%q belongs to %v after %v", k, got, errs)
			}
		}
	}
}
