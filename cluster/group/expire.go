package group

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

const (
	// stampEvery is how far the log's time may be behind the leader's while keys have deadlines. It is what a failover costs them
	// beside the time without a leader.
	stampEvery  = time.Second
	expireEvery = 10 * time.Millisecond // between two looks at what is due
	// expiresAtOnce bounds the Expire commands under way.
	expiresAtOnce = 2
	// maxExpireBytes bounds the keys of one Expire, maxExpireLeases the leases that are cleared for one.
	maxExpireBytes  = 256 << 10
	maxExpireLeases = 4096
	// clearsAtOnce bounds the clears for overdue keys: each is one of the writes that wait for holders. maxClearing bounds their
	// keys, maxClearingEach those with the same holders.
	clearsAtOnce    = 256
	maxClearing     = 1 << 15
	maxClearingEach = 1 << 12
	// turnsAtOnce bounds the overdue keys that wait in the queue for transactions that hold them.
	turnsAtOnce = 64
	// lookAgain is the least time from one look at all that is overdue to the next. A look may take a tenth of the time.
	lookAgain = 250 * time.Millisecond
	lookMost  = 5 * time.Millisecond // of one pass
)

// never is a time of the group that does not come.
const never = math.MaxUint64

// expireDue ends, while this node leads, the keys whose deadlines have passed, and keeps the log's time close to the leader's. It
// sleeps until the next deadline, and while there is none it costs nothing.
func (a *Authority) expireDue() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	x := expirer{Authority: a}
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-a.dueNow:
		case <-timer.C:
		}
		if rest := expireEvery - time.Since(x.passed); rest > 0 {
			timer.Reset(rest)
			select {
			case <-a.ctx.Done():
				return
			case <-timer.C:
			}
		}
		x.passed = time.Now()
		timer.Reset(x.pass())
	}
}

// expirer is the state that only the goroutine of expireDue uses.
type expirer struct {
	*Authority
	passed time.Time // when the last pass began
	of     *expiry   // of the present lead; nil before the first
}

// pass does what is due and returns when to run again.
func (x *expirer) pass() time.Duration {
	x.nextDue.Store(never) // a deadline that applies after the look below wakes the expirer
	x.mu.Lock()
	l, ready := x.lead, x.ready
	x.mu.Unlock()
	if l == nil || !ready {
		return sweepEvery
	}
	if node, term := x.log().Leader(); node != string(x.cfg.Node) || api.Term(term) != l.term {
		return idle
	}
	if x.of == nil || x.of.lead != l {
		x.of = newExpiry(x.Authority, l)
	}
	meta := x.cfg.Machine.Meta()
	if meta.Level < fsm.Level5 || meta.Deadlines == 0 {
		return sweepEvery
	}
	now := x.timeOf(l)
	wait := x.of.tick(now, meta.Now)
	if x.of.look(now) {
		return expireEvery
	}
	if x.of.again() {
		wait = min(wait, lookAgain)
	}
	if next := x.cfg.Machine.DueAfter(x.of.after, never, 1); len(next) > 0 {
		x.nextDue.Store(next[0].Deadline)
		left := next[0].Deadline - min(next[0].Deadline, now)
		wait = min(wait, time.Duration(min(left, uint64(stampEvery/time.Millisecond)))*time.Millisecond)
	}
	return max(wait, time.Millisecond)
}

// expiry is the work of one lead on the keys whose deadlines pass. after, began and took belong to the goroutine of expireDue.
type expiry struct {
	*Authority
	lead  *lead
	slots chan struct{} // one for each Expire under way
	after fsm.Due       // what comes before it was looked at since began
	began time.Time     // when the look at all that is overdue began
	took  time.Duration // what that has cost so far

	mu       sync.Mutex
	ticking  bool
	left     bool             // keys were passed over: look at all again
	busy     map[api.Key]bool // keys that are being ended
	size     int              // keys of the next command
	commands int              // under way, of keys that nothing was in the way of
	clears   map[string]int   // keys by the set of their holders
	clearing int              // keys in clears
	waiting  int              // clears under way
	turns    int
}

func newExpiry(a *Authority, l *lead) *expiry {
	return &expiry{Authority: a, lead: l, slots: make(chan struct{}, expiresAtOnce), size: fsm.MaxExpire, busy: map[api.Key]bool{}, clears: map[string]int{}}
}

// tick proposes a Tick if the log's time is too far behind, and returns when that is to be judged again.
func (e *expiry) tick(now, logged uint64) time.Duration {
	behind := time.Duration(now-min(now, logged)) * time.Millisecond
	if behind < stampEvery {
		return stampEvery - behind
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ticking && guardStamps {
		e.ticking = true
		e.wg.Go(func() {
			e.try(fsm.Tick{Term: e.lead.term, Now: e.timeOf(e.lead)})
			e.mu.Lock()
			defer e.mu.Unlock()
			e.ticking = false
		})
	}
	return stampEvery
}

// again reports whether keys were passed over, or have become due behind the look.
func (e *expiry) again() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.left || e.lookAgain.Load()
}

// look begins to end what is overdue, as far as there are slots. It reports whether there is more.
func (e *expiry) look(now uint64) (more bool) {
	began := time.Now()
	if e.fromTheStart(began) {
		e.after, e.began, e.took = fsm.Due{}, began, 0
	}
	e.lookedTo.Store(now) // a deadline up to now that applies after the look below is noticed
	defer func() { e.took += time.Since(began) }()
	for e.free() {
		size := e.nextSize()
		page := e.cfg.Machine.DueAfter(e.after, now, size)
		if len(page) == 0 {
			return false
		}
		e.after = page[len(page)-1]
		e.take(page)
		if len(page) < size {
			return false
		}
		if time.Since(began) > lookMost {
			return true
		}
	}
	return true
}

// fromTheStart reports whether to look at all that is overdue again. Keys that were passed over are then found, as are keys that
// got an earlier deadline than the look has reached.
func (e *expiry) fromTheStart(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if since := now.Sub(e.began); since < lookAgain || since < 10*e.took {
		return false
	}
	if e.lookAgain.Swap(false) || e.left {
		e.left = false
		return true
	}
	return false
}

// free reports whether another Expire may be proposed now.
func (e *expiry) free() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.commands < expiresAtOnce
}

// take begins to end the keys of a page: those that nothing is in the way of at once, and each other when its holders or the
// transactions that hold it let it.
func (e *expiry) take(page []fsm.Due) {
	e.mu.Lock()
	page = slices.DeleteFunc(page, func(d fsm.Due) bool { return e.busy[d.Key] })
	e.mu.Unlock()
	keys, meta := keysOf(page), e.cfg.Machine.Meta()
	locked, held := map[api.Key]bool{}, map[api.Key][]fsm.Holder{}
	if meta.Intents > 0 {
		for _, x := range e.cfg.Machine.Intents(keys) {
			locked[x.Key] = true
		}
	}
	if meta.Leases > 0 {
		for _, h := range e.cfg.Machine.Holders(keys) {
			held[h.Key] = append(held[h.Key], h)
		}
	}
	var free []fsm.Due
	sets := map[string]*heldKeys{}
	for _, d := range page {
		switch holders := held[d.Key]; {
		case locked[d.Key]:
			e.takeTurn(d)
		case len(holders) > 0:
			name := e.setOf(holders)
			if sets[name] == nil {
				sets[name] = &heldKeys{name: name}
			}
			sets[name].add(d, holders)
		default:
			free = append(free, d)
		}
	}
	e.takeFree(free)
	for _, s := range sets {
		for _, part := range s.parts() {
			e.takeHeld(part)
		}
	}
}

// takeFree ends keys that nothing is in the way of.
func (e *expiry) takeFree(free []fsm.Due) {
	for len(free) > 0 {
		n, size := 0, 0
		for n < len(free) && (n == 0 || size+len(free[n].Key) <= maxExpireBytes) {
			size += len(free[n].Key)
			n++
		}
		part := free[:n]
		free = free[n:]
		e.mu.Lock()
		e.commands++
		e.mark(part)
		e.mu.Unlock()
		e.run(func(ctx context.Context) {
			res, err := e.end(ctx, part, &clearance{})
			e.mu.Lock()
			e.commands--
			e.mu.Unlock()
			e.settled(part, err != nil || len(res.Left) > 0)
		})
	}
}

// mark notes that the keys are being ended. The caller holds the mutex.
func (e *expiry) mark(due []fsm.Due) {
	for i := range due {
		e.busy[due[i].Key] = true
	}
}

// run runs f in a goroutine of the authority, with the time of one of its own proposals.
func (e *expiry) run(f func(ctx context.Context)) {
	e.wg.Go(func() {
		ctx, cancel := context.WithTimeout(e.ctx, judgeTime)
		defer cancel()
		f(ctx)
	})
}

// end proposes to end the keys, when there is a slot.
func (e *expiry) end(ctx context.Context, due []fsm.Due, c *clearance) (res fsm.Result, err error) {
	select {
	case e.slots <- struct{}{}:
		x := expire(e.lead, due, c)
		x.Now = e.timeOf(e.lead)
		e.applyTook.Store(0)
		began := time.Now()
		res, err = e.propose(ctx, x)
		e.resize(time.Duration(e.applyTook.Load()), len(due))
		e.rest(time.Since(began), len(due))
	case <-e.lead.ended:
		err = notLeader("")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		e.keysEnded(e.lead, due, &res)
	}
	return res, err
}

// settled notes that the keys are no longer being ended, and whether some of them have not ended.
func (e *expiry) settled(due []fsm.Due, left bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range due {
		delete(e.busy, due[i].Key)
	}
	e.left = e.left || left
	prompt(e.dueNow)
}
