package client

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/lock"
)

// LockOption is an option of [Client.Lock].
type LockOption func(*lockOptions)

type lockOptions struct {
	wait  *time.Duration
	owner string
}

// LockWait waits for the lock for at most d; 0 tries once. Without it, Lock waits until its context ends.
func LockWait(d time.Duration) LockOption { return func(o *lockOptions) { o.wait = &d } }

// LockOwner sets the text that names the holder of the lock, in answers to other clients: at most [lock.MaxOwnerBytes] bytes.
func LockOwner(text string) LockOption { return func(o *lockOptions) { o.owner = text } }

// Lock is a lock that is held, from [Client.Lock]. It is renewed until Unlock, or until it is lost. It is safe for concurrent use.
type Lock struct {
	// Fence is greater than that of every earlier tenure of the lock. What the lock protects can refuse a lower one than it has seen.
	Fence uint64
	// Name, ID and Version name the tenure: a condition on the version of [lock.Key](Name, ID) holds while the lock is held.
	Name, ID string
	Version  api.Version

	c      *Client
	ttl    time.Duration
	since  moment // when the last request was sent that was answered; it belongs to keep
	lost   chan struct{}
	done   chan struct{} // closed when keep has ended
	cancel context.CancelFunc
	once   sync.Once
	ended  error // of Unlock
}

// moment is an instant by two clocks. The monotonic one may stop while the machine sleeps; the wall clock may be set.
type moment struct{ mono, wall time.Duration }

// since returns the time that has passed since m, by the clock that has gone further.
func (m moment) since(at moment) time.Duration { return max(m.mono-at.mono, m.wall-at.wall) }

var processStart = time.Now()

func systemMoment() moment {
	now := time.Now()
	return moment{mono: now.Sub(processStart), wall: time.Duration(now.UnixNano())}
}

// watchLock is how often a lock looks at its clocks at least.
const watchLock = 250 * time.Millisecond

// Lock takes the lock with the name, waits for it if it is held, and renews it until [Lock.Unlock]:
//
//	l, err := c.Lock(ctx, "jobs/nightly", 15*time.Second)
//	if err != nil {
//		return err
//	}
//	defer l.Unlock(context.WithoutCancel(ctx))
//	...
//	select {
//	case <-l.Lost(): // stop now: another client may hold it
//	...
//
// Locks are given in the order in which they were asked for. If this process dies, or cannot reach a node, the lock is free after
// the ttl ([api.MinTTL] to [api.MaxTTL]). Two clients never hold a lock at one time as long as each stops when its Lost is closed.
// What happens to requests that are under way then, only a fence or [Tx.Guard] decides.
//
// Lock waits until ctx ends, or as long as [LockWait] says. The name is 1 to [lock.MaxNameBytes] bytes, has no segment .lock, and
// neither begins nor ends with a slash. The error is [api.CodeConflict], with the holder, if the lock was not given in time, and
// [api.CodeUnavailable] if ctx ended or no node answers. An entry that it leaves then is gone after the ttl.
func (c *Client) Lock(ctx context.Context, name string, ttl time.Duration, opts ...LockOption) (*Lock, error) {
	o := collect(opts)
	r := &lock.Request{Name: name, TTL: ttl, Owner: o.owner}
	if err := r.Check(); err != nil {
		return nil, failed("lock", api.Key(name), err)
	}
	var random [16]byte
	if _, err := io.ReadFull(c.random, random[:]); err != nil {
		return nil, failed("lock", api.Key(name), &api.Error{Code: api.CodeInternal, Hint: "no randomness", Err: err})
	}
	l := &Lock{Name: name, c: c, ttl: ttl, lost: make(chan struct{}), done: make(chan struct{})}
	began := c.moment()
	for {
		left := lock.MaxWait
		if o.wait != nil {
			left = max(0, *o.wait-c.moment().since(began))
		}
		if err := l.acquire(ctx, r, min(left, lock.MaxWait), hex.EncodeToString(random[:])); err != nil {
			if api.CodeOf(err) == api.CodeConflict && left > 0 && (o.wait == nil || c.moment().since(began) < *o.wait) && ctx.Err() == nil {
				continue // a request waits for an hour at most
			}
			return nil, err
		}
		held, err := l.confirm(ctx)
		if err != nil {
			return nil, err
		}
		if held {
			return l, l.begin()
		}
	}
}

// acquire sends the request, which waits for at most wait, and notes when it was sent.
func (l *Lock) acquire(ctx context.Context, r *lock.Request, wait time.Duration, key string) error {
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, max(0, time.Until(deadline)))
	}
	bounded, cancel := context.WithTimeout(ctx, wait+l.c.timeout)
	defer cancel()
	own := *r
	own.Wait = wait
	l.since = l.c.moment()
	h, err := l.c.acquireLock(bounded, &own, key)
	if err != nil {
		return err
	}
	if !guardFromSent {
		l.since = l.c.moment()
	}
	l.ID, l.Fence, l.Version = h.ID, h.Fence, h.Version
	return nil
}

// confirm renews the lock before it is taken for held, if more than half of its ttl has passed. held is false if it is lost already.
func (l *Lock) confirm(ctx context.Context) (held bool, err error) {
	if l.c.moment().since(l.since) <= l.ttl/2 || !guardFromSent {
		return true, nil
	}
	sent := l.c.moment()
	switch err = l.c.renewLock(ctx, l); {
	case err == nil:
		l.since = sent
		return l.c.moment().since(sent) < l.life(), nil
	case api.CodeOf(err) == api.CodePreconditionFailed:
		return false, nil
	}
	return false, err
}

// life is how long the lock counts as held after the last request that was answered was sent: less than the ttl, as the clock here
// may be slower than the leader's.
func (l *Lock) life() time.Duration {
	if !guardMargin {
		return l.ttl
	}
	return l.ttl / 100 * 98
}

// begin starts to renew the lock.
func (l *Lock) begin() error {
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(context.Background())
	if !l.c.holds.add(l) {
		l.cancel()
		return failed("lock", api.Key(l.Name), api.Errorf(api.CodeInvalid, "the client is closed"))
	}
	go l.keep(ctx)
	return nil
}

// keep renews the lock each third of its ttl until ctx ends or it is lost, and then closes Lost.
func (l *Lock) keep(ctx context.Context) {
	defer l.c.holds.remove(l)
	defer close(l.done)
	type renewal struct {
		sent moment
		err  error
	}
	answers := make(chan renewal, 1)
	asking, next := false, l.ttl/3
	var asked sync.WaitGroup
	defer asked.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer close(l.lost) // before the renewal under way has ended, which may take its time
	for {
		now := l.c.moment()
		left := l.life() - now.since(l.since)
		if left <= 0 {
			return
		}
		if now.since(l.since) >= next && !asking {
			asking = true
			asked.Go(func() {
				bounded, cancel := context.WithTimeout(ctx, left)
				defer cancel()
				answers <- renewal{now, l.c.renewLock(bounded, l)}
			})
		}
		wake := time.NewTimer(min(left, watchLock, max(next-now.since(l.since), watchLock/10)))
		select {
		case <-ctx.Done():
			wake.Stop()
			return
		case a := <-answers:
			asking = false
			switch {
			case a.err == nil && guardFromSent:
				l.since, next = a.sent, l.ttl/3
			case a.err == nil:
				l.since, next = l.c.moment(), l.ttl/3
			case api.CodeOf(a.err) == api.CodePreconditionFailed:
				wake.Stop()
				return
			default:
				next = l.c.moment().since(l.since) + l.ttl/10
			}
		case <-wake.C:
		}
		wake.Stop()
	}
}

// Lost returns a channel that is closed when the lock is not held any more: it was unlocked, or the entry is gone, or no renewal was
// answered for so long that it may be gone. Stop what the lock protects before anything else then.
func (l *Lock) Lost() <-chan struct{} { return l.lost }

// Unlock gives the lock back. The error is [api.CodePreconditionFailed] if the lock was lost before. After any other error it is free
// when its ttl has passed. Further calls return what the first one did.
func (l *Lock) Unlock(ctx context.Context) error {
	l.once.Do(func() {
		l.cancel()
		<-l.done
		released, err := l.c.releaseLock(ctx, l)
		if err == nil && !released {
			err = &api.Error{Code: api.CodePreconditionFailed, Hint: "the lock was lost before it was given back"}
		}
		if err != nil {
			l.ended = failed("unlock", api.Key(l.Name), err)
		}
	})
	return l.ended
}

// Guard lets the transaction commit only while the lock is held: it fails with [api.CodePreconditionFailed] if the tenure is over. It
// works with keys of any groups. A token needs the right to read the lock's entry. Not in a View.
func (tx *Tx) Guard(l *Lock) error {
	k := lock.Key(l.Name, l.ID)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if err := tx.usable("guard", k); err != nil {
		return err
	}
	err := tx.grow(1, len(k))
	if tx.view {
		err = api.Errorf(api.CodeInvalid, "a View commits nothing; guard a Txn")
	}
	if err != nil {
		tx.fault = failed("guard", k, err)
		return tx.fault
	}
	tx.guards = append(tx.guards, api.Cond{Kind: api.CondVersion, Key: k, Version: l.Version})
	return nil
}

// checkGuards returns CodePreconditionFailed if a lock that guards the transaction is not held any more.
func (c *Client) checkGuards(ctx context.Context, tx *Tx) error {
	if len(tx.guards) == 0 {
		return nil
	}
	q := &api.ReadRequest{}
	for _, g := range tx.guards {
		q.Keys = append(q.Keys, g.Key)
	}
	res, _, err := c.readAll(ctx, "txn", q)
	if err != nil {
		return err
	}
	for i, g := range tx.guards {
		if e := &res.Entries[i]; !e.Exists || e.Version != g.Version {
			return &api.Error{Code: api.CodePreconditionFailed, Op: "txn", Key: g.Key, Version: e.Version, Hint: "the lock is not held any more; nothing was written"}
		}
	}
	return nil
}

// holds are the locks that a Client renews.
type holds struct {
	mu     sync.Mutex
	closed bool // guarded by mu, as below
	all    map[*Lock]bool
}

func (h *holds) add(l *Lock) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[*Lock]bool{}
	}
	h.all[l] = true
	return !h.closed
}

func (h *holds) remove(l *Lock) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, l)
}

// close ends the renewals, and waits for them.
func (h *holds) close() {
	h.mu.Lock()
	h.closed = true
	var all []*Lock
	for l := range h.all {
		all = append(all, l)
	}
	h.mu.Unlock()
	for _, l := range all {
		l.cancel()
		<-l.done
	}
}

var errNoAnswer = errors.New("the answer is not the JSON that it should be: is the endpoint Edgehold's?")
