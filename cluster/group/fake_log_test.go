package group

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
)

// testClock is one node's pair of clocks. It follows the bubble's time at a rate, and can jump, stop and be
// suspended.
type testClock struct {
	mu        sync.Mutex
	anchor    time.Time
	boot, raw time.Duration
	rate      float64
}

func newClock() *testClock {
	return &testClock{anchor: time.Now(), boot: time.Hour, raw: time.Minute, rate: 1}
}

func (c *testClock) Now() words.ClockSample {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance()
	return words.ClockSample{Boottime: c.boot, Raw: c.raw}
}

func (c *testClock) advance() {
	d := time.Duration(float64(time.Since(c.anchor)) * c.rate)
	c.anchor, c.boot, c.raw = time.Now(), c.boot+d, c.raw+d
}

func (c *testClock) setRate(rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance()
	c.rate = rate
}

// jump moves each of the two clocks by its own amount. A suspend moves only BOOTTIME.
func (c *testClock) jump(boot, raw time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.boot, c.raw = c.boot+boot, c.raw+raw
}

// testLog is the log of one group over several nodes. All nodes except those that are cut off know the leader and
// apply an entry at once.
type testLog struct {
	t       *testing.T
	mu      sync.Mutex
	term    uint64
	leader  string
	entries []testEntry
	nodes   []*testNode
	// audit is called after every entry, with mu held.
	audit func()
}

type testEntry struct {
	term    uint64
	command []byte
}

// testNode is one replica. It implements Replica for the authority of its node.
type testNode struct {
	log       *testLog
	name      string
	clock     *testClock
	machine   *fsm.Machine
	authority *Authority
	adapter   *Machine
	revoker   *testRevoker

	// Guarded by log.mu.
	cut      bool
	believes string // leader and term as this node knows them
	term     uint64
	applied  int
	hooks
}

// hooks make a node's log slow or make it fail. testNode.set changes them.
type hooks struct {
	before  func(fsm.Command) time.Duration // how long a command takes to enter the log
	after   func(fsm.Command) time.Duration // how long until its result is known after that
	fail    func(fsm.Command) error         // the error with which a command is refused
	confirm func() time.Duration            // how long a confirm takes
}

var testInit = fsm.Init{
	Group: "g.1", Incarnation: 1, MaxTerm: words.MaxLeaseTerm, MaxPause: words.MaxPause,
	Shards: []fsm.Shard{{Epoch: 1, Index: 0, Of: 1}},
}

// newLog opens a group on the nodes. The first node leads it. tune may change the authorities' configuration.
func newLog(t *testing.T, tune func(*Config), names ...string) *testLog {
	t.Helper()
	l := &testLog{t: t}
	for _, name := range names {
		m, err := fsm.Open(engine.NewMemory())
		if err != nil {
			t.Fatal(err)
		}
		n := &testNode{log: l, name: name, clock: newClock(), machine: m, revoker: &testRevoker{}}
		cfg := Config{
			Group: "g.1", Node: api.NodeID(name), Machine: m, Clock: n.clock, Revoker: n.revoker, Init: &testInit,
			CoolDown: -1,
		}
		if tune != nil {
			tune(&cfg)
		}
		if n.authority, err = New(cfg); err != nil {
			t.Fatal(err)
		}
		n.adapter = n.authority.Machine()
		n.authority.Attach(n)
		l.nodes = append(l.nodes, n)
	}
	l.elect(names[0])
	return l
}

func (l *testLog) close() {
	for _, n := range l.nodes {
		n.authority.Close()
	}
}

func (l *testLog) node(name string) *testNode {
	for _, n := range l.nodes {
		if n.name == name {
			return n
		}
	}
	l.t.Fatalf("no node %s", name)
	return nil
}

// elect makes the node the leader of a new term and applies its TermStart.
func (l *testLog) elect(name string) *testNode {
	n := l.node(name)
	l.mu.Lock()
	l.term++
	l.leader = name
	n.cut = false
	l.appendLocked(n.authority.OnLeadership(l.term))
	l.mu.Unlock()
	return n
}

// appendLocked appends a command. Every node that is not cut off applies the entries that it lacks. appendLocked
// returns the results by node.
func (l *testLog) appendLocked(command []byte) map[*testNode]fsm.Result {
	l.entries = append(l.entries, testEntry{l.term, command})
	results := map[*testNode]fsm.Result{}
	for _, n := range l.nodes {
		if !n.cut {
			n.believes, n.term = l.leader, l.term
			results[n] = n.catchUpLocked()
		}
	}
	if l.audit != nil {
		l.audit()
	}
	return results
}

func (n *testNode) catchUpLocked() (last fsm.Result) {
	for ; n.applied < len(n.log.entries); n.applied++ {
		e := n.log.entries[n.applied]
		results, err := n.adapter.Apply(uint64(n.applied)+1, e.term, [][]byte{e.command})
		if err != nil {
			n.log.t.Errorf("%s cannot apply entry %d: %v", n.name, n.applied+1, err)
			continue
		}
		last = results[0]
	}
	return last
}

// setCut cuts the node off from the others, or reconnects it.
func (n *testNode) setCut(cut bool) {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	n.cut = cut
	if !cut {
		n.believes, n.term = n.log.leader, n.log.term
		n.catchUpLocked()
	}
}

// set changes the node's hooks.
func (n *testNode) set(f func(*hooks)) {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	f(&n.hooks)
}

func (n *testNode) get() hooks {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	return n.hooks
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func delayOf(f func(fsm.Command) time.Duration, c fsm.Command) time.Duration {
	if f == nil {
		return 0
	}
	return f(c)
}

func (n *testNode) Propose(ctx context.Context, command []byte) (fsm.Result, error) {
	c, _, err := fsm.Decode(command)
	if err != nil {
		n.log.t.Error(err)
		return fsm.Result{}, api.AsError(err)
	}
	h := n.get()
	if h.fail != nil {
		if err := h.fail(c); err != nil {
			return fsm.Result{}, err
		}
	}
	if pause(ctx, delayOf(h.before, c)) != nil {
		return fsm.Result{}, api.Errorf(api.CodeUnavailable, "not proposed in time")
	}
	n.log.mu.Lock()
	cut, leads := n.cut, n.log.leader == n.name
	if !cut && !leads {
		defer n.log.mu.Unlock()
		return fsm.Result{}, notLeader(n.log.leader)
	}
	var res fsm.Result
	if !cut {
		res = n.log.appendLocked(command)[n]
	}
	n.log.mu.Unlock()
	if cut {
		_ = pause(ctx, 2*time.Second)
		return fsm.Result{}, api.Errorf(api.CodeAmbiguous, "no quorum")
	}
	if pause(ctx, delayOf(h.after, c)) != nil {
		return fsm.Result{}, api.Errorf(api.CodeAmbiguous, "not known in time")
	}
	return res, nil
}

func (n *testNode) QuorumConfirm(ctx context.Context, term uint64) error {
	n.log.mu.Lock()
	holds := !n.cut && n.log.leader == n.name && n.log.term == term
	n.log.mu.Unlock()
	d := time.Duration(0)
	if h := n.get(); h.confirm != nil {
		d = h.confirm()
	}
	if !holds {
		d += time.Second
	}
	if pause(ctx, d) != nil || !holds {
		return notLeader("")
	}
	return nil
}

func (n *testNode) Leader() (string, uint64) {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	return n.believes, n.term
}
