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
	"github.com/edgehold/edgehold/integration/history"
)

var (
	txnSeeds = flag.Int("txnseeds", 4, "how many seeds TestTransactionFaults runs")
	txnOps   = flag.Int("txnops", 140, "how many transactions each client of TestTransactionFaults asks for")
)

// txnFaults are further faults that matter to transactions: of the coordinator and of the decision group.
var txnFaults = append([]fault{
	{"crash a gateway", func(p *planet, r *rand.Rand) (string, func()) {
		h := p.someEdge(r)
		h.crash()
		return h.name, h.start
	}},
	{"crash a gateway that serves", func(p *planet, r *rand.Rand) (string, func()) {
		h := p.byName[regions[r.IntN(len(regions))]+"-1"]
		h.crash()
		return h.name, h.start
	}},
	{"crash a gateway and its decision group's leader", func(p *planet, r *rand.Rand) (string, func()) {
		edge := p.someEdge(r)
		leader := p.leader(p.owner(api.Key(edge.region + "/any")))
		if leader == nil {
			leader = p.byName[edge.region+"-1"]
		}
		edge.crash()
		leader.crash()
		return edge.name + " and " + leader.name, func() { leader.start(); edge.start() }
	}},
}, faults...)

// txnTotal is what all seeds of a run did together.
type txnTotal struct {
	mu                               sync.Mutex
	commits, views, leased, repeated int64
	witnessed                        witnessed
	met, modes                       map[string]int
}

// TestTransactionFaults runs planets under faults, a seed each, and judges the transactions that their clients saw.
func TestTransactionFaults(t *testing.T) {
	sum := &txnTotal{met: map[string]int{}, modes: map[string]int{}}
	n, perClient := *txnSeeds, *txnOps
	if testing.Short() {
		n, perClient = min(n, 2), min(perClient, 120)
	}
	t.Run("seeds", func(t *testing.T) {
		for seed := uint64(1); seed <= uint64(n); seed++ {
			if *oneSeed != 0 {
				seed = *oneSeed
			}
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { faultyTxnSeed(t, seed, perClient, sum) })
			})
			if *oneSeed != 0 {
				break
			}
		}
	})
	t.Logf("%d commits, %d views, %d of them by leases alone, %d requests sent again, %v; by mode: %v; faults: %v",
		sum.commits, sum.views, sum.leased, sum.repeated, &sum.witnessed, sum.modes, sum.met)
	if t.Failed() || *oneSeed != 0 {
		return
	}
	if sum.leased*10 < sum.views || sum.commits == 0 || sum.repeated == 0 || !sum.witnessed.enough(n, int(sum.commits)) {
		t.Error("too few to mean anything")
	}
	for _, f := range txnFaults[:len(txnFaults)-len(faults)] {
		if sum.met[f.name] == 0 {
			t.Errorf("no seed met the fault %q", f.name)
		}
	}
	for _, mode := range []string{"m1", "m2", "m3", "read2"} {
		if sum.modes[mode] == 0 {
			t.Errorf("no transaction was of the mode %s", mode)
		}
	}
}

// faultyTxnSeed runs one planet. To replay: go test ./integration -run TestTransactionFaults -seed N -v
func faultyTxnSeed(t *testing.T, seed uint64, perClient int, sum *txnTotal) {
	t.Logf("replay with -seed %d", seed)
	p := newPlanetOf(t, seed, 1+int(seed%2), seed%3 == 0, tinyCaches(seed)) // every third planet is on TLS
	defer p.close()
	w := &txnWorkload{planet: p, recorder: history.NewRecorder(func() time.Duration { return time.Since(epoch) }),
		clients: 12, perOps: perClient, think: 150 * time.Millisecond}
	p.keepsHistory()
	others := beside(p, seed, w.recorder.Instant)
	w.found()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		nemesis(p, txnFaults, seed, stop, func(name string) {
			sum.mu.Lock()
			defer sum.mu.Unlock()
			sum.met[name]++
		})
	}()
	w.run(seed)
	close(stop)
	<-done
	others.rest()
	p.ready(30 * time.Second)
	p.settled(lockBound)
	w.last()
	seen := others.watching.stop()
	w.judge(t, w.told(seen)...)
	saw := others.judge(t, seen, history.WritesOf(w.recorder.Txns()))
	p.sameState()
	t.Logf("%d commits, %d views, %d by leases alone, in %v", w.commits.Load(), w.views.Load(), w.leased.Load(), time.Since(epoch).Round(time.Second))
	sum.mu.Lock()
	defer sum.mu.Unlock()
	sum.commits += w.commits.Load()
	sum.views += w.views.Load()
	sum.leased += w.leased.Load()
	sum.repeated += w.repeated.Load()
	sum.witnessed.add(saw)
	for mode, n := range p.modes() {
		sum.modes[mode] += n
	}
}

// lockBound is how long a transaction without a coordinator stays prepared, and a commit unresolved, if all groups have quorums
// that reach each other: until the sweeper has seen it for AbortAfter, and the round trips.
const lockBound = 15 * time.Second

// settled demands that soon nothing is prepared or unresolved at any replica.
func (p *planet) settled(within time.Duration) {
	p.t.Helper()
	var left string
	for end := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		left = ""
		for _, h := range p.hosts {
			for _, g := range p.groups() {
				if n := h.running(); n != nil && n.Machine(g) != nil {
					if m := n.Machine(g).Meta(); m.Prepared > 0 || m.Unresolved > 0 || m.Intents > 0 {
						left += fmt.Sprintf("\n\t%s, %s: %d prepared, %d unresolved, intents on %d keys", h.name, g, m.Prepared, m.Unresolved, m.Intents)
					}
				}
			}
		}
		if left == "" {
			return
		}
		if !time.Now().Before(end) {
			p.t.Errorf("not over after %v:%s", within, left)
			return
		}
	}
}

// last looks at everything once more.
func (w *txnWorkload) last() {
	c := &txnClient{txnWorkload: w, record: w.recorder.Client(w.clients + 1), at: w.planet.byName["eu-west-edge-1"]}
	for _, keys := range append([][]api.Key{accounts, pairs[0][:], pairs[1][:], lists, counters, branches}, forks...) {
		if c.view(within(w.planet.t, 15*time.Second), keys) == nil {
			w.planet.t.Errorf("after healing, %q cannot be read", keys)
		}
	}
}

// has reports whether the key is one of the workload.
func (w *txnWorkload) has(k api.Key) bool {
	return !strings.Contains(string(k), "/ttl/") && !strings.Contains(string(k), "/.lock/")
}

// told returns what watches were told as reads that had ended when they were told.
func (w *txnWorkload) told(seen []*history.Watch) []history.Txn {
	txns := history.SeenTxns(seen, w.clients+2, w.has)
	for i := range txns {
		s := &txns[i].Steps[0]
		s.State = state(api.Entry{Key: s.Key, Exists: s.State.Exists, Value: []byte(s.State.Value), Version: s.State.Version})
	}
	return txns
}

// judge hands the history to all judges. told are further reads.
func (w *txnWorkload) judge(t *testing.T, told ...history.Txn) {
	txns := w.recorder.Txns()
	if err := history.StrictlySerializable(append(told, txns...)); err != nil {
		t.Error(err)
	}
	var sets [][]api.Key
	for n := range w.phantoms.Load() + 1 {
		sets = append(sets, phantomSet(n))
	}
	verdict := func(what string, seen int, err error) {
		if err != nil {
			t.Error(err)
		} else if seen == 0 {
			t.Errorf("%s: there was nothing to judge", what)
		}
	}
	judge := func(what string, f func() (int, error)) {
		seen, err := f()
		verdict(what, seen, err)
	}
	judge("bank", func() (int, error) { return history.Bank(txns, accounts, accountSum) })
	judge("write skew", func() (int, error) { return history.WriteSkew(txns, pairs) })
	judge("long fork", func() (int, error) { return history.LongFork(txns, forks) })
	judge("lists", func() (int, error) { return history.Lists(txns, lists) })
	judge("counters", func() (int, error) { return history.Counters(txns, counters) })
	judge("phantoms", func() (int, error) { return history.Phantoms(txns, sets) })
}

// modes counts the transactions by how they were committed, at the nodes that have not crashed since.
func (p *planet) modes() map[string]int {
	modes := map[string]int{}
	for _, line := range p.metrics("", "edgehold_txn_total{") {
		var mode, outcome string
		var n float64
		if _, err := fmt.Sscanf(line, "edgehold_txn_total{mode=%q,outcome=%q} %g", &mode, &outcome, &n); err != nil {
			p.t.Errorf("%s: %v", line, err)
		}
		if outcome == "ok" {
			modes[mode] += int(n)
		}
	}
	return modes
}
