package admission

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
)

// room is a Room that is small enough to be filled.
func room(tune func(*Config)) *Room {
	cfg := Config{Shares: Shares{Control: 4, Waiting: 4, Leased: 4, Request: 8}, Slow: 32, SlowPerKey: 6, Bytes: 1000, Calm: 3}
	if tune != nil {
		tune(&cfg)
	}
	return New(cfg)
}

// in has n requests enter, all of which must be let in.
func in(t *testing.T, r *Room, n int, a Ask) (all []*Ticket) {
	t.Helper()
	for i := range n {
		ticket, err := r.Enter(a)
		if err != nil {
			t.Fatalf("request %d of %d, %+v: %v", i+1, n, a, err)
		}
		all = append(all, ticket)
	}
	return all
}

// out has a request refused, with a time to stay away.
func out(t *testing.T, r *Room, a Ask, after time.Duration) {
	t.Helper()
	_, err := r.Enter(a)
	if err == nil {
		t.Fatalf("%+v was let in", a)
	}
	if err.Code != api.CodeUnavailable || err.RetryAfter != after || err.Hint == "" {
		t.Fatalf("%+v: %v, stay away for %v, want %v", a, err, err.RetryAfter, after)
	}
}

func leave(all []*Ticket) {
	for _, t := range all {
		t.Leave()
	}
}

// TestShares: a class that is full takes nothing from another.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room(nil)
		for c, n := range map[Class]int{Control: 4, Waiting: 4, Leased: 4, Request: 8} {
			all := in(t, r, n, Ask{Class: c})
			out(t, r, Ask{Class: c}, loadRetryAfter)
			leave(all[:1])
			in(t, r, 1, Ask{Class: c})
		}
		leave(in(t, r, 100, Ask{Class: Free}))
	})
}

// TestSlowGivesPlaceBack: requests for one key that wait for something slow are bounded by key, and keep no other key's out.
func TestSlowGivesPlaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room(nil)
		var waiting []*Ticket
		for range 8 {
			waiting = append(waiting, in(t, r, 1, Ask{Class: Request, Key: "locked"})...)
		}
		out(t, r, Ask{Class: Request, Key: "other"}, loadRetryAfter)
		time.Sleep(SlowAfter - 1)
		out(t, r, Ask{Class: Request, Key: "other"}, loadRetryAfter)
		time.Sleep(time.Nanosecond)
		for range 100 {
			leave(in(t, r, 8, Ask{Class: Request, Key: "other"}))
		}
		out(t, r, Ask{Class: Request, Key: "locked"}, keyRetryAfter)
		leave(in(t, r, 1, Ask{Class: Leased, Key: "locked"})) // its lease answers at once
		leave(waiting)
		leave(in(t, r, 8, Ask{Class: Request, Key: "locked"}))
		if r.slow != 0 || len(r.slowOf) != 0 {
			t.Errorf("%d slow requests are left, of keys %v", r.slow, r.slowOf)
		}
	})
}

// TestManySlowKeys: as the slow requests become many, fewer of each key keep its further ones out, and in the end one.
func TestManySlowKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room(func(c *Config) { c.Shares[Request] = 32 })
		for k := range 16 {
			in(t, r, 2, Ask{Class: Request, Key: api.Key(fmt.Sprint("locked", k))})
		}
		time.Sleep(time.Second)
		in(t, r, 1, Ask{Class: Request, Key: "new"})
		for k := range 16 {
			out(t, r, Ask{Class: Request, Key: api.Key(fmt.Sprint("locked", k))}, keyRetryAfter)
		}
		in(t, r, 31, Ask{Class: Request})
		out(t, r, Ask{Class: Request}, loadRetryAfter)
		time.Sleep(time.Second)
		out(t, r, Ask{Class: Request}, loadRetryAfter) // there is no room for more slow ones
	})
}

// TestCallers: in a share that is three quarters full, a caller that has an equal part of it gets no more while others are there. It
// has all of a share that no other wants.
func TestCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room(nil)
		leave(in(t, r, 8, Ask{Class: Request, Caller: "a"}))
		b := in(t, r, 1, Ask{Class: Request, Caller: "b"})
		a := in(t, r, 5, Ask{Class: Request, Caller: "a"}) // until the share is three quarters full
		out(t, r, Ask{Class: Request, Caller: "a"}, loadRetryAfter)
		b = append(b, in(t, r, 1, Ask{Class: Request, Caller: "b"})...)
		in(t, r, 1, Ask{Class: Request, Caller: "c"})
		out(t, r, Ask{Class: Request, Caller: "a"}, loadRetryAfter)
		in(t, r, 4, Ask{Class: Leased, Caller: "a"}) // another share
		leave(b)
		leave(a[2:])
		in(t, r, 2, Ask{Class: Request, Caller: "a"})
	})
}

// TestOneCallerFillsNoShare (Attack 12): a caller that has filled a share, and takes each place again at once when one is free, does not
// keep others out: while they ask, it gets no more than an equal part.
func TestOneCallerFillsNoShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room(nil)
		hog := in(t, r, 8, Ask{Class: Request, Caller: "hog"})
		out(t, r, Ask{Class: Request, Caller: "b"}, loadRetryAfter)
		out(t, r, Ask{Class: Request, Caller: "hog"}, loadRetryAfter)
		got := 0
		for range 4 {
			leave(hog[:1])
			hog = hog[1:]
			if x, err := r.Enter(Ask{Class: Request, Caller: "hog"}); err == nil { // it is always the first
				hog = append(hog, x)
			}
			if _, err := r.Enter(Ask{Class: Request, Caller: "b"}); err == nil {
				got++
			}
			time.Sleep(loadRetryAfter / 2) // not so long that requests count as slow
		}
		if got != 4 {
			t.Errorf("the other caller was let in %d of 4 times", got)
		}
	})
}

// TestBusy: if the processors cannot keep up, the rest give way first, then reads under leases, and the cluster's own calls never.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := false
		r := room(func(c *Config) {
			c.Shares = Shares{Control: 9, Waiting: 9, Leased: 9, Request: 9}
			c.Busy = func() bool { return busy }
		})
		in(t, r, 3, Ask{Class: Request})
		busy = true
		out(t, r, Ask{Class: Request}, loadRetryAfter)
		in(t, r, 3, Ask{Class: Leased})
		out(t, r, Ask{Class: Leased}, loadRetryAfter)
		in(t, r, 9, Ask{Class: Control})
		in(t, r, 9, Ask{Class: Waiting})
		busy = false
		in(t, r, 6, Ask{Class: Request})
	})
}

// TestBytes: requests name their memory before they take it.
func TestBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room(nil)
		all := in(t, r, 2, Ask{Class: Request, Bytes: 500})
		out(t, r, Ask{Class: Request, Bytes: 1}, loadRetryAfter)
		leave(all)
		in(t, r, 1, Ask{Class: Request, Bytes: 1000})
	})
}

// TestRandom: whatever comes and goes in whatever order, the books are right.
func TestRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		r := room(nil)
		var all []*Ticket
		for range 20_000 {
			if len(all) > 0 && rng.IntN(2) == 0 {
				i := rng.IntN(len(all))
				all[i].Leave()
				all[i] = all[len(all)-1]
				all = all[:len(all)-1]
			} else if x, err := r.Enter(Ask{Control + Class(rng.IntN(int(classes-Control))), fmt.Sprint(rng.IntN(3)), api.Key(fmt.Sprint(rng.IntN(5))), rng.Int64N(40)}); err == nil {
				all = append(all, x)
			}
			time.Sleep(time.Duration(rng.Int64N(int64(SlowAfter / 5))))
			if r.UnderWay()+r.shares[Control].inside+r.shares[Waiting].inside != len(all) || r.slow > 32 || r.bytes > 1000 {
				t.Fatalf("%d are under way, %d by the books, %d of them slow", len(all), r.UnderWay(), r.slow)
			}
		}
		leave(all)
		for c := range r.shares {
			if s := &r.shares[c]; s.inside != 0 || s.oldest != nil || s.newest != nil || len(s.of) != 0 {
				t.Errorf("class %v is not empty: %+v", Class(c), s)
			}
		}
		if r.slow != 0 || len(r.slowOf) != 0 || r.bytes != 0 {
			t.Errorf("%d slow, by key %v, %d bytes", r.slow, r.slowOf, r.bytes)
		}
	})
}

func TestEnterAllocatesNothing(t *testing.T) {
	r := New(Config{})
	a := Ask{Class: Request, Caller: "a", Key: "k", Bytes: 7}
	if n := testing.AllocsPerRun(1000, func() {
		x, err := r.Enter(a)
		if err != nil {
			t.Fatal(err)
		}
		x.Leave()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestLimiter: a refusal takes a quarter, once a moment, down to the least; what is served gives back.
func TestLimiter(t *testing.T) {
	l := Limiter{Least: 4, Most: 100, RaiseAfter: 2}
	now := time.Now()
	if l.Full(now, 0) || !l.Open() {
		t.Error("a server that has refused nothing is full")
	}
	var under []*Ticket
	for range 80 {
		under = append(under, l.Begin(now))
	}
	at := time.Now()
	l.Refused(at, at.Add(time.Second))
	if l.Limit() != 60 || !l.Full(now, 0) {
		t.Errorf("the limit is %d, not 60", l.Limit())
	}
	if l.Refused(at, at.Add(2*time.Second)); l.Limit() != 60 {
		t.Errorf("a refusal of the same moment lowers the limit to %d", l.Limit())
	}
	for i := range 30 {
		l.Refused(at.Add(time.Duration(i+2)*time.Second), at.Add(time.Duration(i+2)*time.Second))
	}
	if l.Limit() != 4 {
		t.Errorf("the limit is %d, not the least", l.Limit())
	}
	for _, t := range under {
		l.End(t)
	}
	for range 2 * 96 {
		l.Served()
	}
	if !l.Open() || l.Limit() != 100 || l.Inside() != 0 {
		t.Errorf("the limit is %d, %d are inside", l.Limit(), l.Inside())
	}
}

// TestLimiterSlow: what waits for something slow holds no place of what is fast, up to the most.
func TestLimiterSlow(t *testing.T) {
	l := Limiter{Least: 2, Most: 8, SlowAfter: time.Second}
	now := time.Now()
	var under []*Ticket
	l.Refused(now, now)
	for range l.Limit() {
		under = append(under, l.Begin(now))
	}
	if !l.Full(now, 0) {
		t.Errorf("%d are under way, and the limit is %d", l.Inside(), l.Limit())
	}
	if wide := (Limiter{Least: 2, Most: 8}); wide.Full(now, 7) || !wide.Full(now, 8) {
		t.Error("those that are on their way do not count")
	}
	later := now.Add(time.Second)
	for !l.Full(later, 0) {
		under = append(under, l.Begin(later))
	}
	if n := len(under); n != 2+l.Limit() {
		t.Errorf("%d are under way, of which 2 are slow; the limit is %d", n, l.Limit())
	}
	for later = later.Add(time.Second); !l.Full(later, 0); {
		under = append(under, l.Begin(later))
	}
	if n := len(under); n > 8 || n < 6 {
		t.Errorf("%d are under way, 8 may be", n)
	}
	for _, x := range under {
		l.End(x)
	}
	if l.Inside() != 0 || l.slow != 0 {
		t.Errorf("%d are inside, %d slow", l.Inside(), l.slow)
	}
}

// TestBudget: loops within loops draw from one budget.
func TestBudget(t *testing.T) {
	outer := WithBudget(context.Background())
	tries := 0
	for Retry(outer) == nil {
		inner := WithBudget(outer)
		for range 10 {
			if Retry(inner) != nil {
				break
			}
			tries++
		}
		tries++
	}
	if tries != MaxTries {
		t.Errorf("%d tries, want %d", tries, MaxTries)
	}
	if err := Retry(outer); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("the error is %v", err)
	}
	if err := Retry(context.Background()); err != nil {
		t.Errorf("without a budget: %v", err)
	}
}

func BenchmarkEnter(b *testing.B) {
	r := New(Config{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			x, err := r.Enter(Ask{Class: Request, Key: "k"})
			if err != nil {
				b.Fatal(err)
			}
			x.Leave()
		}
	})
}
