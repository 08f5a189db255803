package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// farthestTrip is the longest round trip between two regions of the planet.
const farthestTrip = 200 * time.Millisecond

// bank is accounts over all regions: what is in them together never changes.
type bank struct {
	planet *planet
	all    []api.Key
	of     map[string][]api.Key // by region
}

const opening = 100

// openAccounts makes n accounts, in all regions as many.
func (p *planet) openAccounts(n int) *bank {
	a := &bank{planet: p, of: map[string][]api.Key{}}
	for i := range n {
		r := regions[i%len(regions)]
		k := api.Key(fmt.Sprintf("%s/account%04d", r, i))
		a.all, a.of[r] = append(a.all, k), append(a.of[r], k)
	}
	for r, keys := range a.of {
		for some := range slices.Chunk(keys, api.MaxTxnOps) {
			t := &api.Txn{}
			for _, k := range some {
				t.Then = append(t.Then, api.Op{Kind: api.OpPut, Key: k, Value: []byte(fmt.Sprint(opening))})
			}
			if _, err := p.byName[r+"-1"].store0().Do(within(p.t, 10*time.Second), t); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	return a
}

// transfer has clients at all gateways move money between regions until stop is closed. It counts what they have moved.
func (a *bank) transfer(clients int, stop <-chan struct{}) (done *atomic.Int64, wait func()) {
	var busy sync.WaitGroup
	done = new(atomic.Int64)
	gateways := a.planet.gateways()
	for i := range clients {
		busy.Go(func() {
			r, at := rand.New(rand.NewPCG(uint64(i), 1)), gateways[i%len(gateways)]
			for {
				select {
				case <-stop:
					return
				default:
				}
				from := r.IntN(len(regions))
				to := (from + 1 + r.IntN(len(regions)-1)) % len(regions)
				pick := func(region int) api.Key {
					keys := a.of[regions[region]]
					return keys[r.IntN(len(keys))]
				}
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				_, err := at.store0().Do(ctx, &api.Txn{Then: []api.Op{
					{Kind: api.OpAdd, Key: pick(from), Delta: -1}, {Kind: api.OpAdd, Key: pick(to), Delta: 1},
				}})
				cancel()
				if err != nil {
					a.planet.t.Errorf("a transfer: %v", err)
				}
				done.Add(1)
			}
		})
	}
	return done, busy.Wait
}

// sum is what is in the entries' accounts.
func (a *bank) sum(entries []api.Entry) (sum int) {
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscan(string(e.Value), &n); err != nil {
			a.planet.t.Errorf("%q holds %q", e.Key, e.Value)
		}
		sum += n
	}
	return sum
}

// TestViewBesideTransfers: beside 64 clients that move money between just these keys, a snapshot and a list of a thousand keys
// of one region take at most three of the farthest round trips in 99 of 100 cases, from wherever they are asked for. A snapshot
// over all regions, which is read twice, takes a few more, and sees no transfer by half.
//
// The 99th percentile of a run is its second largest of 72: two of three runs decide.
func TestViewBesideTransfers(t *testing.T) {
	skipUnderRace(t, "how long views take beside many clients")
	t.Parallel()
	late := viewsBesideTransfers(t)
	if late == "" {
		return
	}
	t.Logf("one run missed its bound: %s", late)
	for range 2 {
		if late := viewsBesideTransfers(t); late != "" {
			t.Errorf("and so did another: %s", late)
		}
	}
}

// viewsBesideTransfers runs a planet, and returns what took too long there; "" for nothing.
func viewsBesideTransfers(t *testing.T) (late string) {
	const clients, views = 64, 24
	scripted(t, 1, func(p *planet) {
		a := p.openAccounts(9000)
		stop := make(chan struct{})
		done, wait := a.transfer(clients, stop)
		time.Sleep(2 * time.Second)
		var mu sync.Mutex
		took := map[string][]time.Duration{}
		var reading sync.WaitGroup
		for _, region := range regions {
			at := p.byName[region+"-edge-1"].store0()
			see := func(what string, want int, view func(ctx context.Context) ([]api.Entry, error)) {
				reading.Go(func() {
					for range views {
						time.Sleep(500 * time.Millisecond)
						began := time.Now()
						ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
						entries, err := view(ctx)
						cancel()
						if err != nil || len(entries) != want {
							p.t.Errorf("%s from %s: %d entries, %v", what, region, len(entries), err)
						}
						mu.Lock()
						took[what] = append(took[what], time.Since(began))
						mu.Unlock()
					}
				})
			}
			see("snapshot of one region", 1000, func(ctx context.Context) ([]api.Entry, error) {
				return entriesOf(storetest.Read(ctx, at, &api.ReadRequest{Keys: a.of["us-east"][:1000], Snapshot: true}))
			})
			see("list of one region", 1000, func(ctx context.Context) ([]api.Entry, error) {
				page, err := at.(api.Lister).List(ctx, &api.ListRequest{Range: api.Range{Start: "us-east/account0000", End: "us-east/account3000"}, Limit: 1000})
				if err != nil {
					return nil, err
				}
				return page.Entries, nil
			})
		}
		reading.Wait()
		for what, ds := range took {
			slices.Sort(ds)
			at99 := ds[len(ds)*99/100-1]
			p.t.Logf("%s: the median %v, the 99th percentile %v", what, ds[len(ds)/2], at99)
			if at99 > 3*farthestTrip {
				late = fmt.Sprintf("%s: the 99th percentile is %v", what, at99)
			}
		}
		close(stop)
		wait()
		p.t.Logf("%d transfers in %v", done.Load(), time.Since(epoch))
	})
	return late
}

// TestSnapshotOfManyGroups: a snapshot of all accounts, in all regions, beside transfers between them finishes, and sees no
// transfer by half.
func TestSnapshotOfManyGroups(t *testing.T) {
	t.Parallel()
	const clients, views = 16, 8
	scripted(t, 1, func(p *planet) {
		a := p.openAccounts(999)
		stop := make(chan struct{})
		_, wait := a.transfer(clients, stop)
		time.Sleep(time.Second)
		for n := range views {
			at := p.byName[regions[n%len(regions)]+"-edge-1"].store0()
			began := time.Now()
			entries, err := entriesOf(storetest.Read(within(p.t, 10*time.Second), at, &api.ReadRequest{Keys: a.all, Snapshot: true}))
			if err != nil || a.sum(entries) != opening*len(a.all) {
				p.t.Errorf("the accounts hold %d together, not %d; %v", a.sum(entries), opening*len(a.all), err)
			}
			if took := time.Since(began); took > 12*farthestTrip {
				p.t.Errorf("it took %v", took)
			}
			time.Sleep(200 * time.Millisecond)
		}
		close(stop)
		wait()
	})
}

// TestManyTransfers: hundreds of clients move money between thousands of accounts, all at once. Each transfer is carried out, and
// none is lost, done twice or by half.
func TestManyTransfers(t *testing.T) {
	skipUnderRace(t, "hundreds of clients")
	t.Parallel()
	const clients, least = 300, 1000
	scripted(t, 1, func(p *planet) {
		a := p.openAccounts(3000)
		stop := make(chan struct{})
		done, wait := a.transfer(clients, stop)
		time.Sleep(2 * time.Second)
		close(stop)
		wait()
		sum := 0
		for _, keys := range a.of {
			entries, err := entriesOf(storetest.Read(within(p.t, 10*time.Second), p.byName["eu-west-edge-1"].store0(), &api.ReadRequest{Keys: keys, Snapshot: true}))
			if err != nil {
				p.t.Fatal(err)
			}
			sum += a.sum(entries)
		}
		if sum != opening*len(a.all) || done.Load() < least {
			p.t.Errorf("after %d transfers the accounts hold %d together, not %d", done.Load(), sum, opening*len(a.all))
		}
		p.sameState()
	})
}

func entriesOf(res *api.ReadResult, err error) ([]api.Entry, error) {
	if err != nil {
		return nil, err
	}
	return res.Entries, nil
}
