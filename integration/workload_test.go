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

// workload is the clients of one planet and their operations.
type workload struct {
	planet   *planet
	recorder *history.Recorder
	keys     []api.Key
	clients  int
	perOps   int           // operations of each client
	think    time.Duration // mean pause between two
	served   [3]atomic.Int64
	unique   atomic.Int64
	attempts atomic.Int64
	fronts   bool         // some keys are those of fronts, and some clients use these
	viaRESP  atomic.Int64 // reads that RESP has answered
	viaDeno  atomic.Int64 // reads that KV Connect has answered
	viaActs  atomic.Int64 // deletes and functions that RESP and KV Connect have answered
	repeated atomic.Int64 // writes that were sent again, since their outcome was unknown
}

// ops are the operations so far, each with its version.
func (w *workload) ops() []history.Op {
	ops := w.recorder.Ops()
	all, err := w.planet.changes.all()
	if err != nil {
		w.planet.t.Error(err)
	}
	history.Resolve(ops, all)
	return ops
}

// has reports whether the key is one of the workload.
func (w *workload) has(k api.Key) bool { return slices.Contains(w.keys, k) }

// opTimeout is how long a client waits for one operation. The wait for a dead holder's leases is shorter.
const opTimeout = 8 * time.Second

// run runs all clients until each has done its operations or the time is over.
func (w *workload) run(seed uint64, end time.Time) {
	gateways := w.planet.gateways()
	var wg sync.WaitGroup
	for id := range w.clients {
		r := rand.New(rand.NewPCG(seed, uint64(id)))
		wg.Go(func() { w.client(id, gateways[id%len(gateways)], r, end) })
	}
	wg.Wait()
}

func (w *workload) client(id int, at *host, r *rand.Rand, end time.Time) {
	record := w.recorder.Client(id)
	redis := &respClient{planet: w.planet, at: at, from: w.planet.clientOf(at)}
	defer redis.close()
	deno := w.planet.denoClient(at)
	defer deno.close()
	var key api.Key
	again := 0 // how often the client reads the same key once more, as the code behind one page does
	for range w.perOps {
		if !time.Now().Before(end) {
			return
		}
		if again--; again < 0 {
			key, again = w.keys[r.IntN(len(w.keys))], r.IntN(12)
		}
		w.attempts.Add(1)
		if at.store() == nil { // its gateway is down
			time.Sleep(time.Second)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
		switch n := r.IntN(100); {
		case w.viaFronts(id) && strings.HasPrefix(string(key), respKeys):
			w.resp(ctx, record, redis, key, n, r)
		case w.viaFronts(id) && strings.HasPrefix(string(key), denoKeys):
			w.deno(ctx, record, deno, key, n, r)
		case n < 94 || strings.HasPrefix(string(key), denoCounters):
			w.read(ctx, record, at, key)
		case isCounter(key):
			w.add(ctx, record, at, key, id, r)
		case n < 97:
			w.put(ctx, record, at, key, id, r)
		case n < 99:
			w.cas(ctx, record, at, key, id, r)
		default:
			w.remove(ctx, record, at, key)
		}
		cancel()
		time.Sleep(time.Duration(r.ExpFloat64() * float64(w.think)))
	}
}

func (w *workload) read(ctx context.Context, c *history.Client, at *host, key api.Key) history.State {
	running := c.Begin(history.Op{Kind: history.Get, Key: key})
	var state history.State
	res, err := storetest.Read(ctx, at.store0(), get(key))
	if err == nil {
		e := res.Entries[0]
		state = history.State{Exists: e.Exists, Value: string(e.Value), Version: e.Version}
		w.served[res.ServedBy].Add(1)
	}
	running.End(state, err)
	return state
}

// request returns a new id for a write, so that the router may send it again.
func request(id int, r *rand.Rand) api.RequestID {
	var client api.ClientID
	for i := range client {
		client[i] = byte(r.Uint32())
	}
	client[0] = byte(id) | 0x80
	return api.RequestID{Client: client}
}

func (w *workload) put(ctx context.Context, c *history.Client, at *host, key api.Key, id int, r *rand.Rand) {
	value := fmt.Sprintf("v%d", w.unique.Add(1))
	running := c.Begin(history.Op{Kind: history.Put, Key: key, Written: value})
	txn := put(key, value)
	if r.IntN(2) == 0 {
		txn.ID = request(id, r)
	}
	res, err := w.send(ctx, at, txn, r)
	running.End(written(res, err), err)
}

// add adds 1 to a counter of RESP.
func (w *workload) add(ctx context.Context, c *history.Client, at *host, key api.Key, id int, r *rand.Rand) {
	running := c.Begin(history.Op{Kind: history.Add, Key: key})
	txn := &api.Txn{ID: request(id, r), Then: []api.Op{{Kind: api.OpAdd, Key: key, Delta: 1}}}
	res, err := w.send(ctx, at, txn, r)
	running.End(added(res, err), err)
}

// added is what an add made, with its number if the answer has it.
func added(res *api.TxnResult, err error) history.State {
	if err != nil {
		return history.State{}
	}
	made := history.State{Version: res.Entries[0].Version}
	if v, err := res.Entries[0].Known(); err == nil && len(v) > 0 { // no answer to a sum has its value
		made.Exists, made.Value = true, string(v)
	}
	return made
}

// send sends a write. One under an opaque key has little time now and then; if its outcome is unknown then, it is sent again
// through another gateway, with more time or with none, and the second answer counts, also if it says that the write was not applied.
func (w *workload) send(ctx context.Context, at *host, txn *api.Txn, r *rand.Rand) (*api.TxnResult, error) {
	first, cancel := ctx, context.CancelFunc(func() {})
	if !txn.ID.IsZero() && r.IntN(3) == 0 {
		first, cancel = context.WithTimeout(ctx, time.Duration(r.Int64N(int64(200*time.Millisecond))))
	}
	res, err := at.store0().Do(first, txn)
	cancel()
	if txn.ID.IsZero() || history.OutcomeOf(err) != history.Unknown || r.IntN(4) == 0 {
		return res, err
	}
	w.repeated.Add(1)
	patience := []time.Duration{0, time.Millisecond, opTimeout, opTimeout}[r.IntN(4)]
	again, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all := w.planet.gateways()
	if store := all[r.IntN(len(all))].store(); store != nil {
		return store.Do(again, txn)
	}
	return res, err
}

// cas replaces what the client has just read.
func (w *workload) cas(ctx context.Context, c *history.Client, at *host, key api.Key, id int, r *rand.Rand) {
	seen := w.read(ctx, c, at, key)
	if at.store() == nil {
		return
	}
	value := fmt.Sprintf("v%d", w.unique.Add(1))
	expect := history.State{Exists: seen.Exists, Value: seen.Value, Version: seen.Version}
	txn := put(key, value)
	txn.ID = request(id, r)
	txn.If = []api.Cond{{Kind: api.CondVersion, Key: key, Version: seen.Version}}
	if !seen.Exists {
		expect = history.State{}
		txn.If = []api.Cond{{Kind: api.CondAbsent, Key: key}}
	}
	running := c.Begin(history.Op{Kind: history.CAS, Key: key, Written: value, Expect: expect})
	res, err := w.send(ctx, at, txn, r)
	if err == nil && !res.Committed {
		err = &api.Error{Code: api.CodePreconditionFailed, Version: res.Entries[0].Version}
	}
	running.End(written(res, err), err)
}

func (w *workload) remove(ctx context.Context, c *history.Client, at *host, key api.Key) {
	running := c.Begin(history.Op{Kind: history.Delete, Key: key})
	res, err := at.store0().Do(ctx, &api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: key}}})
	running.End(written(res, err), err)
}

func written(res *api.TxnResult, err error) history.State {
	if err != nil || !res.Committed || len(res.Entries) == 0 {
		return history.State{}
	}
	return history.State{Exists: true, Version: res.Entries[0].Version}
}

// down is the store of a host without a node.
type down struct{}

func (down) Read(context.Context, *api.ReadRequest, *api.ReadResult) error {
	return api.Errorf(api.CodeUnavailable, "the gateway is down")
}

func (down) Do(context.Context, *api.Txn) (*api.TxnResult, error) {
	return nil, api.Errorf(api.CodeUnavailable, "the gateway is down")
}

func (h *host) store0() api.Store {
	if s := h.store(); s != nil {
		return s
	}
	return down{}
}
