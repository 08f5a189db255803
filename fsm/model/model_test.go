package model

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"
)

var all = flag.Bool("all", false, "explore the large bounds too: make model")

// When a search runs.
const (
	always   = iota // also with -short
	fully           // in every full run of the tests
	manually        // with -all
)

// maxStates bounds a search. It takes about 8 GB.
const maxStates = 60_000_000

func skipUnless(t *testing.T, when int) {
	if when == fully && testing.Short() || when == manually && !*all {
		t.Skip("takes longer")
	}
}

// holds explores sys and requires that no state is wrong and that the search is complete.
func holds[S comparable](t *testing.T, sys system[S]) {
	t.Helper()
	start := time.Now()
	r := explore(sys, maxStates)
	t.Logf("%d states, %d steps deep, %v", r.states, r.depth, time.Since(start).Round(time.Millisecond))
	if r.wrong != "" {
		t.Errorf("%s\n\t%s", r.wrong, strings.Join(r.trace, "\n\t"))
	}
	if r.wrong == "" && !r.complete {
		t.Errorf("left off after %d states", r.states)
	}
}

// breaks explores sys, one of whose rules is broken, and requires that the search finds a breach of that invariant.
func breaks[S comparable](t *testing.T, sys system[S], invariant string) {
	t.Helper()
	r := explore(sys, maxStates)
	if !strings.HasPrefix(r.wrong, invariant+":") {
		t.Fatalf("%d states, and not noticed: want %s, got %q", r.states, invariant, r.wrong)
	}
	if len(r.trace) == 0 {
		t.Error("there is no trace")
	}
	t.Logf("%d states, %s\n\t%s", r.states, r.wrong, strings.Join(r.trace, "\n\t"))
}

func TestLease(t *testing.T) {
	for _, c := range []struct {
		when int
		leaseBounds
	}{
		{always, leaseBounds{keys: 1, grants: 1, terms: 2, keepAlives: 1, behind: 4}},
		{always, leaseBounds{keys: 1, grants: 1, terms: 2, keepAlives: 2, behind: 4}},
		{always, leaseBounds{keys: 1, grants: 2, terms: 2, keepAlives: 1, behind: 4}},
		{always, leaseBounds{keys: 2, grants: 2, terms: 1, keepAlives: 1, behind: 4}},
		{manually, leaseBounds{keys: 1, grants: 1, terms: 3, keepAlives: 1, behind: 4, held: true}},
		{manually, leaseBounds{keys: 1, grants: 1, terms: 2, keepAlives: 1, behind: 4, held: true, suspects: true, resets: true}},
		{manually, leaseBounds{keys: 1, grants: 1, terms: 1, keepAlives: 1, behind: 4, suspects: true, lag: true}},
		{fully, leaseBounds{keys: 1, grants: 1, terms: 3, keepAlives: 1, behind: 3, held: true}},
		{fully, leaseBounds{keys: 1, grants: 1, terms: 2, keepAlives: 1, behind: 3, held: true, suspects: true, resets: true}},
		{manually, leaseBounds{keys: 1, grants: 1, terms: 2, keepAlives: 1, behind: 4, lag: true}},
		{manually, leaseBounds{keys: 1, grants: 1, terms: 3, keepAlives: 1, behind: 4}},
		{manually, leaseBounds{keys: 1, grants: 1, terms: 2, keepAlives: 1, behind: 4, suspects: true, resets: true}},
		{manually, leaseBounds{keys: 1, grants: 1, terms: 2, keepAlives: 2, behind: 4, held: true, suspects: true, resets: true}},
		{manually, leaseBounds{keys: 1, grants: 1, terms: 2, keepAlives: 1, behind: 4, held: true, suspects: true, resets: true, lag: true}},
		{manually, leaseBounds{keys: 2, grants: 2, terms: 2, keepAlives: 1, behind: 4}},
		{manually, leaseBounds{keys: 2, grants: 3, terms: 2, keepAlives: 1, behind: 4}},
		{manually, leaseBounds{keys: 1, grants: 2, terms: 2, keepAlives: 1, behind: 4, suspects: true}},
		{manually, leaseBounds{keys: 1, grants: 2, terms: 3, keepAlives: 1, behind: 4}},
	} {
		t.Run(strings.Trim(fmt.Sprintf("%+v", c.leaseBounds), "{}"), func(t *testing.T) {
			skipUnless(t, c.when)
			holds(t, &leaseSystem{leaseBounds: c.leaseBounds, all: true})
		})
	}
}

// TestLeaseUnsettled explores the states without dropping anything. None is wrong there either.
func TestLeaseUnsettled(t *testing.T) {
	for _, c := range []struct {
		when int
		leaseBounds
	}{
		{manually, leaseBounds{keys: 1, grants: 1, terms: 1, keepAlives: 1, behind: 4, held: true, lag: true}},
		{manually, leaseBounds{keys: 1, grants: 1, terms: 2, keepAlives: 1, behind: 4, held: true, lag: true}},
		{manually, leaseBounds{keys: 1, grants: 1, terms: 1, keepAlives: 1, behind: 4, held: true, suspects: true, lag: true}},
	} {
		t.Run(strings.Trim(fmt.Sprintf("%+v", c.leaseBounds), "{}"), func(t *testing.T) {
			skipUnless(t, c.when)
			holds(t, &leaseSystem{leaseBounds: c.leaseBounds, all: true, keep: true})
		})
	}
}

func TestCommit(t *testing.T) {
	for grants := range uint8(4) {
		t.Run(fmt.Sprint("grants:", grants), func(t *testing.T) { holds(t, &commitSystem{grants: grants}) })
	}
}

func TestSkew(t *testing.T) {
	for _, leased := range [][2]bool{{}, {true, false}, {true, true}} {
		t.Run(fmt.Sprint("leased:", leased), func(t *testing.T) { holds(t, &skewSystem{leased: leased, grants: 3}) })
	}
}

func TestLast(t *testing.T) { holds(t, &lastSystem{}) }

func TestNearDecider(t *testing.T) {
	for _, forGood := range []bool{false, true} {
		t.Run(fmt.Sprint("for good:", forGood), func(t *testing.T) { holds(t, &deciderSystem{forGood: forGood}) })
	}
}

func TestRetry(t *testing.T) { holds(t, &retrySystem{}) }

// TestExplore checks the search itself: it reaches every state and no other, finds the shortest trace, and reports if it is not
// complete.
func TestExplore(t *testing.T) {
	sys := &grid{size: 300, never: [2]uint16{7, 5}}
	r := explore(sys, 1_000_000)
	if r.wrong == "" || len(r.trace) != 12 || strings.Count(strings.Join(r.trace, " "), "right 1") != 7 {
		t.Errorf("got %q over %v", r.wrong, r.trace)
	}
	sys.never = [2]uint16{999, 999}
	if r = explore(sys, 1_000_000); r.states != 300*300 || !r.complete || r.wrong != "" || r.depth != 598 {
		t.Errorf("got %+v", r)
	}
	if r = explore(sys, 1000); r.complete || r.wrong != "" {
		t.Errorf("got %+v", r)
	}
}

// grid is a system whose states are known: steps go right and down.
type grid struct {
	size  uint16
	never [2]uint16
}

var _ system[[2]uint16] = (*grid)(nil)

func (g *grid) start() [2]uint16 { return [2]uint16{} }

func (g *grid) steps(s [2]uint16, to func(act, [2]uint16)) {
	if s[0]+1 < g.size {
		to(does("right %d", 1), [2]uint16{s[0] + 1, s[1]})
	}
	if s[1]+1 < g.size {
		to(does("down"), [2]uint16{s[0], s[1] + 1})
	}
}

func (g *grid) wrong(s [2]uint16) string {
	if s == g.never {
		return "there: it is"
	}
	return ""
}
