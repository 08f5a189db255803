package integration

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/integration/history"
)

var (
	oneSeed = flag.Uint64("seed", 0, "replay the fault schedule of this seed alone")
	seeds   = flag.Int("seeds", 8, "how many seeds TestFaults runs")
	ops     = flag.Int("ops", 5_200, "how many operations, about, each planet of TestFaults carries out")
)

// fault is one kind of trouble: do makes it at the host that drew it, and returns what ends it.
type fault struct {
	name string
	do   func(p *planet, r *rand.Rand) (what string, undo func())
}

var faults = []fault{
	{"isolate a node", func(p *planet, r *rand.Rand) (string, func()) {
		h := p.hosts[r.IntN(len(p.hosts))]
		p.fabric.Isolate(h.name)
		return h.name, func() { p.fabric.Rejoin(h.name) }
	}},
	{"isolate a leader", func(p *planet, r *rand.Rand) (string, func()) {
		h := p.someLeader(r)
		p.fabric.Isolate(h.name)
		return h.name, func() { p.fabric.Rejoin(h.name) }
	}},
	{"cut one way", func(p *planet, r *rand.Rand) (string, func()) {
		a, b := p.hosts[r.IntN(len(p.hosts))], p.hosts[r.IntN(len(p.hosts))]
		p.fabric.Cut(a.name, b.name)
		return a.name + " to " + b.name, func() { p.fabric.Heal(a.name, b.name) }
	}},
	{"leader receives nothing", func(p *planet, r *rand.Rand) (string, func()) { return p.oneWay(p.someLeader(r), true) }},
	{"leader reaches no node", func(p *planet, r *rand.Rand) (string, func()) { return p.oneWay(p.someLeader(r), false) }},
	{"edge receives nothing", func(p *planet, r *rand.Rand) (string, func()) { return p.oneWay(p.someEdge(r), true) }},
	{"edge reaches no node", func(p *planet, r *rand.Rand) (string, func()) { return p.oneWay(p.someEdge(r), false) }},
	{"crash a leader", func(p *planet, r *rand.Rand) (string, func()) {
		h := p.someLeader(r)
		h.crash()
		return h.name, h.start
	}},
	{"crash a node", func(p *planet, r *rand.Rand) (string, func()) {
		h := p.hosts[r.IntN(len(p.hosts))]
		h.crash()
		return h.name, h.start
	}},
	{"split regions", func(p *planet, r *rand.Rand) (string, func()) {
		a := regions[r.IntN(len(regions))]
		p.aroundRegion(a, p.fabric.Cut)
		return a, func() { p.aroundRegion(a, p.fabric.Heal) }
	}},
	{"loss and reorder", func(p *planet, r *rand.Rand) (string, func()) {
		for _, a := range p.hosts {
			for _, b := range p.hosts {
				if r.IntN(3) == 0 {
					p.fabric.Degrade(a.name, b.name, 0.05+0.15*r.Float64(), time.Duration(r.IntN(60))*time.Millisecond)
				}
			}
		}
		return "a third of the ways", p.fabric.HealAll
	}},
	{"freeze an edge", func(p *planet, r *rand.Rand) (string, func()) {
		// As its neighbours see it: nothing goes in or out. Its clock sees the pause as a suspend.
		h := p.someEdge(r)
		p.fabric.Isolate(h.name)
		h.clock.Suspend()
		return h.name, func() { h.clock.Resume(); p.fabric.Rejoin(h.name) }
	}},
	{"clocks drift", func(p *planet, r *rand.Rand) (string, func()) {
		for _, h := range p.hosts {
			h.clock.SetRate(1 + words.ClockRateError*(2*r.Float64()-1)*0.99)
		}
		return "all nodes", func() {
			for _, h := range p.hosts {
				h.clock.SetRate(1)
			}
		}
	}},
	{"a clock is slewed", func(p *planet, r *rand.Rand) (string, func()) {
		h := p.hosts[r.IntN(len(p.hosts))]
		if r.IntN(2) == 0 {
			h = p.someLeader(r)
		}
		h.clock.Slew(1 + 0.08*(2*r.Float64()-1))
		return h.name, func() { h.clock.Slew(1) }
	}},
	{"an edge's clock jumps", func(p *planet, r *rand.Rand) (string, func()) {
		h := p.someEdge(r)
		h.clock.Jump(time.Duration(r.IntN(10)) * time.Second)
		return h.name, func() {}
	}},
}

func (p *planet) someLeader(r *rand.Rand) *host {
	groups := p.groups()
	g := groups[r.IntN(len(groups))]
	if h := p.leader(g); h != nil {
		return h
	}
	return p.hosts[0]
}

func (p *planet) someEdge(r *rand.Rand) *host {
	var edges []*host
	for _, h := range p.hosts {
		if h.role == api.RoleEdge {
			edges = append(edges, h)
		}
	}
	return edges[r.IntN(len(edges))]
}

func (p *planet) oneWay(h *host, deaf bool) (string, func()) {
	each := func(do func(from, to string)) {
		for _, o := range p.hosts {
			switch {
			case o == h:
			case deaf:
				do(o.name, h.name)
			default:
				do(h.name, o.name)
			}
		}
	}
	each(p.fabric.Cut)
	return h.name, func() { each(p.fabric.Heal) }
}

func (p *planet) aroundRegion(region string, do func(from, to string)) {
	for _, a := range p.hosts {
		for _, b := range p.hosts {
			if (a.region == region) != (b.region == region) {
				do(a.name, b.name)
			}
		}
	}
}

// nemesis makes faults one after the other until it is stopped, each drawn from the seed, and heals everything at the end.
// The first two faults of a planet are in turn by its seed, so that half as many seeds as there are kinds meet every kind.
func nemesis(p *planet, faults []fault, seed uint64, stop <-chan struct{}, met func(name string)) {
	r := rand.New(rand.NewPCG(seed, 0xfa17))
	pause := func(least, spread time.Duration) bool {
		select {
		case <-stop:
			return false
		case <-time.After(least + time.Duration(r.Int64N(int64(spread)))):
			return true
		}
	}
	for i := 0; pause(2*time.Second, 4*time.Second); i++ {
		f := faults[r.IntN(len(faults))]
		if i < 2 {
			f = faults[(int(seed-1)*2+i)%len(faults)]
		}
		what, undo := f.do(p, r)
		met(f.name)
		p.t.Logf("%8.3fs  %s: %s", time.Since(epoch).Seconds(), f.name, what)
		pause(2*time.Second, 8*time.Second)
		undo()
	}
	p.fabric.HealAll()
}

// epoch is when time begins in a bubble.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// total is what all seeds of a run did together.
type total struct {
	mu          sync.Mutex
	ops, leased int64
	viaRESP     int64 // reads that RESP has answered
	viaDeno     int64 // reads that KV Connect has answered
	viaActs     int64 // deletes and functions that both have answered
	audits      int64
	repeated    int64
	witnessed   witnessed
	evicted     float64
	released    float64
	met         map[string]int
}

// TestFaults runs planets under faults, a seed each, and judges what their clients saw.
func TestFaults(t *testing.T) {
	sum := &total{met: map[string]int{}}
	t.Run("seeds", func(t *testing.T) {
		first, n, ops := uint64(1), uint64(*seeds), *ops
		if testing.Short() {
			first, n, ops = 2, 3, min(ops, 1300) // one planet in plain, one on TLS
		}
		for seed := first; seed <= n; seed++ {
			if *oneSeed != 0 {
				seed = *oneSeed
			}
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					faultySeed(t, seed, crowd{clients: 10, keys: 18, operations: ops, think: 100 * time.Millisecond}, sum)
				})
			})
			if *oneSeed != 0 {
				break
			}
		}
	})
	t.Logf("%d operations, %d of them leased reads, %d writes audited in every cache, %d sent again", sum.ops, sum.leased, sum.audits, sum.repeated)
	t.Logf("%d reads through RESP, %d through KV Connect, %d deletes and functions", sum.viaRESP, sum.viaDeno, sum.viaActs)
	t.Logf("%v leases evicted, %v released; %v", sum.evicted, sum.released, &sum.witnessed)
	for _, f := range faults {
		t.Logf("%4d x %s", sum.met[f.name], f.name)
	}
	if *oneSeed != 0 || testing.Short() || *seeds*2 < len(faults) {
		return
	}
	if sum.ops < int64(*seeds**ops)*95/100 || sum.leased*3 < sum.ops || sum.repeated == 0 {
		t.Errorf("%d operations, %d leased reads: too few to mean anything", sum.ops, sum.leased)
	}
	if least := float64(*seeds * *ops / 500); sum.evicted < least || sum.released < least {
		t.Errorf("%v leases were evicted and %v released: too few to mean anything", sum.evicted, sum.released)
	}
	if min(sum.viaRESP, sum.viaDeno) < int64(*seeds**ops)/30 {
		t.Errorf("%d reads through RESP, %d through KV Connect: too few to mean anything", sum.viaRESP, sum.viaDeno)
	}
	if sum.viaActs < int64(*seeds**ops)/500 {
		t.Errorf("%d deletes and functions through fronts: too few to mean anything", sum.viaActs)
	}
	if !sum.witnessed.enough(*seeds, *seeds**ops) {
		t.Errorf("%v: too little to mean anything", &sum.witnessed)
	}
	for _, f := range faults {
		if sum.met[f.name] == 0 {
			t.Errorf("no seed met the fault %q", f.name)
		}
	}
}

// TestManyClients: hundreds of clients and thousands of keys in one planet under faults, judged as the others are.
func TestManyClients(t *testing.T) {
	t.Parallel()
	sum := &total{met: map[string]int{}}
	seed, many := max(*oneSeed, 40), crowd{clients: 300, keys: 2100, operations: 4500, think: 2 * time.Second}
	if testing.Short() {
		many = crowd{clients: 100, keys: 300, operations: 1200, think: time.Second}
	}
	synctest.Test(t, func(t *testing.T) { faultySeed(t, seed, many, sum) })
	if len(sum.met) == 0 || sum.ops < int64(many.operations)*8/9 {
		t.Errorf("%d operations, faults %v: too few to mean anything", sum.ops, sum.met)
	}
}

// crowd is how many clients work on a planet, on how many keys, about how many operations they carry out together, and the mean
// pause between two of one client.
type crowd struct {
	clients, keys, operations int
	think                     time.Duration
}

// faultySeed runs one planet. To replay: go test ./integration -run TestFaults -seed N -v
func faultySeed(t *testing.T, seed uint64, c crowd, sum *total) {
	t.Logf("replay with -seed %d", seed)
	p := newPlanetOf(t, seed, 1, seed%3 == 0, tinyCaches(seed), speakFronts) // every third planet is on TLS
	defer p.close()
	p.keepsHistory()
	if p.ids != nil {
		p.giveToken()
	}
	w := &workload{planet: p, recorder: history.NewRecorder(func() time.Duration { return time.Since(epoch) }),
		clients: c.clients, perOps: c.operations / c.clients, think: c.think, fronts: true}
	for i := range c.keys {
		key := api.Key(fmt.Sprintf("%s/k%d", regions[i%len(regions)], i/len(regions)))
		switch i % 6 {
		case 2:
			key = denoKey(i / 6)
			if i/6%3 == 2 {
				key = denoCounter(i / 6)
			}
		case 5:
			key = api.Key(fmt.Sprintf("%sk%d", respKeys, i/6))
			if i/6%3 == 2 {
				key = counterKey(i / 6)
			}
		}
		w.keys = append(w.keys, key)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		nemesis(p, faults, seed, stop, func(name string) {
			sum.mu.Lock()
			sum.met[name]++
			sum.mu.Unlock()
		})
	}()
	others := beside(p, seed, w.recorder.Instant)
	w.run(seed, time.Now().Add(time.Hour))
	close(stop)
	<-done
	others.rest()
	p.healed(w)
	seen := others.watching.stop()
	judge(t, p, w, history.Seen(seen, c.clients, w.has)...)
	saw := others.judge(t, seen, w.ops())
	evicted, released := p.sum("edgehold_edge_evictions_total"), p.sum("edgehold_edge_releases_total")
	sum.mu.Lock()
	sum.evicted += evicted
	sum.released += released
	sum.ops += w.attempts.Load()
	sum.leased += w.served[api.ServedByLease].Load()
	sum.audits += p.audits.Load()
	sum.viaRESP += w.viaRESP.Load()
	sum.viaDeno += w.viaDeno.Load()
	sum.viaActs += w.viaActs.Load()
	sum.repeated += w.repeated.Load()
	sum.witnessed.add(saw)
	sum.mu.Unlock()
}

// healed demands that a planet whose faults are over serves every key again, and soon.
func (p *planet) healed(w *workload) {
	p.ready(30 * time.Second)
	for _, key := range w.keys {
		op, txn := history.Op{Kind: history.Put, Key: key, Written: "healed"}, put(key, "healed")
		if isCounter(key) {
			op.Kind, op.Written = history.Add, ""
			txn.Then = []api.Op{{Kind: api.OpAdd, Key: key, Delta: 1}}
			if strings.HasPrefix(string(key), denoCounters) {
				txn.Then = []api.Op{{Kind: api.OpSum64, Key: key, Value: oneMore}}
			}
		}
		running := w.recorder.Client(w.clients).Begin(op)
		res, err := p.byName["eu-west-edge-1"].store0().Do(within(p.t, 15*time.Second), txn)
		made := written(res, err)
		if isCounter(key) {
			made = added(res, err)
		}
		if running.End(made, err); err != nil {
			p.t.Errorf("after healing: put %q: %v", key, err)
		}
	}
}

// judge judges what the clients saw, and that it was not older than what watches had told before.
func judge(t *testing.T, p *planet, w *workload, told ...history.Op) {
	ops := w.ops()
	for _, verdict := range []error{history.Versions(append(told, ops...)), history.Once(ops), history.Linearizable(ops)} {
		if verdict != nil {
			t.Error(verdict)
		}
	}
	p.sameState()
	leased := w.served[api.ServedByLease].Load()
	t.Logf("%d operations in %v, %d leased reads, %d owner reads", w.attempts.Load(), time.Since(epoch).Round(time.Second),
		leased, w.served[api.ServedByOwner].Load())
}

// sameState demands that replicas at the same index are in the same state, and that all invariants of the machine hold.
func (p *planet) sameState() {
	type at struct {
		group api.GroupID
		index uint64
	}
	seen := map[at][32]byte{}
	for _, h := range p.hosts {
		n := h.running()
		if n == nil || h.role != api.RoleServer {
			continue
		}
		for _, g := range p.groups() {
			m := n.Machine(g)
			if m == nil {
				continue
			}
			if err := m.CheckInvariants(); err != nil {
				p.t.Errorf("%s, %s: %v", h.name, g, err)
			}
			sum, err := m.Hash()
			if err != nil {
				p.t.Errorf("%s, %s: %v", h.name, g, err)
			}
			k := at{g, m.Meta().Counter}
			if other, ok := seen[k]; ok && other != sum {
				p.t.Errorf("Determinism: replicas of %s differ at index %d (%s is one)", g, k.index, h.name)
			}
			seen[k] = sum
		}
	}
}
