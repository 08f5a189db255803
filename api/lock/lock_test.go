package lock

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/storetest"
)

// world is a store, and what asks of it is counted.
type world struct {
	*testing.T
	*storetest.Memory
	dos, reads, watches atomic.Int64
	broken              atomic.Bool // watches end and do not begin
	delay               time.Duration
	failing             atomic.Pointer[error]
}

func (w *world) Do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	w.dos.Add(1)
	time.Sleep(w.delay)
	if err := w.failing.Load(); err != nil && *err != nil {
		return nil, *err
	}
	return w.Memory.Do(ctx, t)
}

func (w *world) Read(ctx context.Context, r *api.ReadRequest, out *api.ReadResult) error {
	w.reads.Add(1)
	return w.Memory.Read(ctx, r, out)
}

func (w *world) Watch(ctx context.Context, r *api.WatchRequest) (api.WatchStream, error) {
	if w.broken.Load() {
		return nil, api.CodeUnavailable
	}
	w.watches.Add(1)
	s, err := w.Memory.Watch(ctx, r)
	return breaking{s, w}, err
}

type breaking struct {
	api.WatchStream
	w *world
}

func (b breaking) Next() (*api.WatchBatch, error) {
	batch, err := b.WatchStream.Next()
	if b.w.broken.Load() {
		return nil, api.CodeUnavailable
	}
	return batch, err
}

// refuse has transactions fail from now on with what is not nil.
func (w *world) refuse(err error) { w.failing.Store(&err) }

// run runs a test in a bubble, on a world of its own.
func run(t *testing.T, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) { f(&world{T: t, Memory: storetest.NewMemory()}) })
}

// gateway returns a Service over the world.
func (w *world) gateway(change ...func(*Config)) *Service {
	c := Config{Store: w, Watcher: w}
	for _, f := range change {
		f(&c)
	}
	s := New(c)
	w.Cleanup(func() { _ = s.Close() })
	return s
}

func (w *world) take(s *Service, r Request) *Held {
	w.Helper()
	h, err := s.Acquire(w.Context(), &r)
	if err != nil {
		w.Fatalf("acquire %+v: %v", r, err)
	}
	return h
}

func (w *world) refused(s *Service, r Request, code api.Code, naming string) {
	w.Helper()
	h, err := s.Acquire(w.Context(), &r)
	if api.CodeOf(err) != code || !strings.Contains(err.Error(), naming) {
		w.Fatalf("acquire %+v: %+v, %v, want %s naming %q", r, h, err, code, naming)
	}
}

func (w *world) release(s *Service, name string, h *Held, want bool) {
	w.Helper()
	if ok, err := s.Release(w.Context(), name, h.ID, h.Fence); err != nil || ok != want {
		w.Fatalf("release %+v: %v, %v, want %v", h, ok, err, want)
	}
}

// asked is a request for a lock that runs beside the test.
type asked struct {
	held *Held
	err  error
	done chan struct{}
	stop context.CancelFunc
}

func (w *world) ask(s *Service, r Request) *asked {
	ctx, cancel := context.WithCancel(w.Context())
	a := &asked{done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(a.done)
		a.held, a.err = s.Acquire(ctx, &r)
	}()
	synctest.Wait()
	return a
}

// over reports whether the request has been answered.
func (a *asked) over() bool {
	synctest.Wait()
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

func (w *world) show(name string) *State {
	w.Helper()
	s, err := Show(w.Context(), w, name)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "jobs/nightly": true, "a//b": true, "é\xff": true, ".locks/a": true, strings.Repeat("n", MaxNameBytes): true,
		"": false, "/a": false, "a/": false, ".lock": false, "a/.lock/b": false, strings.Repeat("n", MaxNameBytes+1): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	for k, reserved := range map[api.Key]bool{
		"a/.lock/x": true, ".lock": true, ".lock/a": true, "a/.lock": true, "a/.lock/try/x": true, "a//.lock//": true,
		"a/.locks/x": false, "a.lock/x": false, "a": false, "a/.Lock/x": false,
	} {
		if Reserved(k) != reserved {
			t.Errorf("%q: reserved = %v", k, !reserved)
		}
	}
}

// TestFence: fences rise as versions do, and are exact as JSON numbers up to epoch 8191.
func TestFence(t *testing.T) {
	last := uint64(0)
	for _, v := range []api.Version{{Epoch: 1, Index: 1}, {Epoch: 1, Index: 1<<40 - 1}, {Epoch: 3, Index: 0}, {Epoch: 8191, Index: 1<<40 - 1}} {
		f := Fence(v)
		if f <= last || versionOf(f) != v || uint64(float64(f)) != f {
			t.Errorf("%v has the fence %d, after %d", v, f, last)
		}
		last = f
	}
}

func TestIDs(t *testing.T) {
	id := IDOf("a", "key")
	if again := IDOf("a", "key"); id != again || id == IDOf("b", "key") || id == IDOf("a", "yek") || checkID(id) != nil {
		t.Error("an ID is not that of a principal and a key")
	}
	for _, id := range []string{"", "a", strings.Repeat("g", 32), strings.Repeat("A", 32), strings.Repeat("a", 34)} {
		if checkID(id) == nil {
			t.Errorf("%q is taken for an ID", id)
		}
	}
}

// TestLock: a lock is held by one, renewed by it, shown, given back and taken again.
func TestLock(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		first := w.take(s, Request{Name: "a/b", TTL: time.Minute, Owner: "alice"})
		w.refused(s, Request{Name: "a/b", TTL: time.Minute, Owner: "bob"}, api.CodeConflict, "the lock is held by alice")
		if all := w.show("a/b"); all.Holder == nil || all.Holder.Owner != "alice" || all.Holder.Fence != first.Fence || len(all.Queue) != 0 {
			t.Errorf("shown %+v, want alice alone", all)
		}
		time.Sleep(50 * time.Second)
		again, err := s.Renew(w.Context(), "a/b", first.ID, first.Fence, 0)
		if err != nil || *again != *first {
			t.Errorf("renewed %+v, %v, want %+v", again, err, first)
		}
		time.Sleep(50 * time.Second)
		w.refused(s, Request{Name: "a/b", TTL: time.Minute}, api.CodeConflict, "alice")
		w.release(s, "a/b", first, true)
		w.release(s, "a/b", first, false)
		if _, err := s.Renew(w.Context(), "a/b", first.ID, first.Fence, time.Minute); api.CodeOf(err) != api.CodePreconditionFailed {
			t.Errorf("renewed after the release: %v", err)
		}
		if all := w.show("a/b"); all.Holder != nil || len(all.Queue) != 0 {
			t.Errorf("shown %+v after the release", all)
		}
		if second := w.take(s, Request{Name: "a/b", TTL: time.Second}); second.Fence <= first.Fence || second.ID == first.ID {
			t.Errorf("%+v follows %+v", second, first)
		}
	})
}

// TestBadRequests: what makes no sense is refused before anything is asked.
func TestBadRequests(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		for naming, r := range map[string]Request{
			"empty": {TTL: time.Second}, "ttl": {Name: "a", TTL: 1}, "wait": {Name: "a", TTL: time.Second, Wait: -1},
			"1h0m0s": {Name: "a", TTL: time.Second, Wait: MaxWait + 1}, "id": {Name: "a", TTL: time.Second, ID: "x"},
		} {
			w.refused(s, r, api.CodeInvalid, naming)
		}
		w.refused(s, Request{Name: "a", TTL: time.Second, Owner: strings.Repeat("o", MaxOwnerBytes+1)}, api.CodeTooLarge, "1024")
		for _, err := range []error{
			second(s.Renew(w.Context(), "a", "x", 1, 0)), second(s.Release(w.Context(), "a", "x", 1)),
			second(s.Renew(w.Context(), "", IDOf("", ""), 1, 0)), second(Show(w.Context(), w, "/")),
		} {
			if api.CodeOf(err) != api.CodeInvalid {
				t.Error(err)
			}
		}
		if n := w.dos.Load(); n != 0 {
			t.Errorf("%d transactions", n)
		}
	})
}

func second[A any](_ A, err error) error { return err }

// TestFIFO: waiters get the lock in the order in which they asked, through any gateway, and fences rise.
func TestFIFO(t *testing.T) {
	run(t, func(w *world) {
		gateways := []*Service{w.gateway(), w.gateway(), w.gateway(func(c *Config) { c.Watcher = nil })}
		last := w.take(gateways[0], Request{Name: "l", TTL: time.Hour})
		var queue []*asked
		for i := range 12 {
			queue = append(queue, w.ask(gateways[i%3], Request{Name: "l", TTL: time.Hour, Wait: time.Hour, Owner: fmt.Sprint(i)}))
		}
		if all := w.show("l"); len(all.Queue) != len(queue) || all.Queue[3].Owner != "3" {
			t.Fatalf("shown %+v", all)
		}
		for i, a := range queue {
			for _, later := range queue[i:] {
				if later.over() {
					t.Fatalf("%d does not wait: %+v, %v", i, later.held, later.err)
				}
			}
			w.release(gateways[0], "l", last, true)
			time.Sleep(500 * time.Millisecond) // one without a watch asks as often
			if !a.over() || a.err != nil || a.held.Fence <= last.Fence {
				t.Fatalf("%d holds %+v, %v, after %+v", i, a.held, a.err, last)
			}
			last = a.held
		}
	})
}

// TestDeadHolder: a holder that is gone costs the waiters its ttl, and a gateway that dies costs its waiters' ttl.
func TestDeadHolder(t *testing.T) {
	run(t, func(w *world) {
		dying, s := w.gateway(), w.gateway()
		w.take(s, Request{Name: "l", TTL: 10 * time.Second})
		lost := w.ask(dying, Request{Name: "l", TTL: 4 * time.Second, Wait: time.Hour})
		next := w.ask(s, Request{Name: "l", TTL: time.Second, Wait: time.Hour})
		time.Sleep(8 * time.Second)
		_ = dying.Close()
		if !lost.over() || api.CodeOf(lost.err) != api.CodeUnavailable {
			t.Fatalf("a gateway that closes answers %v", lost.err)
		}
		begun := time.Now()
		<-next.done
		if took := time.Since(begun); next.err != nil || took < 2*time.Second || took > 4*time.Second {
			t.Errorf("held after %v: %v", took, next.err)
		}
	})
}

// TestWaitEnds: a request that does not get the lock in time names the holder, and its entry is gone.
func TestWaitEnds(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		w.take(s, Request{Name: "l", TTL: time.Hour, Owner: "alice"})
		begun := time.Now()
		w.refused(s, Request{Name: "l", TTL: 2 * time.Second, Wait: 10 * time.Second, ID: IDOf("", "k")}, api.CodeConflict, "held by alice")
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("waited %v", took)
		}
		if all := w.show("l"); len(all.Queue) != 0 {
			t.Errorf("left %+v", all.Queue)
		}
	})
}

// TestClientGone: the entry of a client that has gone is deleted at once, or after a moment if the client may ask again elsewhere.
func TestClientGone(t *testing.T) {
	for _, id := range []string{"", IDOf("", "k")} {
		run(t, func(w *world) {
			s := w.gateway()
			w.take(s, Request{Name: "l", TTL: time.Hour})
			a := w.ask(s, Request{Name: "l", TTL: time.Hour, Wait: time.Hour, ID: id})
			a.stop()
			if !a.over() || !errors.Is(a.err, context.Canceled) {
				t.Fatal(a.err)
			}
			if id != "" {
				time.Sleep(graceMost)
			}
			if synctest.Wait(); len(w.show("l").Queue) != 0 {
				t.Error("the entry is still there")
			}
		})
	}
}

// TestRepeated: a repetition through another gateway finds its entry, place and fence, and the attempt before it, whose client has
// gone or whose wait ends, does not delete the entry.
func TestRepeated(t *testing.T) {
	run(t, func(w *world) {
		one, two := w.gateway(), w.gateway()
		holder := w.take(one, Request{Name: "l", TTL: time.Hour})
		r := Request{Name: "l", TTL: time.Minute, Wait: 10 * time.Second, ID: IDOf("", "k")}
		gone, waits := w.ask(one, r), w.ask(one, r)
		behind := w.ask(two, Request{Name: "l", TTL: time.Minute, Wait: time.Hour})
		r.Wait = time.Hour
		again := w.ask(two, r)
		if all := w.show("l"); len(all.Queue) != 2 || all.Queue[0].ID != r.ID {
			t.Fatalf("shown %+v", all)
		}
		gone.stop()
		time.Sleep(20 * time.Second)
		if !waits.over() || api.CodeOf(waits.err) != api.CodeConflict || again.over() || behind.over() {
			t.Fatalf("%v", waits.err)
		}
		w.release(one, "l", holder, true)
		if !again.over() || again.err != nil || behind.over() {
			t.Fatalf("the repetition: %+v, %v", again.held, again.err)
		}
		if once := w.take(one, r); *once != *again.held {
			t.Errorf("asked again, the holder gets %+v, not %+v", once, again.held)
		}
		w.release(two, "l", again.held, true)
		if !behind.over() || behind.err != nil || behind.held.Fence <= again.held.Fence {
			t.Errorf("the next one holds %+v, %v", behind.held, behind.err)
		}
	})
}

// TestOldAnswer: a repetition of a request whose tenure has expired does not get the old answer.
func TestOldAnswer(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		r := Request{Name: "l", TTL: time.Second, ID: IDOf("", "k")}
		old := w.take(s, r)
		time.Sleep(time.Second)
		other := w.take(s, Request{Name: "l", TTL: time.Hour, Owner: "other"})
		w.refused(s, r, api.CodeConflict, "other")
		w.release(s, "l", other, true)
		if again := w.take(s, r); again.Fence <= other.Fence || again.ID != old.ID {
			t.Errorf("asked again: %+v, after %+v and %+v", again, old, other)
		}
	})
}

// TestLateRelease: a release or a renewal of an old tenure does nothing to the new one of the same ID.
func TestLateRelease(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		r := Request{Name: "l", TTL: time.Second, ID: IDOf("", "k")}
		old := w.take(s, r)
		time.Sleep(time.Second)
		now := w.take(s, r)
		w.release(s, "l", old, false)
		if _, err := s.Renew(w.Context(), "l", old.ID, old.Fence, time.Hour); api.CodeOf(err) != api.CodePreconditionFailed {
			t.Errorf("an old fence renews: %v", err)
		}
		if all := w.show("l"); all.Holder == nil || all.Holder.Fence != now.Fence || all.Holder.TTL > time.Second {
			t.Errorf("shown %+v", all.Holder)
		}
	})
}

// TestLongFence: a fence of a group that has carried out more than 2^40 commands still names its tenure.
func TestLongFence(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		h := w.take(s, Request{Name: "l", TTL: time.Hour})
		e := &entry{store: w, name: "l", id: h.ID, version: api.Version{Index: h.Fence}} // what a wrong split of the fence gives
		for fence, want := range map[uint64]bool{h.Fence: true, h.Fence + 1: false} {
			own := *e
			if ok, err := s.within(w.Context(), &own, fence, func() []api.Op { return own.touches(time.Hour) }); err != nil || ok != want {
				t.Errorf("fence %d: %v, %v", fence, ok, err)
			}
		}
	})
}

// TestEntryLost: one that waits and whose entry expired, since the store was away, goes to the end of the queue.
func TestEntryLost(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		holder := w.take(s, Request{Name: "l", TTL: time.Hour})
		a := w.ask(s, Request{Name: "l", TTL: time.Hour, Wait: time.Hour, ID: IDOf("", "a")})
		b := w.ask(s, Request{Name: "l", TTL: time.Hour, Wait: time.Hour})
		if _, err := w.Memory.Do(w.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: Key("l", IDOf("", "a"))}}}); err != nil {
			t.Fatal(err)
		}
		if a.over() || len(w.show("l").Queue) != 2 {
			t.Fatalf("%v, %+v", a.err, w.show("l"))
		}
		w.release(s, "l", holder, true)
		if !b.over() || a.over() {
			t.Fatalf("not the one who has waited longest: %v", b.err)
		}
		w.release(s, "l", b.held, true)
		if !a.over() || a.err != nil {
			t.Error(a.err)
		}
	})
}

// TestWatchBreaks: waiters get the lock though the watch breaks, its history is trimmed, or it never begins.
func TestWatchBreaks(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		holder := w.take(s, Request{Name: "l", TTL: time.Minute})
		next := w.ask(s, Request{Name: "l", TTL: time.Minute, Wait: time.Hour})
		w.TrimHistory()
		if next.over() {
			t.Fatal(next.err)
		}
		w.release(s, "l", holder, true)
		if !next.over() || next.err != nil {
			t.Fatalf("after a gap: %v", next.err)
		}
		third := w.ask(s, Request{Name: "l", TTL: time.Minute, Wait: time.Hour})
		w.broken.Store(true)
		w.release(s, "l", next.held, true)
		time.Sleep(20 * time.Second) // the next touch after the watch broke
		if !third.over() || third.err != nil {
			t.Fatalf("without a watch: %v", third.err)
		}
		fourth := w.ask(s, Request{Name: "l", TTL: time.Minute, Wait: time.Hour})
		w.release(s, "l", third.held, true)
		time.Sleep(time.Second)
		if !fourth.over() || fourth.err != nil {
			t.Fatalf("with no watch at all: %v", fourth.err)
		}
	})
}

// TestWatchBreaksForGood: waiters whose watch breaks ask the store soon, however far off the next touch of their entries is.
func TestWatchBreaksForGood(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		holder := w.take(s, Request{Name: "l", TTL: time.Hour})
		next := w.ask(s, Request{Name: "l", TTL: time.Hour, Wait: time.Hour})
		time.Sleep(time.Second) // the watch has begun
		w.broken.Store(true)
		w.release(s, "l", holder, true)
		time.Sleep(2 * time.Second)
		if !next.over() || next.err != nil {
			t.Fatalf("the lock is free: %v", next.err)
		}
	})
}

// TestNoTenure: an entry that is absent is not held under the version of its absence.
func TestNoTenure(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		h := w.take(s, Request{Name: "l", TTL: time.Minute})
		w.release(s, "l", h, true)
		gone, err := s.read(w.Context(), Key("l", h.ID))
		if err != nil {
			t.Fatal(err)
		}
		for id, fence := range map[string]uint64{h.ID: Fence(gone.Version), random(): 0} {
			w.release(s, "l", &Held{ID: id, Fence: fence}, false)
			if h, err := s.Renew(w.Context(), "l", id, fence, time.Minute); api.CodeOf(err) != api.CodePreconditionFailed {
				t.Errorf("fence %d: renewed %+v, %v", fence, h, err)
			}
		}
	})
}

// TestRelease costs what a release costs with 100 waiters: one transaction, and one event by one watch. Only the next one asks
// anything.
func TestReleaseCost(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		holder := w.take(s, Request{Name: "l", TTL: time.Hour})
		var queue []*asked
		for range 100 {
			queue = append(queue, w.ask(s, Request{Name: "l", TTL: time.Hour, Wait: time.Hour}))
		}
		if n := w.watches.Load(); n != 1 {
			t.Errorf("%d watches for 100 waiters", n)
		}
		before := w.dos.Load()
		w.release(s, "l", holder, true)
		if !queue[0].over() || queue[0].err != nil {
			t.Fatal(queue[0].err)
		}
		if n := w.dos.Load() - before; n != 1 || w.reads.Load() > 0 || w.watches.Load() != 1 {
			t.Errorf("a release and the next tenure cost %d transactions, %d reads, %d watches, want the release alone", n, w.reads.Load(), w.watches.Load())
		}
	})
}

// TestFull: a lock has a bounded number of contenders, and so has a node of waiters.
func TestFull(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway(func(c *Config) { c.MaxWaiting = 2 })
		w.put(MaxContenders, func(i int) api.Key { return Key("full", IDOf("", fmt.Sprint(i))) })
		w.refused(s, Request{Name: "full", TTL: time.Hour, Wait: time.Hour}, api.CodeUnavailable, "999 requests")
		if all := w.show("full"); len(all.Queue) != MaxContenders-1 {
			t.Errorf("%d wait", len(all.Queue))
		}
		w.take(s, Request{Name: "l", TTL: time.Hour})
		for range 2 {
			w.ask(s, Request{Name: "l", TTL: time.Hour, Wait: time.Hour})
		}
		w.refused(s, Request{Name: "l", TTL: time.Hour, Wait: time.Hour}, api.CodeUnavailable, "2 requests wait for locks")
		if all := w.show("l"); len(all.Queue) != 2 {
			t.Errorf("%d wait", len(all.Queue))
		}
	})
}

// put writes n entries or marks of a lock.
func (w *world) put(n int, key func(i int) api.Key) {
	w.Helper()
	for i := range n {
		op := api.Op{Kind: api.OpPut, Key: key(i), Value: valueOf("x", time.Hour), TTL: time.Hour}
		if _, err := w.Memory.Do(w.Context(), &api.Txn{Then: []api.Op{op}}); err != nil {
			w.Fatal(err)
		}
	}
}

// TestMarksTakeNoPlace: the marks of repeated requests do not count among the entries of a lock, however many there are.
func TestMarksTakeNoPlace(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		holder := w.take(s, Request{Name: "l", TTL: time.Hour})
		ask := func(i int) Request {
			return Request{Name: "l", TTL: time.Hour, Wait: time.Hour, ID: IDOf("", fmt.Sprint(i))}
		}
		w.ask(s, ask(1))
		next := w.ask(s, ask(1))
		w.put(1, func(int) api.Key { return (&entry{name: "l", id: IDOf("", "2")}).marker() })
		w.put(MaxContenders-3, func(i int) api.Key { return Key("l", IDOf("", fmt.Sprint(3+i))) })
		w.put(MaxContenders-3, func(i int) api.Key { return (&entry{name: "l", id: IDOf("", fmt.Sprint(3+i))}).marker() })
		if last := w.ask(s, ask(2)); last.over() {
			t.Errorf("the last place: %v", last.err)
		}
		w.refused(s, Request{Name: "l", TTL: time.Hour, Wait: time.Hour}, api.CodeUnavailable, "999 requests")
		if all := w.show("l"); len(all.Queue) != MaxContenders-1 {
			t.Errorf("%d wait", len(all.Queue))
		}
		w.release(s, "l", holder, true)
		if !next.over() || next.err != nil {
			t.Error(next.err)
		}
	})
}

// TestPartOfAQueue: a list that may lack entries makes no holder: the oldest entry may be one of those.
func TestPartOfAQueue(t *testing.T) {
	last := api.Key("fffffffffffffffffffffffffffffffe")
	for _, marks := range []bool{false, true} {
		run(t, func(w *world) {
			s := w.gateway()
			w.put(1, func(int) api.Key { return Directory("l") + last })
			w.put(api.MaxListLimit-1, func(i int) api.Key {
				k := Key("l", fmt.Sprintf("%032x", i+1))
				if marks { // below an entry, where other programs may keep them
					k += "/try"
				}
				return k
			})
			w.refused(s, Request{Name: "l", TTL: time.Hour, ID: fmt.Sprintf("%032x", 0)}, api.CodeUnavailable, "999 requests")
		})
	}
}

// watched returns how many locks are watched, and how many of them no request waits for.
func (s *Service) watched() (all, idle int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.locks), s.idle
}

// TestPassesToOneWaiter: a lock that one request at a time waits for is passed on by one watch, which ends when none has waited for a while.
func TestPassesToOneWaiter(t *testing.T) {
	run(t, func(w *world) {
		s := w.gateway()
		r := Request{Name: "l", TTL: time.Hour, Wait: time.Hour}
		holder := w.take(s, r)
		for range 20 {
			next := w.ask(s, r)
			if next.over() {
				t.Fatal("two hold it")
			}
			w.release(s, "l", holder, true)
			if !next.over() || next.err != nil {
				t.Fatal(next.err)
			}
			holder = next.held
		}
		if n := w.watches.Load(); n != 1 {
			t.Errorf("%d watches for 20 tenures", n)
		}
		time.Sleep(lingerTime + time.Second)
		if watched, idle := s.watched(); watched != 0 || idle != 0 {
			t.Errorf("%d locks are watched, %d idle", watched, idle)
		}
		for i := range maxLingering + 10 {
			r := Request{Name: fmt.Sprint("m", i), TTL: time.Hour, Wait: time.Hour}
			h, next := w.take(s, r), w.ask(s, r)
			w.release(s, r.Name, h, true)
			if !next.over() {
				t.Fatal("it waits")
			}
		}
		if watched, idle := s.watched(); watched != maxLingering || idle != maxLingering {
			t.Errorf("%d locks are watched, %d idle, want %d", watched, idle, maxLingering)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAgainIsBounded: a request whose entry has gone puts it again as often as a request may be tried, ever more slowly, while the store
// does not answer, and not once more if that is refused for good.
func TestAgainIsBounded(t *testing.T) {
	for _, c := range []struct {
		code     api.Code
		most     int64
		at, last time.Duration
	}{{api.CodeUnavailable, admission.MaxTries + 200, 10 * time.Minute, 20 * time.Minute}, {api.CodeDenied, 10, 0, time.Second}} {
		run(t, func(w *world) {
			s := w.gateway()
			r := Request{Name: "l", TTL: 24 * time.Hour, Wait: time.Hour}
			w.take(s, r)
			r.ID = IDOf("", "one")
			a := w.ask(s, r)
			w.dos.Store(0)
			w.refuse(&api.Error{Code: c.code})
			began := time.Now()
			if _, err := w.Memory.Do(w.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: Key("l", r.ID)}}}); err != nil {
				t.Fatal(err)
			}
			<-a.done
			took := time.Since(began)
			if api.CodeOf(a.err) != c.code || took < c.at || took > c.last || w.dos.Load() > c.most {
				t.Errorf("%v after %v and %d transactions", a.err, took, w.dos.Load())
			}
			w.refuse(nil)
		})
	}
}
