// Package admission decides how much a node takes on at once. It is the one place for load: fronts and nodes enter the same
// kind of [Room], gateways and clients find out by the same [Limiter] what a server can take, and a request carries one
// [Budget] of tries.
//
// Three rules shape a Room. Each class of requests has a share of its own, so that one cannot use up another's: the cluster's
// own calls, reads that a lease here may answer or that may be stale, and the rest. In a share that is three quarters full, callers that have more than an equal part of it are refused first. And
// what waits for something slow holds no place of what is fast: a request that has been under way for [Config.SlowAfter] gives
// its place back if another request wants it, and counts among the slow ones instead, which are bounded by key. A further
// request for a key that too many wait for is refused at once.
//
// What is refused is refused before it costs anything: with CodeUnavailable, and with a time to stay away. A front whose refused
// clients could ask again at once has them wait first; see [Room.Wait].
package admission

import (
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
)

// SlowAfter is how long a request is under way before it waits for something slow, in all likelihood: it is longer than a round
// trip around the world.
const SlowAfter = 500 * time.Millisecond

// Class is what a request is, for the share of it that a node takes on.
type Class uint8

// The classes, in the order in which they give way: the last first. The zero value is none of them.
const (
	_       Class = iota
	Free          // what neither waits nor costs much: it is always let in, and not counted
	Control       // the cluster's own calls: sessions, decisions, placement
	Waiting       // calls that wait for news, and do nothing meanwhile
	Leased        // reads that wait for no other request: under a lease at this node, or such as may be stale
	Request       // the rest
	classes
)

func (c Class) String() string {
	return [...]string{"", "free", "control", "waiting", "leased", "request"}[c]
}

// The defaults of a [Config].
const (
	DefaultControl    = 4096
	DefaultWaiting    = 4096
	DefaultLeased     = 2048
	DefaultRequests   = 2048
	DefaultSlow       = 4096
	DefaultSlowPerKey = 512
	DefaultBytes      = 256 << 20
	DefaultCalm       = 256
)

// Shares has a number for each class: Shares{Request: 7}.
type Shares [classes]int

// Config bounds a Room. The zero value of each field is the default named.
type Config struct {
	// Shares bounds what is under way of each class and not slow. 0: [DefaultControl], [DefaultWaiting],
	// [DefaultLeased], [DefaultRequests].
	Shares Shares
	// SlowAfter is how long a request may be under way before it counts as slow. 0: [SlowAfter].
	SlowAfter time.Duration
	// Slow bounds the slow requests of all classes. 0: [DefaultSlow].
	Slow int
	// SlowPerKey slow requests for one key keep further ones out. So do fewer if there is room for fewer: as the slow requests
	// become many, the bound falls to nothing. 0: [DefaultSlowPerKey].
	SlowPerKey int
	// Bytes bounds the memory that the requests under way have named. 0: [DefaultBytes].
	Bytes int64
	// Busy reports whether the processors cannot keep up. It must not block. nil: never.
	Busy func() bool
	// Calm is how many requests, the slow ones among them, are let in even if Busy; twice as many of the class Leased. The
	// other classes do not mind. 0: [DefaultCalm].
	Calm int
	// Metrics is where the Room registers what it measures. nil: nowhere.
	Metrics observe.Metrics
}

func (c *Config) complete() {
	for class, otherwise := range (Shares{Control: DefaultControl, Waiting: DefaultWaiting, Leased: DefaultLeased, Request: DefaultRequests}) {
		orElse(&c.Shares[class], otherwise)
	}
	orElse(&c.SlowAfter, SlowAfter)
	orElse(&c.Slow, DefaultSlow)
	orElse(&c.SlowPerKey, DefaultSlowPerKey)
	orElse(&c.Bytes, DefaultBytes)
	orElse(&c.Calm, DefaultCalm)
	if c.Busy == nil {
		c.Busy = func() bool { return false }
	}
	if c.Metrics == nil {
		c.Metrics = observe.NoMetrics{}
	}
}

func orElse[T comparable](field *T, otherwise T) {
	var zero T
	if *field == zero {
		*field = otherwise
	}
}

// Ask describes a request that wants in.
type Ask struct {
	Class Class
	// Caller is the principal or node that asks, if it is known. "" is bounded by the share alone.
	Caller string
	// Key is the key that the request is about, or the first of them; "" if there is none. It is not kept.
	Key api.Key
	// Bytes is the memory that the request takes.
	Bytes int64
}

// Room is what one node, or one side of it, has taken on. It is safe for concurrent use.
type Room struct {
	cfg      Config
	refusals refusals
	refused  func(n float64, values ...string)
	tickets  sync.Pool // of *Ticket
	seed     maphash.Seed
	clients  atomic.Int64 // requests of clients under way; changed under mu
	waiters  atomic.Int64 // requests in Wait

	mu     sync.Mutex // guards what follows
	shares [classes]share
	slow   int
	slowOf map[uint64]int // slow requests by key, of which the hash stands for it
	bytes  int64
}

// share is what is under way of one class and not slow, in the order in which it came.
type share struct {
	inside         int
	oldest, newest *Ticket
	of             map[string]int // by caller
	wants          string         // the caller that was refused last, because the share was full, while it had little of it
	wanted         time.Time      // when
}

// New makes a Room.
func New(cfg Config) *Room {
	cfg.complete()
	r := &Room{cfg: cfg, refusals: newRefusals(&cfg), seed: maphash.MakeSeed(), slowOf: map[uint64]int{}}
	for c := range r.shares {
		r.shares[c].of = map[string]int{}
	}
	r.refused = cfg.Metrics.Counter("edgehold_admission_refused_total", "Refusals for load, by why. A request that waits to be let in counts at each try.", "why")
	cfg.Metrics.Gauge("edgehold_admission_in_flight", "Requests under way, the slow ones among them.", func() float64 { return float64(r.UnderWay()) })
	cfg.Metrics.Gauge("edgehold_admission_slow", "Requests under way that wait for something slow.", func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return float64(r.slow)
	})
	return r
}

// Enter lets a request in, or returns the refusal: CodeUnavailable, with a time to stay away, and with the key if it is about that
// alone. A refusal may be shared; the caller does not change it. The ticket must [Ticket.Leave], once; that of a Free request is nil.
func (r *Room) Enter(a Ask) (*Ticket, *api.Error) {
	if a.Class == Free {
		return nil, nil
	}
	busy := a.Class >= Leased && r.cfg.Busy()
	now, key := time.Now(), r.hash(a.Key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if why := r.refuse(&a, key, busy, now); why != noReason {
		r.refused(1, why.String())
		return nil, r.refusals.of(why, &a)
	}
	t, _ := r.tickets.Get().(*Ticket)
	if t == nil {
		t = &Ticket{}
	}
	*t = Ticket{room: r, class: a.Class, caller: a.Caller, key: key, bytes: a.Bytes, since: now}
	r.shares[a.Class].add(t)
	r.bytes += a.Bytes
	if a.Class >= Leased {
		r.clients.Add(1)
	}
	return t, nil
}

// hash stands for a key; 0 for none.
func (r *Room) hash(k api.Key) uint64 {
	if k == "" {
		return 0
	}
	return maphash.String(r.seed, string(k)) | 1
}

// UnderWay is how many requests of clients are under way, the slow ones among them. It does not block.
func (r *Room) UnderWay() int { return int(r.clients.Load()) }

// refuse returns why the request is refused, if it is.
func (r *Room) refuse(a *Ask, key uint64, busy bool, now time.Time) reason {
	s := &r.shares[a.Class]
	if s.inside >= r.cfg.Shares[a.Class] && a.Class >= Leased && guardGiveBack {
		r.giveBack(s, now)
	}
	switch {
	case guardByKey && a.Class == Request && r.slowOf[key] > 0 && r.slowOf[key] >= r.mostSlow():
		return byKey
	case s.inside >= r.cfg.Shares[a.Class]:
		r.want(s, a, now)
		return byShare
	case busy && r.UnderWay() >= r.calm(a.Class):
		return byLoad
	case r.crowds(s, a, now):
		return byCaller
	case r.bytes+a.Bytes > r.cfg.Bytes:
		return byBytes
	}
	return noReason
}

// wantFor is how long a caller that found its share full of others' requests counts as one that wants in.
const wantFor = time.Second

// want notes that a caller with less than an equal part of a full share is refused.
func (r *Room) want(s *share, a *Ask, now time.Time) {
	if a.Caller != "" && s.of[a.Caller] < r.cfg.Shares[a.Class]/(len(s.of)+1) {
		s.wanted, s.wants = now, a.Caller
	}
}

// crowds reports whether the request is one too many of its caller: the share is three quarters full, others are in it or want in,
// and the caller has an equal part of it.
func (r *Room) crowds(s *share, a *Ask, now time.Time) bool {
	limit := r.cfg.Shares[a.Class]
	if a.Caller == "" || 4*s.inside < 3*limit || !guardEqualShares {
		return false
	}
	callers, own := len(s.of), s.of[a.Caller]
	if own == 0 {
		callers++
	}
	if now.Sub(s.wanted) < wantFor && s.of[s.wants] == 0 && s.wants != a.Caller {
		callers++
	}
	return callers > 1 && own >= max(1, limit/callers)
}

// mostSlow is how many slow requests for one key keep further ones out now.
func (r *Room) mostSlow() int { return min(r.cfg.SlowPerKey, r.cfg.Slow-r.slow) }

func (r *Room) calm(c Class) int {
	if c == Leased {
		return 2 * r.cfg.Calm
	}
	return r.cfg.Calm
}

// giveBack counts the requests of a share that have become slow among the slow ones, as far as there is room.
func (r *Room) giveBack(s *share, now time.Time) {
	for t := s.oldest; t != nil && now.Sub(t.since) >= r.cfg.SlowAfter && r.slow < r.cfg.Slow; t = s.oldest {
		s.remove(t)
		t.slow = true
		r.slow++
		if t.key != 0 {
			r.slowOf[t.key]++
		}
	}
}

// Ticket is the place of a request that was let in.
type Ticket struct {
	room       *Room
	class      Class
	caller     string
	key        uint64
	bytes      int64
	since      time.Time
	slow       bool
	prev, next *Ticket // in its share
}

// Take adds to the memory that the request takes, or returns the refusal.
func (t *Ticket) Take(bytes int64) *api.Error {
	r := t.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes+bytes > r.cfg.Bytes {
		r.refused(1, byBytes.String())
		return r.refusals.bytes
	}
	r.bytes += bytes
	t.bytes += bytes
	return nil
}

// About says which key the request is about, if that was not known when it entered. The key is not kept.
func (t *Ticket) About(k api.Key) {
	r := t.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if !t.slow {
		t.key = r.hash(k)
	}
}

// Leave gives the place back. A nil ticket has none.
func (t *Ticket) Leave() {
	if t == nil {
		return
	}
	r := t.room
	r.mu.Lock()
	r.bytes -= t.bytes
	if t.class >= Leased {
		r.clients.Add(-1)
	}
	if t.slow {
		r.slow--
		if t.key != 0 {
			if r.slowOf[t.key]--; r.slowOf[t.key] == 0 {
				delete(r.slowOf, t.key)
			}
		}
	} else {
		r.shares[t.class].remove(t)
	}
	r.mu.Unlock()
	*t = Ticket{}
	r.tickets.Put(t)
}

func (s *share) add(t *Ticket) {
	s.inside++
	if t.caller != "" {
		s.of[t.caller]++
	}
	if t.prev = s.newest; t.prev == nil {
		s.oldest = t
	} else {
		t.prev.next = t
	}
	s.newest = t
}

func (s *share) remove(t *Ticket) {
	s.inside--
	if c := t.caller; c != "" {
		if s.of[c]--; s.of[c] == 0 {
			delete(s.of, c)
		}
	}
	if t.prev == nil {
		s.oldest = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		s.newest = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
}

// reason is why a request is refused.
type reason uint8

const (
	noReason reason = iota
	byKey
	byShare
	byLoad
	byCaller
	byBytes
)

func (w reason) String() string { return [...]string{"", "key", "share", "load", "caller", "bytes"}[w] }

// How long a refused caller is to stay away.
const (
	loadRetryAfter = 100 * time.Millisecond
	keyRetryAfter  = time.Second
)

// refusals are made once and shared: under overload many requests are refused for each that is served.
type refusals struct {
	share               [classes]*api.Error
	load, caller, bytes *api.Error
}

func newRefusals(cfg *Config) (all refusals) {
	for c := Control; c < classes; c++ {
		all.share[c] = refusal(loadRetryAfter, "%d requests of the class %s are under way at this node, the limit", cfg.Shares[c], c)
	}
	all.load = refusal(loadRetryAfter, "the processors of this node cannot keep up")
	all.caller = refusal(loadRetryAfter, "the requests of this caller take its part of what this node does at once, and others want in")
	all.bytes = refusal(loadRetryAfter, "requests fill the %d bytes of memory for them", cfg.Bytes)
	return all
}

func refusal(after time.Duration, format string, args ...any) *api.Error {
	return &api.Error{Code: api.CodeUnavailable, RetryAfter: after, Hint: fmt.Sprintf(format, args...)}
}

// of is the refusal for the reason. One that names a key is about that key alone: other requests may well be let in.
func (f *refusals) of(why reason, a *Ask) *api.Error {
	switch why {
	case byKey:
		e := refusal(keyRetryAfter, "too many requests wait for this key already")
		e.Key = api.Key(strings.Clone(string(a.Key)))
		return e
	case byLoad:
		return f.load
	case byCaller:
		return f.caller
	case byBytes:
		return f.bytes
	}
	return f.share[a.Class]
}
