package meta

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// fakeLog is a log that applies at once, in a term and under a leader that the test sets.
type fakeLog struct {
	m *Meta

	mu      sync.Mutex
	node    string
	term    uint64
	confirm error
	heard   time.Time
}

func (l *fakeLog) Heard() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard, !l.heard.IsZero()
}

func (l *fakeLog) Propose(_ context.Context, command []byte) (placement.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.node != string(l.m.cfg.Node) {
		return placement.Result{}, notLeader(l.node)
	}
	results, err := l.m.Machine().Apply(0, l.term, [][]byte{command})
	if err != nil {
		return placement.Result{}, err
	}
	return results[0], nil
}

func (l *fakeLog) QuorumConfirm(context.Context, uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.confirm
}

func (l *fakeLog) Leader() (string, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.node, l.term
}

// elect makes the node lead in the term; its first command applies where it is this one and first is set.
func (l *fakeLog) elect(t *testing.T, node string, term uint64, first bool) {
	t.Helper()
	l.mu.Lock()
	l.node, l.term = node, term
	l.mu.Unlock()
	if first {
		if _, err := l.Propose(t.Context(), l.m.OnLeadership(term)); err != nil {
			t.Fatal(err)
		}
	}
}

func server(id, region string) placement.Node {
	return placement.Node{ID: api.NodeID(id), Region: api.RegionID(region), Role: api.RoleServer, Address: id + ":1"}
}

func founding(t *testing.T) *placement.Map {
	t.Helper()
	m, err := placement.Static("c", []placement.Node{server("a1", "a"), server("b1", "b"), server("z1", "z")}, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func founded(t *testing.T) (*Meta, *fakeLog) {
	t.Helper()
	m, err := New(Config{Node: "a1", Init: founding(t)})
	if err != nil {
		t.Fatal(err)
	}
	l := &fakeLog{m: m}
	m.Attach(l)
	l.elect(t, "a1", 1, true)
	return m, l
}

func TestFounding(t *testing.T) {
	m, l := founded(t)
	now, err := m.Get(t.Context())
	if err != nil || now.ClusterID != "c" || m.Map() != now {
		t.Fatalf("the founded map is %+v, %v", now, err)
	}
	l.elect(t, "a1", 2, true)
	if again, err := m.Get(t.Context()); err != nil || again != now {
		t.Errorf("another term changed the map: %v", err)
	}
	if s := m.Status(); s.Leader != "a1" || s.Term != 2 || s.Applied != 2 || s.Group != ident.MetaGroup {
		t.Errorf("status is %+v", s)
	}
}

func TestNotOpen(t *testing.T) {
	m, err := New(Config{Node: "a1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := m.Get(t.Context())
	_, err2 := m.Propose(t.Context(), placement.TermStart{})
	if api.CodeOf(err1) != api.CodeUnavailable || api.CodeOf(err2) != api.CodeUnavailable {
		t.Errorf("before Attach: %v, %v", err1, err2)
	}
	l := &fakeLog{m: m}
	m.Attach(l)
	l.elect(t, "a1", 1, true)
	if _, err := m.Get(t.Context()); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("without a map: %v", err)
	}
}

// TestGetIsLinearizable: only a leader answers, whose own term has applied, behind a confirm.
func TestGetIsLinearizable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := founded(t)
		l.elect(t, "b1", 2, false)
		if _, err := m.Get(t.Context()); api.AsError(err).Code != api.CodeNotLeader || api.AsError(err).Leader != "b1" {
			t.Errorf("elsewhere: %v", err)
		}
		l.elect(t, "a1", 3, false) // elected; what the last leader acknowledged may be missing yet
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Get(ctx); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("before its first entry: %v", err)
		}
		time.AfterFunc(time.Second, func() { l.elect(t, "a1", 3, true) })
		if _, err := m.Get(t.Context()); err != nil {
			t.Error(err)
		}
		for _, broken := range []error{api.CodeNotLeader, api.CodeAmbiguous, api.CodeUnavailable} {
			l.confirm = broken
			_, err := m.Get(t.Context())
			if err == nil || api.CodeOf(err) == api.CodeAmbiguous {
				t.Errorf("not confirmed (%v): %v", broken, err)
			}
		}
		synctest.Wait()
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := founded(t)
		version := m.Map().Version
		took := func(seen Seen, most time.Duration) time.Duration {
			ctx, cancel := context.WithTimeout(t.Context(), most)
			defer cancel()
			began := time.Now()
			m.Wait(ctx, seen)
			return time.Since(began)
		}
		if d := took(Seen{}, time.Second); d != 0 {
			t.Errorf("waited %v for what is known already", d)
		}
		time.AfterFunc(time.Minute, func() {
			if _, err := m.Propose(context.Background(), placement.Join{Node: server("a2", "a")}); err != nil {
				t.Error(err)
			}
		})
		if d := took(Seen{Map: version}, time.Hour); d != time.Minute || m.Map().Version != version+1 {
			t.Errorf("waited %v for version %d", d, m.Map().Version)
		}
		if d := took(Seen{Map: 99, Roll: 99}, time.Second); d != time.Second {
			t.Errorf("waited %v in vain", d)
		}
	})
}

// TestHeard: a voter never takes back how new its roll is, and does not know it before it has heard a leader.
func TestHeard(t *testing.T) {
	m, l := founded(t)
	if at := m.Heard(); !at.IsZero() {
		t.Errorf("heard at %v", at)
	}
	hear := func(at time.Time) { l.mu.Lock(); l.heard = at; l.mu.Unlock() }
	first := time.Now()
	hear(first)
	if at := m.Heard(); !at.Equal(first) {
		t.Errorf("heard at %v", at)
	}
	hear(time.Time{}) // it lags behind the log
	if at := m.Heard(); !at.Equal(first) {
		t.Errorf("while it lags, heard at %v", at)
	}
	hear(first.Add(time.Second))
	if at := m.Heard(); !at.Equal(first.Add(time.Second)) {
		t.Errorf("then heard at %v", at)
	}
}

// TestVault: only a leader that is confirmed gives out the vault.
func TestVault(t *testing.T) {
	m, l := founded(t)
	if v, err := m.Vault(t.Context()); err != nil || v == nil {
		t.Errorf("at the leader: %v, %v", v, err)
	}
	l.mu.Lock()
	l.confirm = notLeader("b1")
	l.mu.Unlock()
	if _, err := m.Vault(t.Context()); api.CodeOf(err) != api.CodeNotLeader {
		t.Errorf("at a leader that is none any more: %v", err)
	}
	l.elect(t, "b1", 2, false)
	if _, err := m.Vault(t.Context()); api.CodeOf(err) != api.CodeNotLeader {
		t.Errorf("elsewhere: %v", err)
	}
}

func TestRefusedCommand(t *testing.T) {
	m, _ := founded(t)
	if _, err := m.Propose(t.Context(), placement.Join{Node: server("a1", "b")}); !errors.Is(err, api.CodeConflict) {
		t.Errorf("gave %v", err)
	}
}

func TestSnapshotAndRestore(t *testing.T) {
	from, _ := founded(t)
	s, err := from.Machine().Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := s.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	to, err := New(Config{Node: "b1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Machine().Restore(&buf); err != nil || to.Map().Version != from.Map().Version {
		t.Errorf("restored %+v, %v", to.Map(), err)
	}
}

// TestRaise: the map rises once all voters know the level, and not before; raised, it stays.
func TestRaise(t *testing.T) {
	m, l := founded(t)
	old := *founding(t)
	old.Level, old.NextNum = placement.Level0, 0
	old.Nodes = nil
	for _, id := range []string{"a", "b", "z"} {
		old.Nodes = append(old.Nodes, server(id+"1", id))
	}
	x, err := New(Config{Node: "a1", Init: &old})
	if err != nil {
		t.Fatal(err)
	}
	l.m = x
	x.Attach(l)
	l.elect(t, "a1", 1, true)
	raise := func(x *Meta, known placement.Level) placement.Level {
		t.Helper()
		if err := x.Raise(t.Context(), func(context.Context) placement.Level { return known }); err != nil {
			t.Fatal(err)
		}
		return x.Map().Level
	}
	if level := raise(x, placement.Level0); level != placement.Level0 {
		t.Errorf("raised to %d, which a voter does not know", level)
	}
	if level := raise(x, placement.NewestLevel); level != placement.NewestLevel || x.Map().Nodes[2].Num != 3 {
		t.Errorf("raised to %d: %+v", level, x.Map().Nodes)
	}
	before := x.Map()
	if raise(x, placement.Level0); x.Map() != before {
		t.Error("the level has fallen")
	}
	before = m.Map()
	l.m = m
	if raise(m, placement.NewestLevel); m.Map() != before {
		t.Error("a new cluster has been raised")
	}
	l.elect(t, "b1", 2, false)
	if err := x.Raise(t.Context(), nil); api.CodeOf(err) != api.CodeNotLeader {
		t.Errorf("elsewhere: %v", err)
	}
}
