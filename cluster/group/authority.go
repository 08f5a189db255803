package group

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Authority is the authority over one group's keys. All methods are safe for concurrent use. A node that does not
// lead the group refuses requests with CodeNotLeader.
type Authority struct {
	cfg     Config
	metrics metrics
	feeds   feedMachine     // what feeds read
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	wake    chan struct{} // wakes the keeper; holds one signal
	ended   chan struct{} // wakes the reaper; holds one signal
	dueNow  chan struct{} // wakes the expirer; holds one signal
	// nextDue is the deadline that the expirer sleeps until, in the group's time. It has looked at what is due up to lookedTo, and
	// lookAgain wakes it: keys may have become due that are not the next.
	nextDue   atomic.Uint64
	lookedTo  atomic.Uint64
	lookAgain atomic.Bool
	applyTook atomic.Int64            // the longest that an entry has taken to apply since the expirer set it to 0
	replica   atomic.Pointer[Replica] // nil until Attach
	// historySince is a time from which on the history has everything, as the sweeper knows it.
	historySince atomic.Pointer[time.Time]

	mu      sync.Mutex
	closed  bool
	queued  int           // requests waiting for a lead
	changed chan struct{} // closed and replaced when lead or ready change
	ready   bool          // the machine is initialised, or Config.Init is nil
	lead    *lead         // nil unless this node's own TermStart is the newest that has applied
	// suspected holds, for each SUSPECT session, when this replica applied its Suspect, by this replica's own clock.
	suspected map[ident.SessionID]words.ClockSample
	rates     rates // of the holders' clocks
	offenders offenders
	bars      bars
	// oldestPrepared is when the sweeper first saw the transaction that has been prepared for longest. It is zero if
	// there is none.
	oldestPrepared time.Time
	locked         []lockedSince // as the sweeper last saw them
	step           inStep        // how old this replica's state may be
	// stamped is when this replica has last seen the log's time move on. Only the mutant of guardLedTime uses it.
	stamped struct {
		time uint64
		at   words.ClockSample
	}
}

var (
	_ words.Store  = (*Authority)(nil)
	_ words.Lister = (*Authority)(nil)
	_ words.Lessor = (*Authority)(nil)
	_ words.Feeder = (*Authority)(nil)
)

// New returns an authority whose machine may begin to apply. The authority serves requests once Attach has given it a
// log.
func New(cfg Config) (*Authority, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	r := &Authority{
		cfg:       cfg,
		feeds:     cfg.Machine,
		wake:      make(chan struct{}, 1),
		ended:     make(chan struct{}, 1),
		dueNow:    make(chan struct{}, 1),
		changed:   make(chan struct{}),
		suspected: map[ident.SessionID]words.ClockSample{},
		rates:     rates{of: map[process]*rate{}},
	}
	r.ready = cfg.Init == nil || cfg.Machine.Meta().Initialized
	r.nextDue.Store(never)
	r.metrics = newMetrics(cfg.Metrics, r)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Attach gives the authority its log and starts its goroutines. Only the first call has an effect.
func (a *Authority) Attach(replica Replica) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || !a.replica.CompareAndSwap(nil, &replica) {
		return
	}
	a.wg.Go(a.keep)
	a.wg.Go(a.sweep)
	a.wg.Go(a.reap)
	a.wg.Go(a.expireDue)
	a.signal()
}

// Close ends the authority's goroutines and waits for them. Requests that wait for holders end with CodeUnavailable.
// Close must be called before the replica is closed.
func (a *Authority) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.wg.Wait()
}

// OnLeadership returns the command to propose when the replica learns that it leads. Applying the command creates the
// state of the term. The method fits replica.Config.OnLeadership.
func (a *Authority) OnLeadership(uint64) []byte {
	return a.encode(fsm.TermStart{Node: a.cfg.Node})
}

// Status returns what this node knows of the group. It does not wait.
func (a *Authority) Status() (status api.GroupStatus, sessions, leases int) {
	m := a.cfg.Machine.Meta()
	status = api.GroupStatus{Group: a.cfg.Group, Term: m.LastTerm, Applied: m.Counter, Prepared: m.Prepared, Unresolved: m.Unresolved}
	status.OldestPreparedSeconds = a.oldestSeconds(m.Prepared)
	status.Locked = a.lockedKeys(m.Prepared)
	if a.replica.Load() != nil {
		node, term := a.log().Leader()
		status.Leader, status.Term = api.NodeID(node), api.Term(term)
	}
	return status, m.Sessions, m.Leases
}

// oldestSeconds returns how long ago the sweeper, while this node has led, first saw the oldest of the prepared
// transactions.
func (a *Authority) oldestSeconds(prepared int) float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if prepared == 0 || a.lead == nil || a.oldestPrepared.IsZero() {
		return 0
	}
	return time.Since(a.oldestPrepared).Seconds()
}

// leader returns the state of the term that this node leads in. If this node is elected but its TermStart has not
// applied, or the group is being founded, leader waits. If this node is not elected, the error names the leader.
func (a *Authority) leader(ctx context.Context) (*lead, error) {
	for waited := false; ; waited = true {
		if err := ctx.Err(); err != nil {
			return nil, &api.Error{Code: api.CodeUnavailable, Hint: "the caller's time was up", Err: err}
		}
		l, changed, err := a.leading(waited)
		if l != nil || err != nil {
			return l, err
		}
		err = a.await(ctx, changed)
		a.mu.Lock()
		a.queued--
		a.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// leading returns the lead, or an error. If it returns neither, it has counted the caller as queued and returns the
// channel to wait for.
func (a *Authority) leading(again bool) (*lead, <-chan struct{}, error) {
	if a.replica.Load() == nil {
		return nil, nil, unavailable("the group is not open yet on this node")
	}
	node, term := a.log().Leader()
	if node != string(a.cfg.Node) {
		return nil, nil, notLeader(node)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return nil, nil, unavailable("the node is shutting down")
	case a.ready && a.lead != nil && uint64(a.lead.term) == term:
		return a.lead, nil, nil
	case !again && a.queued >= a.cfg.MaxWaiting:
		return nil, nil, unavailable("too many requests wait for the new leader of the group")
	}
	a.queued++
	return nil, a.changed, nil
}

// await waits for a change of the lead. It also returns after a short time, because a replica sends no notice when it
// steps down.
func (a *Authority) await(ctx context.Context, changed <-chan struct{}) error {
	again := time.NewTimer(50 * time.Millisecond)
	defer again.Stop()
	select {
	case <-changed:
	case <-again.C:
	case <-a.ctx.Done():
		return unavailable("the node is shutting down")
	case <-ctx.Done():
		return unavailable("the group's new leader has not begun its term yet")
	}
	return nil
}

// announceLocked wakes the goroutines that wait in leader.
func (a *Authority) announceLocked() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// signal wakes the keeper.
func (a *Authority) signal() { prompt(a.wake) }

func prompt(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// propose proposes c and returns the result of applying it. An error of the machine is returned as the error too.
func (a *Authority) propose(ctx context.Context, c fsm.Command) (fsm.Result, error) {
	res, err := a.log().Propose(ctx, a.encode(c))
	if err != nil {
		return fsm.Result{}, err
	}
	if res.Err != nil {
		return res, res.Err
	}
	return res, nil
}

// encode returns the command as it enters the log. Every entry that this machine has applied precedes the command in
// the log. So the log's level at the command is at least the machine's level now.
func (a *Authority) encode(c fsm.Command) []byte {
	if _, founds := c.(fsm.Init); founds {
		return fsm.Encode(c, a.cfg.Level)
	}
	return fsm.Encode(c, a.cfg.Machine.Level())
}

// log returns the replica. Only a caller that holds a lead, or a goroutine that Attach started, may call it.
func (a *Authority) log() Replica { return *a.replica.Load() }

// ours returns an error if a request is meant for another group.
func (a *Authority) ours(g api.GroupID) error {
	if g != "" && g != a.cfg.Group {
		return api.Errorf(api.CodeWrongGroup, "this is group %s, not %s", a.cfg.Group, g)
	}
	return nil
}

func notLeader(node string) *api.Error {
	return &api.Error{Code: api.CodeNotLeader, Leader: api.NodeID(node), Hint: "this node does not lead the group"}
}

func unavailable(hint string) *api.Error {
	return &api.Error{Code: api.CodeUnavailable, Hint: hint, RetryAfter: 100 * time.Millisecond}
}

// confirm returns nil if this node led the group in l's term at some instant after the call. Then what its machine
// held before the call was the newest state at that instant, and what it holds afterwards is at least as new. An
// error is certain: nothing was written.
func (a *Authority) confirm(ctx context.Context, l *lead) error {
	ctx, span := trace.Start(ctx, "confirm", trace.Internal)
	defer span.End()
	return readError(a.log().QuorumConfirm(ctx, uint64(l.term)))
}

// refusal returns err once it is certain that the node led when the machine was read. The caller has computed err
// from this node's machine after the request arrived. A deposed leader that does not know it must not refuse a
// request because of an outdated state.
func (a *Authority) refusal(ctx context.Context, l *lead, err error) error {
	if guardConfirmRefusals {
		if lost := a.confirm(ctx, l); lost != nil {
			return lost
		}
	}
	return err
}

// readError converts the error of a proposal or confirm for a read. A read writes nothing, so its outcome is never
// ambiguous.
func readError(err error) error {
	if err == nil {
		return nil
	}
	if e := api.AsError(err); e.Code == api.CodeAmbiguous {
		return &api.Error{Code: api.CodeUnavailable, Op: e.Op, Hint: "the leader could not confirm in time that it leads", Err: err}
	}
	return err
}
