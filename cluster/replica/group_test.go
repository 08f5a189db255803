package replica

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// register is a machine that keeps every command that it has applied.
type register struct {
	mu      sync.Mutex
	applied []string
	entries int
	terms   []uint64
	restore int
	unknown string               // a command of a newer version
	refuse  func(command string) // may panic
}

type result struct {
	Place   int // of the command among all
	Command string
}

func (m *register) Apply(_, term uint64, commands [][]byte) ([]result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuses(commands) {
		return nil, errUnknown
	}
	return m.add(term, commands), nil
}

// refuses reports whether the entry has a command that this machine does not know.
func (m *register) refuses(commands [][]byte) bool {
	return m.unknown != "" && slices.ContainsFunc(commands, func(c []byte) bool { return string(c) == m.unknown })
}

var errUnknown = errors.New("an unknown command")

// add applies the commands. The caller holds mu.
func (m *register) add(term uint64, commands [][]byte) []result {
	m.entries++
	out := make([]result, len(commands))
	for i, c := range commands {
		if m.refuse != nil {
			m.refuse(string(c))
		}
		m.applied = append(m.applied, string(c))
		m.terms = append(m.terms, term)
		out[i] = result{Place: len(m.applied), Command: string(c)}
	}
	return out
}

func (m *register) Snapshot() (Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return registerSnapshot{Applied: slices.Clone(m.applied), Terms: slices.Clone(m.terms)}, nil
}

func (m *register) Restore(r io.Reader) error {
	var s registerSnapshot
	if err := gob.NewDecoder(r).Decode(&s); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unknown != "" && slices.Contains(s.Applied, m.unknown) {
		return newerSnapshot{errUnknown}
	}
	m.applied, m.terms = s.Applied, s.Terms
	m.restore++
	return nil
}

// newerSnapshot is what a machine says of a snapshot of a newer version.
type newerSnapshot struct{ error }

func (newerSnapshot) NewerVersion() {}

type registerSnapshot struct {
	Applied []string
	Terms   []uint64
}

func (s registerSnapshot) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(s); err != nil {
		return 0, err
	}
	return b.WriteTo(w)
}

func (s registerSnapshot) Close() error { return nil }

// has reports whether the command has been applied.
func (m *register) has(command string) bool { return m.count(command) > 0 }

func (m *register) count(command string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, c := range m.applied {
		if c == command {
			n++
		}
	}
	return n
}

// all returns the applied commands without those of new leaders.
func (m *register) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.applied), func(c string) bool { return strings.HasPrefix(c, "lead ") })
}

// group is a group of replicas over an in-memory network and disks.
type group struct {
	t     *testing.T
	net   *network
	limit Limits
	time  Timing
	// ask, if not nil, is called before every question of a QuorumConfirm.
	ask func(ctx context.Context, node string) error
	// log, if not "", puts logs and snapshots in files instead of memory.
	log logstore.Kind
	// durable, if not nil, has the members' machines, whose states survive restarts.
	durable map[string]*durableRegister
	// wrap, if not nil, wraps a member's disk in memory.
	wrap func(name string, s logstore.Stores) logstore.Stores
	// stuck counts the calls of OnStuck, failed those of OnFailed.
	stuck, failed atomic.Int32

	mu    sync.Mutex
	nodes map[string]*node
}

type node struct {
	name    string
	founder bool
	disk    *logstore.Memory
	dir     string // if the logs are in files
	machine *register
	rep     *Replica[result]
}

// newGroup founds a group of voters n0, n1, ... and starts them.
func newGroup(t *testing.T, voters int, limits Limits, timing Timing, log logstore.Kind, with ...func(*group)) *group {
	g := &group{t: t, net: newNetwork(time.Millisecond), limit: limits, time: timing, log: log, nodes: make(map[string]*node)}
	for _, f := range with {
		f(g)
	}
	for _, m := range g.founders(voters) {
		g.nodes[m.Node] = &node{name: m.Node, founder: true, disk: logstore.NewMemory(time.Millisecond)}
	}
	for _, m := range g.founders(voters) {
		g.start(m.Node, voters)
	}
	return g
}

func (g *group) founders(n int) []Member {
	var ms []Member
	for i := range n {
		name := fmt.Sprintf("n%d", i)
		ms = append(ms, Member{Node: name, Address: name, Voter: true})
	}
	return ms
}

// join starts a node that is not a member yet.
func (g *group) join(name string) *node {
	g.mu.Lock()
	n := &node{name: name, disk: logstore.NewMemory(time.Millisecond)}
	g.nodes[name] = n
	g.mu.Unlock()
	g.start(name, 0)
	return n
}

func (g *group) start(name string, founders int) {
	n := g.nodes[name]
	cfg := Config{
		Group: "g", Node: name, Stores: n.disk.Stores, Streams: g.net.endpoint(name), Timing: g.time, Limits: g.limit,
		OnStuck:  func(time.Duration) { g.stuck.Add(1) },
		OnFailed: func(error) { g.failed.Add(1) },
		Confirm: func(ctx context.Context, node string, term uint64) (bool, error) {
			if g.ask != nil {
				if err := g.ask(ctx, node); err != nil {
					return false, err
				}
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			v := g.nodes[node]
			return v != nil && v.rep != nil && v.rep.CurrentTerm() == term, nil
		},
		OnLeadership: func(term uint64) []byte { return fmt.Appendf(nil, "lead %s %d", name, term) },
	}
	if n.founder {
		cfg.Members = g.founders(founders)
	}
	if g.wrap != nil {
		cfg.Stores = func() (logstore.Stores, error) {
			s, err := n.disk.Stores()
			return g.wrap(name, s), err
		}
	}
	if g.log != "" {
		if n.dir == "" {
			n.dir = filepath.Join(g.t.TempDir(), name)
		}
		cfg.Stores, cfg.Dir, cfg.Log = nil, n.dir, g.log
	}
	machine := new(register)
	var all Machine[result] = machine
	if d := g.durable[name]; d != nil {
		machine, all, cfg.State = &d.register, d, d
	}
	rep, err := Open[result](cfg, all)
	if err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	n.machine, n.rep = machine, rep
	g.mu.Unlock()
}

// crash ends a node like a loss of power: its disk has what was durable at that instant.
func (g *group) crash(name string) {
	n := g.nodes[name]
	disk := n.disk.Clone()
	if g.log != "" {
		synctest.Wait() // nothing is being written
		copied := filepath.Join(g.t.TempDir(), name)
		if err := os.CopyFS(copied, os.DirFS(n.dir)); err != nil {
			g.t.Fatal(err)
		}
		n.dir = copied
	}
	g.net.crash(name)
	g.mu.Lock()
	zombie := n.rep
	n.rep = nil
	g.mu.Unlock()
	if err := zombie.Close(); err != nil {
		g.t.Error(err)
	}
	n.disk = disk
}

func (g *group) close() {
	for _, n := range g.nodes {
		if n.rep != nil {
			if err := n.rep.Close(); err != nil {
				g.t.Error(err)
			}
		}
	}
}

// leader waits for a leader, other than the named ones, whose OnLeadership command has applied.
func (g *group) leader(but ...string) *node {
	g.t.Helper()
	var found *node
	g.until(30*time.Second, "a leader", func() bool {
		for _, n := range g.sorted() {
			if n.rep == nil || slices.Contains(but, n.name) || !n.rep.IsLeader() {
				continue
			}
			if n.machine.has(fmt.Sprintf("lead %s %d", n.name, n.rep.CurrentTerm())) {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

func (g *group) sorted() []*node {
	g.mu.Lock()
	defer g.mu.Unlock()
	var ns []*node
	for _, n := range g.nodes {
		ns = append(ns, n)
	}
	slices.SortFunc(ns, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	return ns
}

// others returns the names of all nodes but the given ones.
func (g *group) others(but ...string) []string {
	var names []string
	for _, n := range g.sorted() {
		if !slices.Contains(but, n.name) {
			names = append(names, n.name)
		}
	}
	return names
}

// until waits in virtual time.
func (g *group) until(limit time.Duration, what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatalf("no %s within %v", what, limit)
		}
	}
}

func (g *group) must(n *node, command string) result {
	g.t.Helper()
	r, err := n.rep.Propose(g.t.Context(), []byte(command))
	if err != nil {
		g.t.Fatalf("propose %s at %s: %v", command, n.name, err)
	}
	return r
}

// settle waits until every running node has applied the same commands.
func (g *group) settle() {
	g.t.Helper()
	g.until(time.Minute, "agreement", func() bool {
		var first *node
		for _, n := range g.sorted() {
			switch {
			case n.rep == nil:
			case first == nil:
				first = n
			case !slices.Equal(first.machine.all(), n.machine.all()):
				return false
			}
		}
		return true
	})
}

// simulate runs a test of a group in a synctest bubble. No goroutine of the group may be left at its end.
func simulate(t *testing.T, voters int, limits Limits, test func(t *testing.T, g *group)) {
	simulateTimed(t, voters, limits, Timing{}, test)
}

func simulateTimed(t *testing.T, voters int, limits Limits, timing Timing, test func(t *testing.T, g *group)) {
	simulateOn(t, "", voters, limits, timing, test)
}

// simulateOn puts logs and snapshots in files if log is not "". Writing them takes no virtual time.
func simulateOn(t *testing.T, log logstore.Kind, voters int, limits Limits, timing Timing, test func(t *testing.T, g *group)) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, voters, limits, timing, log)
		defer g.close()
		test(t, g)
	})
}

// synctestGroup is simulate for three voters; with changes the group before they start.
func synctestGroup(t *testing.T, with func(*group), test func(t *testing.T, g *group)) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 3, Limits{}, Timing{}, "", with)
		defer g.close()
		test(t, g)
	})
}

// eachLog runs a test with every kind of log.
func eachLog(t *testing.T, test func(t *testing.T, kind logstore.Kind)) {
	for _, kind := range logstore.Kinds() {
		t.Run(string(kind), func(t *testing.T) { test(t, kind) })
	}
}

func wantCode(t *testing.T, err error, code api.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("the error is %v, want %s", err, code)
	}
}
