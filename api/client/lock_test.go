package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/httpd"
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestLock: a Client takes a lock, learns its holder, guards transactions with it, waits for it and gives it back, over the
// network and in this process.
func TestLock(t *testing.T) {
	m := storetest.NewMemory()
	locks := lock.New(lock.Config{Store: m, Watcher: m})
	t.Cleanup(func() { _ = locks.Close() })
	url := serve(t, httpd.New(front.New(front.Config{Store: m, Lister: m, Locks: locks}), httpd.Config{}))
	embedded := New(m)
	t.Cleanup(func() { _ = embedded.Close() })
	for name, c := range map[string]*Client{"network": open(t, Config{Endpoints: []string{url}}), "embedded": embedded} {
		t.Run(name, func(t *testing.T) { clientLock(t, c, "jobs/"+name) })
	}
}

func clientLock(t *testing.T, c *Client, name string) {
	ctx := t.Context()
	l, err := c.Lock(ctx, name, time.Minute, LockOwner("alice"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Lock(ctx, name, time.Minute, LockWait(0))
	if api.CodeOf(err) != api.CodeConflict || !strings.Contains(err.Error(), "held by alice") {
		t.Errorf("a lock that is held: %v", err)
	}
	put := func() error {
		return c.Txn(ctx, func(tx *Tx) error { return errors.Join(tx.Put(api.Key(name), []byte("x")), tx.Guard(l)) })
	}
	read := func() error {
		return c.Txn(ctx, func(tx *Tx) error {
			_, err := tx.GetAll(ctx, api.Key(name))
			return errors.Join(err, tx.Guard(l))
		})
	}
	if err := errors.Join(put(), read()); err != nil {
		t.Errorf("guarded: %v", err)
	}
	if err := c.View(ctx, func(tx *Tx) error { return tx.Guard(l) }); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("a View is guarded: %v", err)
	}
	next := make(chan *Lock, 1)
	go func() {
		l, err := c.Lock(ctx, name, time.Minute)
		if err != nil {
			t.Error(err)
		}
		next <- l
	}()
	select {
	case <-l.Lost():
		t.Error("the lock is lost")
	case <-time.After(50 * time.Millisecond):
	}
	if err := errors.Join(l.Unlock(ctx), l.Unlock(ctx)); err != nil {
		t.Error(err)
	}
	<-l.Lost()
	n := <-next
	if n == nil || n.Fence <= l.Fence {
		t.Fatalf("the fence %+v follows %d", n, l.Fence)
	}
	for what, err := range map[string]error{"put": put(), "read": read()} {
		if api.CodeOf(err) != api.CodePreconditionFailed {
			t.Errorf("%s, guarded by a lock that is given back: %v", what, err)
		}
	}
	if err := n.Unlock(ctx); err != nil {
		t.Error(err)
	}
	for _, err := range []error{
		errorOf(c.Lock(ctx, "", time.Minute)), errorOf(c.Lock(ctx, "a", 1)), errorOf(c.Lock(ctx, "a/", time.Minute)),
	} {
		if api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%v", err)
		}
	}
}

func errorOf[A any](_ A, err error) error { return err }

// lockWorld is a memory store behind gateways, with Clients whose messages take time. Tests run it in a bubble.
type lockWorld struct {
	*testing.T
	store    *storetest.Memory
	gateways []*lock.Service
}

func newLockWorld(t *testing.T, gateways int) *lockWorld {
	w := &lockWorld{T: t, store: storetest.NewMemory()}
	for range gateways {
		s := lock.New(lock.Config{Store: w.store, Watcher: w.store})
		t.Cleanup(func() { _ = s.Close() })
		w.gateways = append(w.gateways, s)
	}
	return w
}

// lockNet carries the calls of one Client to the gateways.
type lockNet struct {
	carrier // of what is no call about a lock: nothing
	*lockWorld
	nodes *endpoints
	there func() time.Duration // how long a request takes
	back  func() time.Duration // how long an answer takes
	cut   atomic.Bool          // nothing arrives
}

func (n *lockNet) close() {}

func (n *lockNet) attempt(ctx context.Context, e *endpoint, q *call, budget time.Duration) (*answer, *failure) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	a := &answer{}
	err := error(&api.Error{Code: api.CodeUnavailable, Err: context.DeadlineExceeded})
	if n.pass(ctx, n.there()) {
		for i, node := range n.nodes.all {
			if node == e {
				err = q.locking(ctx, n.gateways[i])
			}
		}
		if !n.pass(ctx, n.back()) {
			err = &api.Error{Code: api.CodeUnavailable, Err: context.DeadlineExceeded}
		}
	}
	return n.nodes.judged(e, "a gateway", q, a, err)
}

// pass reports whether a message arrives.
func (n *lockNet) pass(ctx context.Context, after time.Duration) bool {
	if n.cut.Load() {
		after = time.Hour
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
		return !n.cut.Load()
	case <-ctx.Done():
		return false
	}
}

// client returns a Client whose clocks run at the rate, and its network.
func (w *lockWorld) client(rate float64, first int) (*Client, *lockNet) {
	var urls []string
	for i := range w.gateways {
		urls = append(urls, fmt.Sprintf("http://gateway%d", (i+first)%len(w.gateways)))
	}
	nodes, err := parseEndpoints(urls)
	if err != nil {
		w.Fatal(err)
	}
	at := func() time.Duration { return 0 }
	n := &lockNet{lockWorld: w, nodes: nodes, there: at, back: at}
	c, err := newClient(10*time.Second, testRandom{}, nodes, n)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close() })
	begun := time.Now()
	c.moment = func() moment {
		d := time.Duration(float64(time.Since(begun)) * rate)
		return moment{mono: d, wall: d}
	}
	return c, n
}

// testRandom is fast, and different each time.
type testRandom struct{}

func (testRandom) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(rand.N(256))
	}
	return len(b), nil
}

// lostBefore requires that l is lost before another Client of the world gets the lock.
func (w *lockWorld) lostBefore(l *Lock) {
	w.Helper()
	c, _ := w.client(1, 0)
	next, err := c.Lock(w.Context(), l.Name, time.Minute, LockWait(time.Minute))
	if err != nil {
		w.Fatal(err)
	}
	select {
	case <-l.Lost():
	default:
		w.Error("two hold the lock")
	}
	if next.Fence <= l.Fence {
		w.Errorf("the fence %d follows %d", next.Fence, l.Fence)
	}
	_ = next.Unlock(w.Context())
}

// TestLockEndsInTime: a Client that is cut off stops to count on its lock before another one gets it, though its clock is slower
// than the store's by all that is allowed.
func TestLockEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLockWorld(t, 1)
		c, n := w.client(0.981, 0)
		l, err := c.Lock(t.Context(), "l", 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		n.cut.Store(true)
		w.lostBefore(l)
		if err := l.Unlock(shortly(t)); err == nil {
			t.Error("a Client that is cut off gives its lock back")
		}
	})
}

// deafStore answers transactions that no context ends only when the test lets it.
type deafStore struct {
	*storetest.Memory
	deaf atomic.Bool
	hear chan struct{}
}

func (s *deafStore) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	if s.deaf.Load() {
		<-s.hear
	}
	return s.Memory.Do(ctx, t)
}

// TestLostIsNotLate: Lost is closed in time even if the renewal under way does not end.
func TestLostIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &deafStore{Memory: storetest.NewMemory(), hear: make(chan struct{})}
		c := New(s)
		l, err := c.Lock(t.Context(), "l", 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		s.deaf.Store(true)
		time.Sleep(9810 * time.Millisecond)
		select {
		case <-l.Lost():
		default:
			t.Error("the lock still counts as held")
		}
		close(s.hear)
		_ = c.Close()
	})
}

func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestLockAnsweredLate: a lock whose answer takes nearly its ttl counts from when it was asked for. It is renewed before it is taken
// for held; if that is too late, it is asked for again.
func TestLockAnsweredLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, late := range []time.Duration{4 * time.Second, 8 * time.Second, 12 * time.Second} {
			w := newLockWorld(t, 1)
			c, n := w.client(1, 0)
			first := true
			n.back = func() time.Duration {
				if first {
					first = false
					return late
				}
				n.cut.Store(late != 12*time.Second)
				return 0
			}
			l, err := c.Lock(t.Context(), "l", 10*time.Second)
			n.cut.Store(true)
			if err != nil {
				if late < 8*time.Second {
					t.Errorf("%v: %v", late, err)
				}
				continue
			}
			w.lostBefore(l)
		}
	})
}

// TestLockSleeps: a machine that sleeps wakes up without its lock: the wall clock has gone on.
func TestLockSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLockWorld(t, 1)
		c, _ := w.client(1, 0)
		var slept atomic.Int64
		begun := time.Now()
		c.moment = func() moment {
			d := time.Since(begun)
			return moment{mono: d, wall: d + time.Duration(slept.Load())}
		}
		l, err := c.Lock(t.Context(), "l", 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		select {
		case <-l.Lost():
			t.Fatal("a lock that is renewed is lost")
		default:
		}
		slept.Store(int64(20 * time.Second))
		time.Sleep(watchLock)
		synctest.Wait()
		select {
		case <-l.Lost():
		default:
			t.Error("a machine that slept for longer than the ttl still counts on its lock")
		}
	})
}

// TestLockThroughAnotherNode: a Client whose node dies while it waits goes on through another one, in its place.
func TestLockThroughAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLockWorld(t, 2)
		holder, _ := w.client(1, 1)
		l, err := holder.Lock(t.Context(), "l", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan *Lock, 2)
		for i := range 2 {
			c, _ := w.client(1, i) // the first one through the gateway that dies
			go func() {
				l, err := c.Lock(t.Context(), "l", time.Minute)
				if err != nil {
					t.Error(err)
				}
				got <- l
			}()
			synctest.Wait()
		}
		first, err := lock.Show(t.Context(), w.store, "l")
		if err != nil {
			t.Fatal(err)
		}
		_ = w.gateways[0].Close()
		time.Sleep(time.Second)
		if err := l.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := <-got
		if next.ID != first.Queue[0].ID || next.Fence != first.Queue[0].Fence {
			t.Errorf("%+v gets the lock, want %+v", next, first.Queue[0])
		}
		if err := next.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if last := <-got; last.Unlock(t.Context()) != nil {
			t.Error("the last one")
		}
	})
}

// TestLockOne runs Clients with slow clocks, late messages and cuts, through gateways that die, and holds that no two of them count on
// the lock at one time, and that fences rise.
func TestLockOne(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { lockOne(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func lockOne(t *testing.T, random *rand.Rand) {
	const ttl, clients, tenures = 5 * time.Second, 5, 6
	w := newLockWorld(t, 3)
	var mu sync.Mutex // of random and of what follows
	var holder *Lock
	var fence uint64
	n := func(most time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(random.Int64N(int64(most)))
	}
	slow := func() time.Duration {
		if n(5) == 0 {
			return n(2 * ttl)
		}
		return n(50 * time.Millisecond)
	}
	enter := func(l *Lock) {
		mu.Lock()
		defer mu.Unlock()
		if holder != nil || l.Fence <= fence {
			t.Errorf("fence %d after %d, while %+v is held", l.Fence, fence, holder)
		}
		holder, fence = l, l.Fence
	}
	exit := func(l *Lock) {
		mu.Lock()
		defer mu.Unlock()
		if holder == l {
			holder = nil
		}
	}
	var all sync.WaitGroup
	for i := range clients {
		c, net := w.client(0.981+float64(i)*0.009, i)
		net.there, net.back = slow, slow
		all.Go(func() {
			for range tenures {
				net.cut.Store(false)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second+n(time.Minute))
				l, err := c.Lock(ctx, "l", ttl)
				cancel()
				if err != nil {
					continue
				}
				select {
				case <-l.Lost(): // before it was looked at
					continue
				default:
				}
				enter(l)
				net.cut.Store(n(3) == 0)
				select {
				case <-l.Lost():
				case <-time.After(n(4 * ttl)):
				}
				exit(l)
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				_ = l.Unlock(ctx)
				cancel()
			}
		})
	}
	all.Go(func() {
		time.Sleep(n(30 * time.Second))
		_ = w.gateways[0].Close()
	})
	all.Wait()
	if fence == 0 {
		t.Error("no client has held the lock")
	}
}

// TestEmbeddedLocksAreReserved: no front stands before a Store in the process, and still no transaction writes the entry of a lock; the
// lock itself does.
func TestEmbeddedLocksAreReserved(t *testing.T) {
	m := storetest.NewMemory()
	c := New(m)
	t.Cleanup(func() { _ = c.Close() })
	l, err := c.Lock(t.Context(), "a", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	k := lock.Key("a", l.ID)
	for name, write := range map[string]func() error{
		"put":    func() error { return errorOf(c.Put(t.Context(), k, nil)) },
		"delete": func() error { return errorOf(c.Delete(t.Context(), k)) },
		"txn":    func() error { return c.Txn(t.Context(), func(tx *Tx) error { return tx.Put(k, nil) }) },
	} {
		if err := write(); api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), ".lock") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, err := c.Get(t.Context(), k); err != nil || v.Version != l.Version {
		t.Errorf("the entry is %+v, %v", v, err)
	}
	if err := l.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
}
