package txn

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/region"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/placement"
)

// world is groups with real machines and real regions over logs of one replica, and the ways between them and gateways. It
// lives in a bubble of virtual time.
type world struct {
	t      *testing.T
	m      *placement.Map
	groups map[api.GroupID]*group
	ending sync.WaitGroup // leaders that were killed

	mu   sync.Mutex
	cuts map[[2]string]bool // no way from a gateway or group to a group
}

const (
	oneWay  = 40 * time.Millisecond // between any two
	logTime = 2 * time.Millisecond
	q       = 2 * oneWay // a round trip
)

// group is one group, wherever it is led.
type group struct {
	w       *world
	id      api.GroupID
	machine *fsm.Machine

	mu     sync.Mutex
	term   uint64
	index  uint64
	region *region.Region // of the leader; nil while there is none
}

// inWorld runs f in a world of two regions, us and eu, with so many groups each, and ends all after it.
func inWorld(t *testing.T, groups int, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, groups: map[api.GroupID]*group{}, cuts: map[[2]string]bool{}}
		var nodes []placement.Node
		for _, r := range []string{"us", "eu"} {
			nodes = append(nodes, placement.Node{ID: api.NodeID(r), Region: api.RegionID(r), Role: api.RoleServer, Address: r, URL: "http://" + r})
		}
		var err error
		if w.m, err = placement.Static("test", nodes, groups, 3, "us", "eu"); err != nil {
			t.Fatal(err)
		}
		for _, g := range w.m.Groups {
			if g.ID == api.MetaGroup {
				continue
			}
			x := &group{w: w, id: g.ID}
			if x.machine, err = fsm.Open(engine.NewMemory()); err != nil {
				t.Fatal(err)
			}
			w.groups[g.ID] = x
			x.elect()
		}
		time.Sleep(time.Second)
		f(t, w)
		for _, g := range w.groups {
			g.kill()
			if err := g.machine.CheckInvariants(); err != nil {
				t.Errorf("%s: %v", g.id, err)
			}
		}
		w.ending.Wait()
	})
}

// elect makes a leader of a new term.
func (g *group) elect() {
	init := &fsm.Init{Group: g.id, Incarnation: 1, MaxTerm: api.MaxLeaseTerm, MaxPause: api.MaxPause}
	for _, o := range g.w.m.Owned(g.id) {
		init.Shards = append(init.Shards, fsm.Shard{Range: o.Range, Epoch: o.Epoch, Index: o.Index, Of: o.Of})
	}
	r, err := region.New(region.Config{
		Group: g.id, Node: "leader", Machine: g.machine, Clock: wallClock{}, Groups: &line{w: g.w, from: string(g.id)}, Init: init,
	})
	if err != nil {
		g.w.t.Fatal(err)
	}
	g.mu.Lock()
	g.term++
	g.region = r
	l := &leaderLog{g, g.term}
	g.mu.Unlock()
	r.Attach(l)
	if _, err := l.Propose(context.Background(), r.OnLeadership(g.term)); err != nil {
		g.w.t.Error(err)
	}
}

// kill ends the leader. What it has not proposed it never will.
func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.region; r != nil {
		g.region = nil
		g.term++
		g.w.ending.Go(r.Close)
	}
}

func (g *group) leader() *region.Region {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.region
}

// leaderLog is the log as the leader of one term sees it.
type leaderLog struct {
	g    *group
	term uint64
}

func (l *leaderLog) Propose(ctx context.Context, command []byte) (fsm.Result, error) {
	if !pause(ctx, logTime) {
		return fsm.Result{}, api.Errorf(api.CodeUnavailable, "not proposed in time")
	}
	l.g.mu.Lock()
	defer l.g.mu.Unlock()
	if l.g.term != l.term {
		return fsm.Result{}, &api.Error{Code: api.CodeNotLeader}
	}
	l.g.index++
	return l.g.region.Machine().Apply(l.g.index, l.term, [][]byte{command})[0], nil
}

func (l *leaderLog) QuorumConfirm(ctx context.Context, term uint64) error {
	if l.CurrentTerm() != term || !pause(ctx, logTime) || l.CurrentTerm() != term {
		return &api.Error{Code: api.CodeNotLeader}
	}
	return nil
}

func (l *leaderLog) CurrentTerm() uint64 {
	l.g.mu.Lock()
	defer l.g.mu.Unlock()
	return l.g.term
}

func (l *leaderLog) Leader() (node string, term uint64) {
	if term = l.CurrentTerm(); term == l.term {
		node = "leader"
	}
	return node, term
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

type wallClock struct{}

var started = time.Now()

func (wallClock) Now() api.ClockSample {
	d := time.Since(started)
	return api.ClockSample{Boottime: d, Raw: d}
}

// cut cuts or heals the way from a gateway or group to a group.
func (w *world) cut(from string, to api.GroupID, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[[2]string{from, string(to)}] = cut
}

func (w *world) isCut(from string, to api.GroupID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cuts[[2]string{from, string(to)}]
}

// line is the way from a gateway or group to all groups. Like the router it looks for the leader until the time is up, and
// sends what may be repeated again.
type line struct {
	w    *world
	from string
	// point, where set, is told of every message before it leaves and after its answer has come: an error loses it.
	point func(p point) error
}

// point is a moment of a message.
type point struct {
	kind  string
	group api.GroupID
	after bool
}

var errLost = errors.New("lost")

// carry carries a message to the group's leader and brings the answer back.
func carry[T any](ctx context.Context, l *line, kind string, g api.GroupID, again bool, f func(r *region.Region) (T, error)) (T, error) {
	var none T
	unknown := false
	end := func(err error) error {
		if unknown {
			return &api.Error{Code: api.CodeAmbiguous, Op: kind, Err: err}
		}
		return err
	}
	for {
		if err := l.at(point{kind, g, false}); err != nil && !errors.Is(err, errLost) {
			return none, err
		} else if r := l.w.groups[g].leader(); err == nil && r != nil && !l.w.isCut(l.from, g) && pause(ctx, oneWay) {
			res, err := f(r)
			if lost := l.at(point{kind, g, true}); lost != nil {
				if !errors.Is(lost, errLost) {
					return none, lost
				}
				err = &api.Error{Code: api.CodeAmbiguous}
			}
			_ = pause(ctx, oneWay)
			e := api.AsError(err)
			switch {
			case err == nil && !l.w.isCut(l.from, g):
				return res, nil
			case err == nil || e.Code == api.CodeAmbiguous:
				if unknown = true; !again {
					return none, end(err)
				}
			case e.Code == api.CodeNotLeader, e.Code == api.CodeUnavailable:
			default:
				return none, end(err)
			}
		}
		if !pause(ctx, 20*time.Millisecond) {
			return none, end(&api.Error{Code: api.CodeUnavailable, Hint: "the time was up", Err: ctx.Err()})
		}
	}
}

func (l *line) at(p point) error {
	if l.point == nil {
		return nil
	}
	return l.point(p)
}

func (l *line) Prepare(ctx context.Context, p *fsm.Prepare, dropped []api.DroppedLease, free bool) (*fsm.Vote, error) {
	return carry(ctx, l, "prepare", p.Group, true, func(r *region.Region) (*fsm.Vote, error) { return r.Prepare(ctx, p, dropped, free) })
}

func (l *line) CommitLast(ctx context.Context, c *fsm.CommitLast, dropped []api.DroppedLease) (*fsm.Vote, error) {
	return carry(ctx, l, "commit last", c.Txn.ID.Decider, true, func(r *region.Region) (*fsm.Vote, error) { return r.CommitLast(ctx, c, dropped) })
}

func (l *line) Decide(ctx context.Context, d *fsm.Decide) (*fsm.Decision, error) {
	kind := "decide"
	if d.Outcome == api.TxnAborted {
		kind = "abort"
	}
	return carry(ctx, l, kind, d.Txn.ID.Decider, true, func(r *region.Region) (*fsm.Decision, error) { return r.Decide(ctx, d) })
}

func (l *line) Outcome(ctx context.Context, ref api.TxnRef, abort bool) (*fsm.Decision, error) {
	return carry(ctx, l, "outcome", ref.ID.Decider, true, func(r *region.Region) (*fsm.Decision, error) { return r.Outcome(ctx, ref, abort) })
}

func (l *line) Resolve(ctx context.Context, c fsm.Resolve) error {
	_, err := carry(ctx, l, "resolve", c.Group, true, func(r *region.Region) (struct{}, error) { return struct{}{}, r.Resolve(ctx, c) })
	return err
}

func (l *line) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	sent := *t
	sent.Group, _, _ = l.w.m.Locate(t.Keys()[0])
	return carry(ctx, l, "do", sent.Group, !t.ID.IsZero(), func(r *region.Region) (*api.TxnResult, error) { return r.Do(ctx, &sent) })
}

func (l *line) Read(ctx context.Context, r *api.ReadRequest) (*api.ReadResult, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	out := &api.ReadResult{Entries: make([]api.Entry, len(r.Keys)), ServedBy: api.ServedByOwner, Snapshot: true}
	parts := map[api.GroupID][]int{}
	for i, k := range r.Keys {
		g, _, _ := l.w.m.Locate(k)
		parts[g] = append(parts[g], i)
	}
	out.Snapshot = len(parts) == 1
	var wg sync.WaitGroup
	errs := make(chan error, len(parts))
	for g, places := range parts {
		wg.Go(func() {
			part := *r
			part.Keys, part.Known, part.Group, part.Snapshot = nil, nil, g, false
			for _, i := range places {
				part.Keys = append(part.Keys, r.Keys[i])
				if len(r.Known) > 0 {
					part.Known = append(part.Known, r.Known[i])
				}
			}
			res, err := carry(ctx, l, "read", g, true, func(r *region.Region) (*api.ReadResult, error) { return r.Read(ctx, &part) })
			if err != nil {
				errs <- err
				return
			}
			for j, i := range places {
				out.Entries[i] = res.Entries[j]
			}
		})
	}
	wg.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return nil, err
	}
	return out, nil
}

// gateway is a coordinator in a region, named for it and a number.
type gateway struct {
	*Coordinator
	line *line
	told *counts
}

var lastClient byte

// gateway opens a coordinator in the region; tune may change its configuration.
func (w *world) gateway(r string, tune ...func(*Config)) *gateway {
	w.t.Helper()
	lastClient++
	l := &line{w: w, from: r + " gateway " + string('a'+rune(lastClient%26))}
	told := &counts{n: map[string]float64{}}
	cfg := Config{
		Store: l, Groups: l, Map: func() *placement.Map { return w.m }, Region: api.RegionID(r), Metrics: told,
		DedupEpoch: func(g api.GroupID) uint64 { return w.groups[g].machine.Meta().DedupEpoch },
		Client:     api.ClientID{0xc0, lastClient}, Rand: func() float64 { return 0.5 },
	}
	for _, f := range tune {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return &gateway{c, l, told}
}

// counts is what a coordinator measured: counters by name and labels.
type counts struct {
	api.NoMetrics
	mu sync.Mutex
	n  map[string]float64
}

func (c *counts) Counter(name, _ string, _ ...string) func(float64, ...string) {
	return func(n float64, values ...string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.n[strings.Join(append([]string{name}, values...), " ")] += n
	}
}

func (c *counts) of(name string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

// settled demands that nothing of a transaction is left anywhere within the time.
func (w *world) settled(within time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		left := 0
		for _, g := range w.groups {
			m := g.machine.Meta()
			left += m.Prepared + m.Unresolved + m.Intents
		}
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			w.t.Errorf("after %v, %d things are left of transactions", within, left)
			return
		}
	}
}

// value is what a key holds at its owner now; "" where it is absent.
func (w *world) value(k api.Key) string {
	w.t.Helper()
	g, _, _ := w.m.Locate(k)
	es, err := w.groups[g].machine.Read([]api.Key{k})
	if err != nil {
		w.t.Errorf("%q: %v", k, err)
		return "?"
	}
	return string(es[0].Value)
}

// within is a context that ends.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func requestOf(n byte) api.RequestID { return api.RequestID{Client: api.ClientID{1}, Seq: uint64(n)} }

func putOp(k api.Key, v string) api.Op { return api.Op{Kind: api.OpPut, Key: k, Value: []byte(v)} }

func addOp(k api.Key, n int64) api.Op { return api.Op{Kind: api.OpAdd, Key: k, Delta: n} }
