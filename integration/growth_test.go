package integration

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/fsm"
)

var planetTime = flag.Duration("planettime", 2*time.Minute, "how long, in virtual time, the planet of TestGrowth works")

// TestGrowth has a planet work for as long as the flag says, with edges that crash and come back all the time: whenever the work
// rests, nothing is locked, owed or left over, no group remembers more than its clients may still ask for, and no process has
// more goroutines than at the first rest. Its clients number their requests, as the SDK does: what is kept for a day is the
// business of TestWeek in cluster/group.
func TestGrowth(t *testing.T) {
	skipUnderRace(t, "counts goroutines, after a long time")
	synctest.Test(t, func(t *testing.T) {
		p := newPlanet(t, 11, 1)
		defer p.close()
		g := &growing{planet: p}
		first := 0
		for end := time.Now().Add(*planetTime); time.Now().Before(end); {
			g.work(max(20*time.Second, *planetTime/30))
			g.rest()
			n := runtime.NumGoroutine()
			if first == 0 {
				first = n
			}
			if n > first+first/5+100 {
				t.Fatalf("%d goroutines after %d transactions, %d at the first rest", n, g.done, first)
			}
		}
		t.Logf("%d transactions, %d of them answered; %d crashes of edges; %d goroutines at the first rest", g.sent, g.done, g.crashes, first)
		if g.done*2 < g.sent {
			t.Error("most were not answered")
		}
	})
}

const (
	growingClients = 12
	growingKeys    = 200 // in each region
)

type growing struct {
	*planet
	mu                  sync.Mutex
	sent, done, crashes int
	seqs                [growingClients]uint64
}

// work has every client send one transaction after the other, through a gateway of its own.
func (g *growing) work(d time.Duration) {
	end := time.Now().Add(d)
	var clients sync.WaitGroup
	gateways := g.gateways()
	for c := range growingClients {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), g.seqs[c]))
			for time.Now().Before(end) {
				g.one(c, r, gateways[c%len(gateways)])
			}
		})
	}
	time.Sleep(d / 3)
	h := g.byName[regions[g.crashes%len(regions)]+"-edge-1"]
	g.crashes++
	h.crash()
	time.Sleep(d / 3)
	h.start()
	clients.Wait()
}

// one is a transaction of one key or of several regions, or a read.
func (g *growing) one(c int, r *rand.Rand, h *host) {
	key := func() api.Key { return api.Key(fmt.Sprintf("%s/%d", regions[r.IntN(3)], r.IntN(growingKeys))) }
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s := h.store()
	if s == nil {
		time.Sleep(time.Second)
		return
	}
	if r.IntN(3) == 0 {
		k := key()
		for range 5 { // enough for a lease
			if _, err := storetest.Read(ctx, s, get(k)); err != nil {
				return
			}
		}
		return
	}
	g.seqs[c]++
	txn := &api.Txn{ID: api.RequestID{Client: api.ClientID{byte(c + 1)}, Seq: g.seqs[c], AckedBelow: g.seqs[c]}}
	switch r.IntN(4) {
	case 0:
		txn.Then = []api.Op{{Kind: api.OpDelete, Key: key()}}
	case 1:
		txn.Then = []api.Op{{Kind: api.OpPut, Key: key(), Value: []byte("1")}}
	default:
		txn.Then = []api.Op{{Kind: api.OpPut, Key: key(), Value: []byte("1")}, {Kind: api.OpPut, Key: key(), Value: []byte("2")}}
	}
	_, err := s.Do(ctx, txn)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sent++; err == nil {
		g.done++
	}
}

// rest waits until everything that goes by itself has gone, and looks at what is left.
func (g *growing) rest() {
	time.Sleep(2 * time.Minute) // sessions of processes that have crashed are ended a minute after they have expired
	for _, id := range g.groups() {
		h := g.leader(id)
		if h == nil {
			g.t.Fatalf("%s has no leader", id)
		}
		m := h.running().Machine(id).Meta()
		for what, x := range map[string]struct{ is, most int }{
			"prepared transactions":  {m.Prepared, 0},
			"unresolved commits":     {m.Unresolved, 0},
			"locked keys":            {m.Intents, 0},
			"ended sessions":         {m.Ended, 0},
			"leases of these":        {m.Void, 0},
			"sessions":               {m.Sessions, len(g.hosts)},
			"keys":                   {m.Keys, growingKeys},
			"tombstones":             {m.Tombstones, growingKeys},
			"leases":                 {m.Leases, len(g.hosts) * growingKeys},
			"records":                {m.Records, 4 * growingClients},
			"decisions":              {m.Decisions, 100 * growingClients},
			"notes of transactions":  {m.Finished, 100 * growingClients},
			"epochs since it began":  {int(m.DedupEpoch), 2 + int(time.Since(epoch)/time.Hour)},
			"levels above the first": {int(m.Level - fsm.Level1), int(fsm.NewestLevel - fsm.Level1)},
		} {
			if x.is > x.most {
				g.t.Errorf("at rest after %d transactions, %s has %d %s, over the %d that there may be", g.sent, id, x.is, what, x.most)
			}
		}
	}
}
