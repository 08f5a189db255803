package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/integration/history"
)

// TestMovesDuringTransactions: ranges go from group to group while transactions over them and others run, under faults: tokens that
// are in the range or out of it, and requests that are sent again through other gateways, before and after their anchor, and so
// the record of them, has moved. Everything stays strictly serializable, no token is doubled or lost, and no request counts twice.
func TestMovesDuringTransactions(t *testing.T) {
	for seed := uint64(1); seed <= 2; seed++ {
		if testing.Short() && seed > 1 {
			break
		}
		if *oneSeed != 0 {
			seed = *oneSeed
		}
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { movingSeed(t, seed) })
		})
		if *oneSeed != 0 {
			break
		}
	}
}

// movables are the prefixes that move: before all other keys, so that those of their keys that a request names are its anchor.
const movables = 3

func movable(i int) api.Key { return api.Key(fmt.Sprintf("aa/p%d/", i)) }

// tokenKeys are where the i-th token is: in the range that moves, or at home.
func tokenKeys(i int) (away, home api.Key) {
	return movable(i) + "token", api.Key(fmt.Sprintf("us-east/token%d", i))
}

// counted are the keys that the i-th requests count in, of other groups than their anchor may be of.
func counted(i int) []api.Key {
	return []api.Key{api.Key(fmt.Sprintf("eu-west/counted%d", i)), api.Key(fmt.Sprintf("us-east/counted%d", i))}
}

// moving is what the clients of such a planet do.
type moving struct {
	*txnWorkload
	moves atomic.Int64
	// Of the requests with an anchor in the i-th range: those that certainly happened, and those that may have.
	happened, mayHave [movables]atomic.Int64
}

func movingSeed(t *testing.T, seed uint64) {
	t.Logf("replay with -seed %d", seed)
	p := newPlanet(t, seed, 1+int(seed%2))
	defer p.close()
	w := &moving{txnWorkload: &txnWorkload{planet: p, recorder: history.NewRecorder(func() time.Duration { return time.Since(epoch) })}}
	w.foundTokens()
	stop := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() { nemesis(p, faults, seed, stop, func(string) {}) })
	for i := range movables {
		beside.Go(func() { w.move(i, rand.New(rand.NewPCG(seed, uint64(100+i))), stop) })
	}
	perOps := 60
	if testing.Short() {
		perOps = 25
	}
	var clients sync.WaitGroup
	gateways := p.gateways()
	for id := range 9 {
		c := &txnClient{txnWorkload: w.txnWorkload, id: id, record: w.recorder.Client(id), at: gateways[id%len(gateways)],
			rand: rand.New(rand.NewPCG(seed, uint64(id)))}
		clients.Go(func() {
			for range perOps {
				w.one(c)
				time.Sleep(time.Duration(c.rand.Int64N(int64(400 * time.Millisecond))))
			}
		})
	}
	clients.Wait()
	close(stop)
	beside.Wait()
	p.ready(30 * time.Second)
	p.settled(lockBound)
	w.judge()
	p.sameState()
}

func (w *moving) foundTokens() {
	c := &txnClient{txnWorkload: w.txnWorkload, record: w.recorder.Client(100), at: w.planet.byName["us-east-edge-1"]}
	txn := &api.Txn{}
	for i := range movables {
		_, home := tokenKeys(i)
		txn.Then = append(txn.Then, api.Op{Kind: api.OpPut, Key: home, Value: []byte("founded")})
	}
	if res, err := c.do(within(w.planet.t, 15*time.Second), txn); err != nil || !res.Committed {
		w.planet.t.Fatalf("founding the tokens: %+v, %v", res, err)
	}
}

// move gives the range to one region after the other, whenever it is empty. What has begun is finished first.
func (w *moving) move(i int, r *rand.Rand, stop <-chan struct{}) {
	to := api.RegionID(regions[i%len(regions)])
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(r.Int64N(int64(500 * time.Millisecond)))):
		}
		n := w.planet.byName[regions[r.IntN(len(regions))]+"-1"].running()
		if n == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
		err := n.SetPlacement(ctx, movable(i), to)
		cancel()
		if err == nil {
			w.moves.Add(1)
			to = api.RegionID(regions[r.IntN(len(regions))])
		}
	}
}

func (w *moving) one(c *txnClient) {
	if c.at.store() == nil {
		time.Sleep(time.Second)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	i := c.rand.IntN(movables)
	switch c.rand.IntN(4) {
	case 0:
		w.swap(ctx, c, i)
	case 1:
		away, home := tokenKeys(i)
		c.view(ctx, []api.Key{away, home})
	case 2:
		w.bringHome(ctx, c, i)
	default:
		w.count(ctx, c, i)
	}
}

// swap moves the token to where it is not.
func (w *moving) swap(ctx context.Context, c *txnClient, i int) {
	away, home := tokenKeys(i)
	value := fmt.Appendf(nil, "t%d", w.unique.Add(1))
	txn := &api.Txn{
		If:   []api.Cond{{Kind: api.CondExists, Key: away}},
		Then: []api.Op{{Kind: api.OpDelete, Key: away}, {Kind: api.OpPut, Key: home, Value: value}},
		Else: []api.Op{{Kind: api.OpPut, Key: away, Value: value}, {Kind: api.OpDelete, Key: home}},
	}
	either, or := c.record.BeginTxn(asked(txn.Then)...), c.record.BeginTxn(asked(txn.Else)...)
	res, err := c.send(ctx, txn)
	c.end(either, nil, txn.Then, res, err, true)
	c.end(or, nil, txn.Else, res, err, false)
}

// bringHome empties the range, so that it can move.
func (w *moving) bringHome(ctx context.Context, c *txnClient, i int) {
	away, home := tokenKeys(i)
	txn := &api.Txn{
		ID: c.request(), If: []api.Cond{{Kind: api.CondExists, Key: away}},
		Then: []api.Op{{Kind: api.OpDelete, Key: away}, {Kind: api.OpPut, Key: home, Value: fmt.Appendf(nil, "t%d", w.unique.Add(1))}},
	}
	_, _ = c.do(ctx, txn)
}

// count is a request whose anchor is a key of the range that is never there.
func (w *moving) count(ctx context.Context, c *txnClient, i int) {
	txn := &api.Txn{ID: c.request(), If: []api.Cond{{Kind: api.CondAbsent, Key: movable(i) + "anchor"}}}
	for _, k := range counted(i) {
		txn.Then = append(txn.Then, api.Op{Kind: api.OpAdd, Key: k, Delta: 1})
	}
	res, err := c.do(ctx, txn)
	switch {
	case err == nil && res.Committed:
		w.happened[i].Add(1)
	case err == nil:
		w.planet.t.Errorf("%q is absent, and yet %+v", movable(i)+"anchor", res)
	case history.OutcomeOf(err) == history.Unknown:
		w.mayHave[i].Add(1)
	}
}

func (w *moving) judge() {
	t := w.planet.t
	c := &txnClient{txnWorkload: w.txnWorkload, record: w.recorder.Client(101), at: w.planet.byName["eu-west-edge-1"]}
	for i := range movables {
		least, most := w.happened[i].Load(), w.happened[i].Load()+w.mayHave[i].Load()
		for _, e := range c.view(within(t, 15*time.Second), counted(i)) {
			if n, err := strconv.ParseInt(string(e.Value), 10, 64); err != nil || n < least || n > most {
				t.Errorf("%q counts %q; %d requests happened, and at most %d", e.Key, e.Value, least, most)
			}
		}
		away, home := tokenKeys(i)
		if es := c.view(within(t, 15*time.Second), []api.Key{away, home}); es == nil || es[0].Exists == es[1].Exists {
			t.Errorf("of one token there is %+v", es)
		}
	}
	if err := history.StrictlySerializable(w.recorder.Txns()); err != nil {
		t.Error(err)
	}
	t.Logf("%d moves, %d commits, %d requests sent again, in %v", w.moves.Load(), w.commits.Load(), w.repeated.Load(), time.Since(epoch).Round(time.Second))
	if w.moves.Load() < 10 || w.commits.Load() == 0 || w.repeated.Load() == 0 {
		t.Error("too few to mean anything")
	}
}
