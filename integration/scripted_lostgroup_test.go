package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestRegionLostDuringTransactions: a region is lost in the middle of transfers between it and another, which go on. Soon they
// fail at once; what they have locked in the other region for the lost group to decide, and nothing else, stays locked there, is
// listed, and a request for it fails at once. When the region is back nothing is left, and no money is lost.
func TestRegionLostDuringTransactions(t *testing.T) {
	for _, how := range []struct {
		name string
		lose func(p *planet, region string) (back func())
	}{
		{"crashed", (*planet).crashRegion},
		{"two of three servers", (*planet).crashMajority},
		{"cut off", (*planet).cutRegion},
	} {
		if testing.Short() && how.name != "crashed" {
			continue
		}
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			scripted(t, 1, func(p *planet) { p.lostDuringTransfers(how.lose) })
		})
	}
}

func (p *planet) crashMajority(region string) (back func()) {
	down := []*host{p.byName[region+"-1"], p.byName[region+"-2"]}
	kill(down...)
	return func() {
		for _, h := range down {
			h.start()
		}
	}
}

// transfers is what clients of the region that is not lost do until they are stopped.
type transfers struct {
	planet *planet
	us, eu []api.Key
	stop   chan struct{}
	done   sync.WaitGroup

	mu      sync.Mutex
	slowest time.Duration // of those that began after noticed
	noticed time.Time
	wrong   []error
}

func (p *planet) startTransfers(n int) *transfers {
	x := &transfers{planet: p, stop: make(chan struct{})}
	txn := &api.Txn{}
	for i := range 12 {
		x.us = append(x.us, api.Key(fmt.Sprintf("us-east/acc%02d", i)))
		x.eu = append(x.eu, api.Key(fmt.Sprintf("eu-west/acc%02d", i)))
		txn.Then = append(txn.Then, put(x.us[i], "100").Then[0], put(x.eu[i], "100").Then[0])
	}
	if _, err := p.byName["us-east-edge-1"].store0().Do(within(p.t, 10*time.Second), txn); err != nil {
		p.t.Fatal(err)
	}
	for i := range n {
		at := p.byName[[]string{"us-east-edge-1", "us-east-1"}[i%2]]
		r := rand.New(rand.NewPCG(1, uint64(i)))
		x.done.Go(func() {
			for {
				select {
				case <-x.stop:
					return
				case <-time.After(time.Duration(r.Int64N(int64(200 * time.Millisecond)))):
				}
				x.one(at, r)
			}
		})
	}
	return x
}

func (x *transfers) one(at *host, r *rand.Rand) {
	txn := &api.Txn{Then: []api.Op{
		{Kind: api.OpAdd, Key: x.us[r.IntN(len(x.us))], Delta: -1}, {Kind: api.OpAdd, Key: x.eu[r.IntN(len(x.eu))], Delta: 1},
	}}
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	began := time.Now()
	_, err := at.store0().Do(ctx, txn)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.noticed.IsZero() || began.Before(x.noticed) {
		return
	}
	x.slowest = max(x.slowest, time.Since(began))
	if api.CodeOf(err) != api.CodeUnavailable {
		x.wrong = append(x.wrong, err)
	}
}

// notice judges the transfers from now on.
func (x *transfers) notice(since time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.noticed = since
}

func (p *planet) lostDuringTransfers(lose func(*planet, string) func()) {
	x := p.startTransfers(8)
	time.Sleep(3 * time.Second)
	back := lose(p, "eu-west")
	time.Sleep(7 * time.Second) // 5 s until it is known, and the keep-alives
	x.notice(time.Now())
	time.Sleep(20 * time.Second)
	close(x.stop)
	x.done.Wait()
	x.mu.Lock()
	if x.slowest > reach || len(x.wrong) > 0 {
		p.t.Errorf("transfers that began after the loss was known took up to %v; other than unavailable: %v", x.slowest, x.wrong)
	}
	x.mu.Unlock()

	locked := map[api.Key]api.GroupID{}
	for _, g := range p.status("us-east-1").Groups {
		for _, l := range g.Locked {
			locked[l.Key] = l.Decider
			if l.Seconds < 15 || g.Group != p.owner(l.Key) {
				p.t.Errorf("%s lists %+v", g.Group, l)
			}
		}
	}
	p.t.Logf("locked: %v", locked)
	us := p.byName["us-east-edge-1"]
	for _, k := range x.us {
		began := time.Now()
		_, err := us.store0().Do(within(p.t, opTimeout), &api.Txn{Then: []api.Op{{Kind: api.OpAdd, Key: k, Delta: 0}}})
		e := api.AsError(err)
		switch decider := locked[k]; {
		case decider == "" && err != nil:
			p.t.Errorf("%q, which is not listed: %v", k, err)
		case decider != "" && (e == nil || e.Code != api.CodeUnavailable || !strings.Contains(e.Hint, string(decider))):
			p.t.Errorf("%q, which waits for %s: %v", k, decider, err)
		}
		if took := time.Since(began); took > reach {
			p.t.Errorf("%q: the answer took %v", k, took)
		}
	}

	back()
	p.ready(30 * time.Second)
	p.settled(lockBound)
	res, err := storetest.Read(within(p.t, 10*time.Second), us.store0(), &api.ReadRequest{Keys: append(x.us, x.eu...), Snapshot: true})
	if err != nil {
		p.t.Fatal(err)
	}
	sum := 0
	for _, e := range res.Entries {
		var n int
		if _, err := fmt.Sscan(string(e.Value), &n); err != nil {
			p.t.Errorf("%q: %v", e.Key, err)
		}
		sum += n
	}
	if want := 100 * len(res.Entries); sum != want {
		p.t.Errorf("the accounts hold %d, not %d", sum, want)
	}
	p.sameState()
}
