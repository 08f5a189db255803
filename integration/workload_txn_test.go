package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/integration/history"
)

// txnWorkload is what the clients of one planet do with transactions: several workloads at once, each with keys of its own
// in several regions, and a judge of its own beside the one that judges everything.
type txnWorkload struct {
	planet   *planet
	recorder *history.Recorder
	clients  int
	perOps   int           // what each client does
	think    time.Duration // mean pause between two

	unique   atomic.Int64
	commits  atomic.Int64 // transactions that wrote
	views    atomic.Int64 // snapshots of several keys
	leased   atomic.Int64 // those served wholly by leases
	repeated atomic.Int64 // requests that were sent again, after an unknown outcome or for the sake of it
	phantoms atomic.Int64 // the number of the set that is to be created
}

// accountSum is what all accounts hold together.
const accountSum = 600

var (
	accounts = []api.Key{"us-east/acc0", "us-east/acc1", "eu-west/acc0", "eu-west/acc1", "ap-south/acc0", "ap-south/acc1"}
	pairs    = [][2]api.Key{{"us-east/skew0", "eu-west/skew0"}, {"ap-south/skew1", "us-east/skew1"}}
	forks    = [][]api.Key{{"us-east/fork0", "eu-west/fork0", "ap-south/fork0"}, {"us-east/fork1", "eu-west/fork1", "ap-south/fork1"}}
	lists    = []api.Key{"us-east/list", "eu-west/list"}
	counters = []api.Key{"us-east/count", "eu-west/count", "ap-south/count"}
	branches = []api.Key{"ap-south/else", "eu-west/flag", "us-east/then"}
)

// phantomSet are the keys of the set with the number, of which at most one is ever created.
func phantomSet(n int64) []api.Key {
	return []api.Key{api.Key(fmt.Sprintf("ap-south/set%d", n)), api.Key(fmt.Sprintf("us-east/set%d", n))}
}

// txnClient is one client with its gateway. It does one thing at a time.
type txnClient struct {
	*txnWorkload
	id     int
	record *history.Client
	at     *host
	rand   *rand.Rand
	seq    uint64
}

// found writes the first values of the accounts and the pairs.
func (w *txnWorkload) found() {
	c := &txnClient{txnWorkload: w, record: w.recorder.Client(w.clients), at: w.planet.byName["us-east-edge-1"]}
	txn := &api.Txn{}
	for _, k := range accounts {
		txn.Then = append(txn.Then, api.Op{Kind: api.OpPut, Key: k, Value: fmt.Append(nil, accountSum/len(accounts))})
	}
	for _, p := range pairs {
		for _, k := range p {
			txn.Then = append(txn.Then, api.Op{Kind: api.OpPut, Key: k, Value: []byte("1")})
		}
	}
	ctx := within(w.planet.t, 15*time.Second)
	if res, err := c.do(ctx, txn); err != nil || !res.Committed {
		w.planet.t.Fatalf("founding the accounts: %+v, %v", res, err)
	}
}

// run runs all clients until each is done.
func (w *txnWorkload) run(seed uint64) {
	gateways := w.planet.gateways()
	var wg sync.WaitGroup
	for id := range w.clients {
		c := &txnClient{txnWorkload: w, id: id, record: w.recorder.Client(id), at: gateways[id%len(gateways)],
			rand: rand.New(rand.NewPCG(seed, uint64(id)))}
		wg.Go(c.run)
	}
	wg.Wait()
}

func (c *txnClient) run() {
	var looksAt []api.Key
	again := 0 // how often it looks at the same keys once more
	for range c.perOps {
		if c.at.store() == nil { // its gateway is down
			time.Sleep(time.Second)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
		switch n := c.rand.IntN(100); {
		case n < 70:
			if again--; again < 0 {
				looksAt, again = c.someKeys(), c.rand.IntN(16)
			}
			c.view(ctx, looksAt)
		case n < 75:
			c.transfer(ctx)
		case n < 80:
			c.transferAdds(ctx)
		case n < 84:
			c.skew(ctx)
		case n < 87:
			c.fork(ctx)
		case n < 90:
			c.append(ctx)
		case n < 94:
			c.count(ctx)
		case n < 97:
			c.create(ctx)
		default:
			c.branch(ctx)
		}
		cancel()
		time.Sleep(time.Duration(c.rand.ExpFloat64() * float64(c.think)))
	}
}

// someKeys are those of one workload.
func (c *txnClient) someKeys() []api.Key {
	all := [][]api.Key{accounts, pairs[0][:], pairs[1][:], forks[0], forks[1], lists, counters, phantomSet(c.phantoms.Load()), branches}
	return all[c.rand.IntN(len(all))]
}

// view looks at several keys at one instant.
func (c *txnClient) view(ctx context.Context, keys []api.Key) []api.Entry {
	running := c.record.BeginTxn()
	res, err := storetest.Read(ctx, c.at.store0(), &api.ReadRequest{Keys: keys, Snapshot: true})
	if err != nil {
		running.End(nil, err)
		return nil
	}
	if !res.Snapshot {
		c.planet.t.Errorf("a snapshot was demanded of %q, and is none", keys)
	}
	if c.views.Add(1); res.ServedBy == api.ServedByLease {
		c.leased.Add(1)
	}
	running.End(saws(res.Entries), nil)
	return res.Entries
}

// read looks at keys, not all at one instant: each is a transaction of its own.
func (c *txnClient) read(ctx context.Context, keys ...api.Key) ([]api.Entry, bool) {
	running := make([]*history.RunningTxn, len(keys))
	for i := range keys {
		running[i] = c.record.BeginTxn()
	}
	res, err := storetest.Read(ctx, c.at.store0(), &api.ReadRequest{Keys: keys})
	for i := range keys {
		if err != nil {
			running[i].End(nil, err)
			continue
		}
		running[i].End(saws(res.Entries[i:i+1]), nil)
	}
	if err != nil {
		return nil, false
	}
	return res.Entries, true
}

// do carries out a transaction without an Else and records it: saw are steps that it has read and tests the versions of.
func (c *txnClient) do(ctx context.Context, txn *api.Txn, saw ...history.Step) (*api.TxnResult, error) {
	running := c.record.BeginTxn(append(slices.Clone(saw), asked(txn.Then)...)...)
	res, err := c.send(ctx, txn)
	c.end(running, saw, txn.Then, res, err, true)
	return res, err
}

// end records how a transaction ended, of which this branch was carried out if held is what the result says.
func (c *txnClient) end(running *history.RunningTxn, saw []history.Step, branch []api.Op, res *api.TxnResult, err error, held bool) {
	switch {
	case err != nil:
		running.End(nil, err)
	case res.Committed != held:
		running.End(nil, api.Errorf(api.CodeConflict, "the other branch"))
	default:
		c.commits.Add(1)
		running.End(append(slices.Clone(saw), stepsOf(branch, res)...), nil)
	}
}

// send sends a transaction. One with an id is sent again through other gateways until its outcome is known, and now and
// then without need: then the answer must be the same.
func (c *txnClient) send(ctx context.Context, txn *api.Txn) (*api.TxnResult, error) {
	res, err := c.at.store0().Do(ctx, txn)
	if txn.ID.IsZero() {
		return res, err
	}
	for tries := 0; history.OutcomeOf(err) == history.Unknown && tries < 6; tries++ {
		var again error
		if res, again = c.resend(txn); again == nil || txn.ID.Seq == 0 { // of an opaque key the newest answer speaks for all
			err = again
		}
	}
	if err == nil && c.rand.IntN(3) == 0 {
		if second, again := c.resend(txn); again == nil && !sameResult(res, second) {
			c.planet.t.Errorf("%v was answered with %+v, and sent again with %+v", txn, res, second)
		}
	}
	return res, err
}

func (c *txnClient) resend(txn *api.Txn) (*api.TxnResult, error) {
	c.repeated.Add(1)
	all := c.planet.gateways()
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	time.Sleep(time.Duration(c.rand.Int64N(int64(time.Second))))
	return all[c.rand.IntN(len(all))].store0().Do(ctx, txn)
}

// sameResult reports whether two answers to one request are the same, values too: all of them are short enough to be kept.
func sameResult(a, b *api.TxnResult) bool {
	return a.Committed == b.Committed && slices.EqualFunc(a.Entries, b.Entries, func(x, y api.Entry) bool {
		return x.Key == y.Key && x.Version == y.Version && x.Exists == y.Exists && string(x.Value) == string(y.Value) && !y.Elided
	})
}

// request is the client's next id: numbered, or now and then an opaque one.
func (c *txnClient) request() api.RequestID {
	if c.rand.IntN(4) == 0 {
		return request(c.id, c.rand)
	}
	c.seq++
	id := api.RequestID{Seq: c.seq, AckedBelow: c.seq}
	copy(id.Client[:], fmt.Sprintf("workload %d", c.id))
	return id
}

// saws returns the steps of reads.
func saws(entries []api.Entry) []history.Step {
	steps := make([]history.Step, len(entries))
	for i, e := range entries {
		steps[i] = history.Step{Kind: history.Get, Key: e.Key, State: state(e)}
	}
	return steps
}

func state(e api.Entry) history.State {
	value := string(e.Value)
	if slices.Contains(lists, e.Key) {
		value = strings.TrimSuffix(value, history.Separator) // what is appended brings its own
	}
	return history.State{Exists: e.Exists, Value: value, Version: e.Version}
}

// asked returns the steps of a branch before anything is known of them.
func asked(branch []api.Op) (steps []history.Step) {
	for _, o := range branch {
		s := history.Step{Key: o.Key}
		switch o.Kind {
		case api.OpGet:
			continue
		case api.OpPut:
			s.Kind, s.State = history.Put, history.State{Exists: true, Value: string(o.Value)}
		case api.OpDelete:
			s.Kind = history.Delete
		case api.OpAdd:
			s.Kind, s.Arg, s.State.Exists = history.Add, fmt.Sprint(o.Delta), true
		case api.OpAppendIfAbsent:
			s.Kind, s.Arg, s.State.Exists = history.Append, strings.TrimSuffix(string(o.Value), history.Separator), true
		}
		steps = append(steps, s)
	}
	return steps
}

// stepsOf returns the steps of a branch that was carried out.
func stepsOf(branch []api.Op, res *api.TxnResult) (steps []history.Step) {
	for i, o := range branch {
		e := res.Entries[i]
		if o.Kind == api.OpGet {
			if !e.Elided { // too long to be kept
				steps = append(steps, saws([]api.Entry{e})...)
			}
			continue
		}
		s := asked([]api.Op{o})[0]
		s.State.Version = e.Version
		if o.Kind == api.OpAdd {
			s.State.Value = string(e.Value)
		}
		steps = append(steps, s)
	}
	return steps
}
