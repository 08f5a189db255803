package txn

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Coordinator is safe for concurrent use. Close it before the parts of its Config.
type Coordinator struct {
	cfg     Config
	metrics metrics
	own     sequence

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu       sync.Mutex
	closed   bool
	cleaning int                  // transactions being cleaned up
	probing  map[api.GroupID]bool // groups taken for lost that are being asked
	cleanups sync.WaitGroup
}

var _ words.Store = (*Coordinator)(nil)

// New returns a new coordinator.
func New(cfg Config) (*Coordinator, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	c := &Coordinator{cfg: cfg, metrics: newMetrics(cfg.Metrics), own: sequence{client: words.NewGatewayClient()}, probing: map[api.GroupID]bool{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close cancels the work that goes on after answers, and waits for it to end.
func (c *Coordinator) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.cleanups.Wait()
}

// Do carries out the transaction, in one group or in several. The error is CodeAmbiguous if the outcome is unknown: a
// repetition with the same RequestID, through any gateway, returns the outcome. The outcome is also unknown after
// CodeInternal. After every other error the transaction was not applied.
func (c *Coordinator) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	res, err := c.do(ctx, t)
	if err != nil && guardUnknownApplied {
		err = t.ID.Outcome(err)
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (c *Coordinator) do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	if err := c.understood(ctx, t); err != nil {
		return nil, err
	}
	if t.Age != 0 { // the client supplies the age, which counts within bounds
		own := *t
		own.Age = ageOf(t.Age)
		t = &own
	}
	if len(t.If)+len(t.Then)+len(t.Else) == 1 { // the common case: one write of one key
		res, err := c.cfg.Store.Do(ctx, t)
		if api.CodeOf(err) != fsm.Attempted {
			return res, err
		}
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	if res, err := c.inOneGroup(ctx, t); res != nil || err != nil {
		return res, err
	}
	if err := refuseAcross(&t.Txn); err != nil {
		return nil, err
	}
	r := c.begin(t)
	defer r.end()
	ctx, span := trace.Start(ctx, "transaction", trace.Internal)
	defer span.End()
	res, err := r.run(ctx)
	span.Set(trace.Mode, r.mode)
	if err != nil {
		span.Fail(string(api.CodeOf(err)))
	}
	c.metrics.done(r.mode, err, time.Since(r.began))
	c.metrics.attempts(float64(r.attempts))
	if res != nil {
		res.Timing.Route = max(0, time.Since(r.began)-res.Timing.Revoke-res.Timing.Commit)
	}
	return inMode(res, r.mode), err
}

// understood returns CodeUnavailable if the transaction has something that the level of the map does not have. A node of an older
// program must not get such a transaction: it reads a step without a flag that it does not know, or ends the connection.
func (c *Coordinator) understood(ctx context.Context, t *words.Txn) error {
	m := c.cfg.Map()
	if m == nil || m.Level >= placement.NewestLevel {
		return nil
	}
	err := fsm.Level(m.Level).Takes(&t.Txn)
	if err == nil {
		return nil
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	if c.cfg.Refresh(ctx) == nil { // the level may have risen
		if m = c.cfg.Map(); m != nil {
			err = fsm.Level(m.Level).Takes(&t.Txn)
		}
	}
	return err
}

// maxPlans bounds how often a transaction's keys are looked up again because they have moved.
const maxPlans = 8

// inOneGroup carries out the transaction if one group owns all of its keys. It returns nothing if several groups own
// them, or if an earlier attempt of the request went across groups. This node's map may be older than a move, and keys
// that had one owner may have several now. The store behind then returns that error, and has fetched a newer map.
func (c *Coordinator) inOneGroup(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	if t.SeveralGroups {
		return nil, nil
	}
	began := time.Now()
	own := *t
	for range maxPlans {
		if own.Group == "" {
			g, several, err := c.owner(ctx, t.Keys())
			if several || err != nil {
				return nil, err
			}
			own.Group = g
		}
		res, err := c.cfg.Store.Do(ctx, &own)
		switch api.CodeOf(err) {
		case fsm.Attempted:
			return nil, nil
		case api.CodeWrongGroup:
			own.Group = ""
			continue
		}
		c.metrics.done("m1", err, time.Since(began))
		return inMode(res, "m1"), err
	}
	return nil, &api.Error{Code: api.CodeUnavailable, Op: "txn", RetryAfter: pauseMost,
		Hint: "the transaction's keys were moved between groups again and again; nothing was written"}
}

// refuseAcross returns CodeInvalid if the transaction, whose keys belong to several groups, has a step that only one group alone can
// carry out: a touch or a list.
func refuseAcross(t *api.Txn) error {
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		for i := range branch {
			if k := branch[i].Kind; k == api.OpTouch || k == api.OpList {
				return fsm.ErrAcross(branch[i].Key)
			}
		}
	}
	return nil
}

// inMode records in the result how the transaction was carried out.
func inMode(res *api.TxnResult, mode string) *api.TxnResult {
	if res != nil && mode != modeRead {
		res.Timing.Mode = mode
	}
	return res
}

// modeRead is the mode of a transaction whose branch only reads: there was nothing to commit.
const modeRead = "read"

// bound gives a request without a deadline the default one.
func bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, api.DefaultTimeout)
}

// owner returns the group that owns all the keys, as far as this node knows, or reports that several groups do. It
// returns nothing if there is no map.
func (c *Coordinator) owner(ctx context.Context, keys []api.Key) (one api.GroupID, several bool, err error) {
	m := c.cfg.Map()
	if m == nil {
		if err := c.cfg.Refresh(ctx); err != nil {
			return "", false, err
		}
		if m = c.cfg.Map(); m == nil {
			return "", false, nil // the store behind returns the cause
		}
	}
	for _, k := range keys {
		g, _, ok := m.Locate(k)
		if !ok {
			return "", false, &api.Error{Code: api.CodeUnavailable, Op: "txn", Key: k, Hint: "the placement map names no owner of the key"}
		}
		if one != "" && g != one {
			return "", true, nil
		}
		one = g
	}
	return one, false, nil
}

// later runs f after the caller's answer, within bounded time. It returns false if there is no room for f.
func (c *Coordinator) later(f func(ctx context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.cleaning >= c.cfg.MaxCleanups {
		return false
	}
	c.cleaning++
	c.cleanups.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, c.cfg.Cleanup)
		defer cancel()
		c.cleanUp(ctx, f)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cleaning--
	})
	return true
}

func (c *Coordinator) cleanUp(ctx context.Context, f func(ctx context.Context)) {
	var err error // the caller has its answer already, so the catcher reports the error
	defer c.cfg.Faults.Catch("clean up", &err)
	f(ctx)
}

// sequence numbers the transactions that have no id of their own. It knows the number below which none is unfinished.
type sequence struct {
	client api.ClientID

	mu   sync.Mutex
	last uint64
	low  uint64 // no transaction below it is unfinished
	open map[uint64]bool
}

func (s *sequence) begin() api.RequestID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open, s.low = map[uint64]bool{}, 1
	}
	s.last++
	s.open[s.last] = true
	return api.RequestID{Client: s.client, Seq: s.last, AckedBelow: s.low}
}

func (s *sequence) end(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, seq)
	for s.low <= s.last && !s.open[s.low] {
		s.low++
	}
}
