package group

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// TestSimulation runs edges, writers and a nemesis over three nodes in virtual time. It includes changes of leaders,
// deposed leaders that do not know it, dead and unanswering holders, slow logs and confirms, and clocks at the limits
// of what is allowed. After every entry the auditor checks every edge: none may serve anything older than the machine
// holds (NoStale), and no key may end before its time to live has passed (NotEarly).
func TestSimulation(t *testing.T) {
	served, seeds, ended := 0, uint64(12), 0
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, seed)
				served += s.run(2 * time.Minute)
				ended += s.ended
			})
		})
	}
	if served < 1000 {
		t.Errorf("only %d reads were served by leases: the simulation is idle", served)
	}
	if ended < 20*int(seeds) {
		t.Errorf("only %d keys have ended at their deadlines: the simulation is idle", ended)
	}
}

type sim struct {
	t     *testing.T
	log   *testLog
	edges []*testEdge
	keys  []api.Key
	ctx   context.Context
	wg    sync.WaitGroup

	mu     sync.Mutex
	rand   *rand.Rand
	acked  map[api.Key]api.Version // newest acknowledged write
	served int
	writes int

	// Of the audit, guarded by the log's mutex.
	there map[api.Key]life
	ended int // keys that have ended at their deadlines
}

// life is a key of the simulation as it is in the log. Its put began at an instant that its value says.
type life struct {
	version api.Version
	began   time.Time
	ttl     time.Duration // 0: for ever
}

// lifeOf reads what the writer has put into the value.
func lifeOf(t *testing.T, x api.Entry) life {
	var ttl, began int64
	if _, err := fmt.Sscanf(string(x.Value), "%d %d", &ttl, &began); err != nil && string(x.Value) != "last" {
		t.Errorf("%q: %v", x.Value, err)
	}
	return life{x.Version, time.Unix(0, began), time.Duration(ttl)}
}

// auditLives checks that a key has ended only after its time to live.
func (s *sim) auditLives(present []api.Entry) {
	for _, x := range present {
		was, known := s.there[x.Key]
		switch {
		case x.Exists:
			s.there[x.Key] = lifeOf(s.t, x)
			continue
		case !known:
			continue
		}
		s.ended++
		delete(s.there, x.Key)
		if lived := time.Since(was.began); was.ttl == 0 || lived.Seconds() < was.ttl.Seconds()/(1+words.ClockRateError) {
			s.t.Errorf("NotEarly: %q ended %v after its put began, with %v to live", x.Key, lived, was.ttl)
		}
	}
}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{t: t, rand: rand.New(rand.NewPCG(seed, 2)), acked: map[api.Key]api.Version{}, there: map[api.Key]life{}}
	s.log = newLog(t, nil, "a", "b", "c")
	for i := range 5 {
		s.keys = append(s.keys, api.Key(rune('p'+i)))
	}
	for i := range 4 {
		e := newEdge(s.log, api.NodeID(fmt.Sprint("edge-", i)))
		e.latency = time.Duration(s.intn(60)) * time.Millisecond
		s.edges = append(s.edges, e)
	}
	for _, n := range s.log.nodes {
		n.clock.setRate(1 + (s.float()*2-1)*words.ClockRateError)
		slow := func(fsm.Command) time.Duration { return s.delay() }
		n.set(func(h *hooks) { h.before, h.after, h.confirm = slow, slow, s.delay })
	}
	for _, e := range s.edges {
		e.clock.setRate(1 + (s.float()*2-1)*words.ClockRateError)
	}
	s.log.mu.Lock()
	s.log.audit = s.audit
	s.log.mu.Unlock()
	return s
}

func (s *sim) intn(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.IntN(n)
}

func (s *sim) float() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.Float64()
}

// delay returns a duration that is mostly short and sometimes very long.
func (s *sim) delay() time.Duration {
	if s.intn(50) == 0 {
		return time.Duration(s.intn(2000)) * time.Millisecond
	}
	return time.Duration(s.intn(10)) * time.Millisecond
}

// audit checks NoStale at this instant. The caller holds the log's mutex.
func (s *sim) audit() {
	leader := s.log.node(s.log.leader)
	if leader.cut || !leader.machine.Meta().Initialized {
		return
	}
	present, _, err := leader.machine.Read(s.keys)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.auditLives(present)
	for _, e := range s.edges {
		for _, x := range present {
			if old, ok := e.serves(x.Key); ok && old.Version != x.Version {
				s.t.Errorf("NoStale: %s serves %q at %v, the machine holds %v", e.node, x.Key, old.Version, x.Version)
			}
		}
	}
	if err := leader.machine.CheckInvariants(); err != nil {
		s.t.Error(err)
	}
}

func (s *sim) run(d time.Duration) (served int) {
	var stop context.CancelFunc
	s.ctx, stop = context.WithCancel(context.Background())
	s.log.settle()
	for _, e := range s.edges {
		e.live()
		s.wg.Go(func() { s.reader(e) })
	}
	for i := range 3 {
		s.wg.Go(func() { s.writer(i) })
	}
	s.wg.Go(s.nemesis)
	time.Sleep(d)
	stop()
	s.wg.Wait()
	s.heal()
	n := s.log.elect("a")
	for _, k := range s.keys {
		if _, took := n.mustWrite(put(k, "last")); took > 2*(grantorWait+3*time.Second) {
			s.t.Errorf("StallBound: a write took %v with all healed", took)
		}
	}
	s.endAll(n)
	released := 0
	for _, e := range s.edges {
		e.close()
		released += e.released
	}
	s.log.close()
	s.t.Logf("%d writes, %d leased reads, %d releases", s.writes, s.served, released)
	if released == 0 {
		s.t.Error("no lease was released")
	}
	return s.served
}

// endAll checks that, with all healed, a key ends soon after its deadline (LateBound).
func (s *sim) endAll(n *testNode) {
	for _, k := range s.keys {
		n.mustWrite(putTTL(k, fmt.Sprintf("%d %d", time.Second, time.Now().UnixNano()), time.Second))
	}
	began := time.Now()
	for _, k := range s.keys {
		n.lives(k, time.Minute)
	}
	// Writes and confirms here take up to 2 s, twice for an Expire that meets a lease given meanwhile.
	if took, most := time.Since(began), time.Second+grantorWait+time.Second+5*time.Second; took > most {
		s.t.Errorf("LateBound: keys of 1 s ended after %v, with all healed", took)
	}
}

// leader returns a node that may lead. Mostly that is the true leader.
func (s *sim) leader() *testNode {
	if s.intn(10) == 0 {
		return s.log.nodes[s.intn(len(s.log.nodes))]
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.node(s.log.leader)
}

func (s *sim) version(k api.Key) api.Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked[k]
}

func (s *sim) writer(id int) {
	for i := 0; s.ctx.Err() == nil; i++ {
		k := s.keys[s.intn(len(s.keys))]
		ctx, cancel := context.WithTimeout(s.ctx, time.Duration(500+s.intn(8000))*time.Millisecond)
		ttl := time.Duration(0)
		if s.intn(2) == 0 {
			ttl = time.Duration(100+s.intn(3000)) * time.Millisecond
		}
		res, err := s.leader().authority.Do(ctx, putTTL(k, fmt.Sprintf("%d %d %d.%d", ttl, time.Now().UnixNano(), id, i), ttl))
		cancel()
		if err == nil {
			s.mu.Lock()
			s.writes++
			if res.Version.Compare(s.acked[k]) > 0 {
				s.acked[k] = res.Version
			}
			s.mu.Unlock()
		}
		_ = pause(s.ctx, time.Duration(s.intn(400))*time.Millisecond)
	}
}

// reader reads through an edge: from its cache if the key is leased there, otherwise at the owner.
func (s *sim) reader(e *testEdge) {
	for s.ctx.Err() == nil {
		k := s.keys[s.intn(len(s.keys))]
		atLeast := s.version(k)
		x, ok := e.serves(k)
		var err error
		if ok {
			s.mu.Lock()
			s.served++
			s.mu.Unlock()
		} else if e.reachable() {
			s.reopen(e)
			x, err = e.fetch(s.leader(), k)
			ok = err == nil
		}
		if ok && x.Version.Compare(atLeast) < 0 {
			s.t.Errorf("stale: %s read %q at %v after %v was acknowledged", e.node, k, x.Version, atLeast)
		}
		if s.intn(10) == 0 {
			e.evict(s.leader(), k, time.Duration(s.intn(500))*time.Millisecond, 1+s.intn(2))
		}
		_ = pause(s.ctx, time.Duration(10+s.intn(50))*time.Millisecond)
	}
}

func (s *sim) reopen(e *testEdge) {
	e.mu.Lock()
	dead := e.sid.IsZero()
	e.mu.Unlock()
	if !dead {
		return
	}
	base := e.clock.Now()
	o := words.OpenSession{Group: "g.1", Node: e.node, Nonce: e.nonce, Term: e.term}
	if g, err := s.leader().authority.OpenSession(s.ctx, o); err == nil {
		e.set(func(e *testEdge) { e.sid, e.base = g.Session, base })
	}
}

// nemesis breaks something about every second, and repairs everything from time to time.
func (s *sim) nemesis() {
	for s.ctx.Err() == nil {
		names := []string{"a", "b", "c"}
		e := s.edges[s.intn(len(s.edges))]
		switch s.intn(9) {
		case 0:
			s.log.elect(names[s.intn(3)])
		case 1, 2: // the leader is cut off and deposed, and does not know it
			s.log.mu.Lock()
			old := s.log.node(s.log.leader)
			old.cut = true
			s.log.mu.Unlock()
			next := names[s.intn(3)]
			if next == old.name {
				next = names[(s.intn(2)+1)%3]
			}
			s.log.elect(next)
		case 3:
			e.set(func(e *testEdge) { e.down = true })
		case 4:
			e.set(func(e *testEdge) { e.mute = true })
		case 5: // a suspend, which only one of the clocks counts
			e.clock.jump(time.Duration(s.intn(4000))*time.Millisecond, 0)
			s.log.nodes[s.intn(3)].clock.jump(0, time.Duration(s.intn(4000))*time.Millisecond)
		default:
			s.heal()
		}
		_ = pause(s.ctx, time.Duration(200+s.intn(3000))*time.Millisecond)
	}
}

func (s *sim) heal() {
	for _, n := range s.log.nodes {
		n.setCut(false)
	}
	for _, e := range s.edges {
		e.set(func(e *testEdge) { e.down, e.mute = false, false })
	}
}
