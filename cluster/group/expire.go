package group

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
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

// Writes beside many ends go on. An Expire is to take applyMost of the machine's time: a command has as many keys as that allows, at
// least minExpire. The slot of a command of that many keys then rests for restFor times as long as the command took, from when it was
// proposed: if it waited for the disk, the network or a processor, so do writes, and keys end later instead.
const (
	applyMost = 2 * time.Millisecond
	minExpire = 100
	restFor   = 3
	restMost  = time.Second
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

// heldKeys are overdue keys with the same holders.
type heldKeys struct {
	name    string
	keys    []fsm.Due
	holders [][]fsm.Holder // of each key
}

func (s *heldKeys) add(d fsm.Due, holders []fsm.Holder) {
	s.keys, s.holders = append(s.keys, d), append(s.holders, holders)
}

// parts divides the keys so that the leases of each part fit in one command.
func (s *heldKeys) parts() (parts []*heldKeys) {
	leases := 0
	for i, d := range s.keys {
		if leases += len(s.holders[i]); i == 0 || leases > maxExpireLeases {
			parts, leases = append(parts, &heldKeys{name: s.name}), len(s.holders[i])
		}
		parts[len(parts)-1].add(d, s.holders[i])
	}
	return parts
}

// slowHolders is the set of all holders of a key if one of them is known not to answer.
const slowHolders = "slow"

// setOf names the set of the holders. Keys with the same set are cleared together, so a dead holder delays no key of others. All
// keys with a holder that is known not to answer are one set: they wait for that in any case.
func (e *expiry) setOf(holders []fsm.Holder) string {
	e.Authority.mu.Lock()
	defer e.Authority.mu.Unlock()
	sids := make([]ident.SessionID, len(holders))
	for i := range holders {
		sids[i] = holders[i].Session
		if h := e.lead.holders[sids[i]]; h != nil && (h.standing != good || h.unreachable) {
			return slowHolders
		}
	}
	slices.SortFunc(sids, func(a, b ident.SessionID) int {
		return cmp.Or(cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Index, b.Index))
	})
	var name []byte
	for _, sid := range sids {
		name = binary.AppendUvarint(binary.AppendUvarint(name, sid.Incarnation), sid.Index)
	}
	return string(name)
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

// resize sets how many keys the next command has, after one of n keys took so long to apply.
func (e *expiry) resize(took time.Duration, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case took > applyMost:
		e.size = max(minExpire, int(int64(n)*int64(applyMost)/int64(took)))
	case took < applyMost/2:
		e.size = min(fsm.MaxExpire, 2*e.size)
	}
}

// rest frees a slot: at once after a command of few keys, else some time after a command that took so long.
func (e *expiry) rest(took time.Duration, n int) {
	if n < minExpire {
		<-e.slots
		return
	}
	e.wg.Go(func() {
		rest := time.NewTimer(min(restFor*took, restMost))
		defer rest.Stop()
		select {
		case <-rest.C:
		case <-e.ctx.Done():
		}
		<-e.slots
	})
}

// nextSize returns how many keys the next command has.
func (e *expiry) nextSize() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.size
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

// takeHeld ends leased keys once their leases are cleared.
func (e *expiry) takeHeld(s *heldKeys) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(s.keys)
	if e.waiting >= clearsAtOnce || e.clearing+n > maxClearing || e.clears[s.name] > 0 && (s.name == slowHolders || e.clears[s.name]+n > maxClearingEach) {
		e.left = true
		return
	}
	e.waiting, e.clearing = e.waiting+1, e.clearing+n
	e.clears[s.name] += n
	e.mark(s.keys)
	e.run(func(ctx context.Context) {
		c, err := e.clearKeys(ctx, s.keys, slices.Concat(s.holders...))
		e.mu.Lock()
		e.waiting, e.clearing = e.waiting-1, e.clearing-n
		if e.clears[s.name] -= n; e.clears[s.name] == 0 {
			delete(e.clears, s.name)
		}
		e.mu.Unlock()
		var res fsm.Result
		if err == nil {
			res, err = e.end(ctx, s.keys, &c)
		}
		e.settled(s.keys, err != nil || len(res.Left) > 0)
	})
}

// clearKeys revokes the leases on the keys and waits for their holders, as a write does. If that gains too much to be part of an
// Expire, it goes into the log before.
func (e *expiry) clearKeys(ctx context.Context, due []fsm.Due, holders []fsm.Holder) (clearance, error) {
	keys := keysOf(due)
	e.latch(e.lead, keys)
	defer e.unlatch(e.lead, keys)
	c, err := e.clear(ctx, e.lead, holders, nil)
	if err == nil && (len(c.cleared) > maxReleased || len(c.killed) > maxKilled) {
		err = e.drop(ctx, e.lead, c)
		c = clearance{}
	}
	return c, err
}

// takeTurn ends a key that transactions hold. It waits in the queue for them, so that younger ones do not lock the key meanwhile:
// transactions that share the key could otherwise keep it for ever.
func (e *expiry) takeTurn(d fsm.Due) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.turns >= turnsAtOnce {
		e.left = true
		return
	}
	e.turns++
	e.mark([]fsm.Due{d})
	e.run(func(ctx context.Context) {
		left, err := e.turn(ctx, d)
		e.mu.Lock()
		e.turns--
		e.mu.Unlock()
		e.settled([]fsm.Due{d}, err != nil || left)
	})
}

// turn waits for the transactions that hold the key, and ends it. It reports whether something else has kept the key, such as a
// lease that was granted meanwhile.
func (e *expiry) turn(ctx context.Context, d fsm.Due) (left bool, err error) {
	keys := []api.Key{d.Key}
	w := waiter{Authority: e.Authority, lead: e.lead, position: positionOf(ident.TxnRef{}, keys, keys)}
	defer w.end()
	for {
		if in := e.cfg.Machine.Intents(keys); len(in) > 0 {
			wait := w.await
			if !guardExpiryTurn {
				wait = func(ctx context.Context, in []fsm.Intent) error { return w.awaitIntents(ctx, w.lead, in) }
			}
			if err := wait(ctx, in); err != nil {
				return false, err
			}
		}
		c, err := e.clearKeys(ctx, []fsm.Due{d}, e.cfg.Machine.Holders(keys))
		if err != nil {
			return false, err
		}
		res, err := e.end(ctx, []fsm.Due{d}, &c)
		if err != nil || len(res.Intents) == 0 {
			return len(res.Left) > 0, err
		}
	}
}
