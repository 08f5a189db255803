package leasecache

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/fault"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// PeerGroups is a server node and the groups that have a voter there.
type PeerGroups struct {
	Node   api.NodeID
	Groups []api.GroupID
}

// Config configures a Cache. Fields whose comment does not mention 0 or nil are required.
type Config struct {
	Store  words.Store  // gets every request that no lease here answers
	Lister words.Lister // carries lists, which are not cached
	Lessor words.Lessor // opens and closes sessions, takes releases

	// Locate returns the group that owns the key, as far as this node knows. A wrong answer costs a lease or a round
	// trip, not safety. Keys for which it returns false are never leased here. It is called on every miss and must not
	// block.
	Locate func(api.Key) (api.GroupID, bool)
	// Full refuses a call about the key if its owner is overloaded; see [Cache.Classify]. It must not block. If nil, no
	// call is refused.
	Full func(k api.Key, begun int) *api.Error
	// Peers returns every server with the groups that have a voter there. It is called once a KeepAlive.
	Peers func() []PeerGroups
	// Open opens the lease stream to a peer. The stream ends with ctx.
	Open func(ctx context.Context, node api.NodeID) (words.LeaseStream, error)
	// OnHeard is called with each group whose leader has answered. It must not block. If nil, it is not called.
	OnHeard func(api.GroupID)
	// OnEpoch is called with each dedup epoch that a group's leader has sent. It must not block. If nil, it is not
	// called.
	OnEpoch func(ident.DedupEpoch)
	// OnLeads is called with each announcement that a node leads a group. It must not block. If nil, it is not called.
	OnLeads func(words.Leads)

	Node  api.NodeID
	Nonce ident.Nonce // drawn when the process started
	Clock words.Clock
	// Rand draws from [0,1), for jitter. It must be safe for concurrent use. If nil, math/rand/v2 is used.
	Rand    func() float64
	Metrics observe.Metrics // nil: observe.NoMetrics
	// Faults catches the panics of reads that several groups answer. If nil, they are not reported.
	Faults *fault.Catcher

	// Tracer continues the traces of writes that wait for leases held here; nil: none.
	Tracer *trace.Tracer

	// Term (T) is how long leases may be used after the newest keep-alive that was answered was sent.
	Term time.Duration // 0: words.DefaultLeaseTerm
	// KeepAlive (H) is the time between keep-alives. The loss of one must not let a session lapse.
	KeepAlive time.Duration // 0: a quarter of Term, at most words.DefaultKeepAlive
	// Pause (P) is the time per term that this node's clocks may lose undetected.
	Pause time.Duration // 0: nothing

	// GrantAfter is how many reads of a key make a lease worth requesting: the read with this number requests it.
	GrantAfter int // 0: 3
	// CoolDown is the time after which one doubling is undone for a key whose lease did not pay.
	CoolDown time.Duration // 0: 10 s

	// MaxBytes bounds keys, values and the memory used beside them.
	MaxBytes int64 // 0: 64 MiB
	// MaxEntries bounds the cached keys.
	MaxEntries int // 0: 65,536
	// MaxAbsent bounds those cached keys that are absent.
	MaxAbsent int // 0: an eighth of MaxEntries
	// MaxFences bounds the keys that have a fence of their own. Other keys are covered by their session's floor.
	MaxFences int // 0: 65,536
	// MaxRevalidate bounds the keys that are read again, hottest first, when a session has died and a new one is open.
	MaxRevalidate int // 0: 4,096; negative: none
	// CloseTimeout bounds the time to close the sessions at their groups.
	CloseTimeout time.Duration // 0: 2 s
}

// maxGrantAfter bounds Config.GrantAfter.
const maxGrantAfter = 1000

// complete sets defaults and returns an error if the Config cannot work.
func (c *Config) complete() error {
	if c.Store == nil || c.Lister == nil || c.Lessor == nil || c.Locate == nil || c.Peers == nil || c.Open == nil || c.Clock == nil {
		return &api.Error{Code: api.CodeInvalid, Op: "edge", Hint: "Store, Lister, Lessor, Locate, Peers, Open and Clock are required"}
	}
	if c.Full == nil {
		c.Full = func(api.Key, int) *api.Error { return nil }
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Metrics == nil {
		c.Metrics = observe.NoMetrics{}
	}
	if c.OnHeard == nil {
		c.OnHeard = func(api.GroupID) {}
	}
	if c.OnEpoch == nil {
		c.OnEpoch = func(ident.DedupEpoch) {}
	}
	if c.OnLeads == nil {
		c.OnLeads = func(words.Leads) {}
	}
	orElse(&c.Term, words.DefaultLeaseTerm)
	orElse(&c.KeepAlive, min(c.Term/4, words.DefaultKeepAlive))
	orElse(&c.CoolDown, 10*time.Second)
	orElse(&c.CloseTimeout, 2*time.Second)
	orElse(&c.GrantAfter, 3)
	orElse(&c.MaxBytes, 64<<20)
	orElse(&c.MaxEntries, 65_536)
	orElse(&c.MaxAbsent, max(1, c.MaxEntries/8))
	orElse(&c.MaxFences, 65_536)
	orElse(&c.MaxRevalidate, 4096)
	switch {
	case c.Term < 0 || c.Term > words.MaxLeaseTerm || c.Pause < 0 || c.Pause > words.MaxPause:
		return api.Errorf(api.CodeInvalid, "edge: lease term %v or pause %v is out of range (at most %v and %v)",
			c.Term, c.Pause, words.MaxLeaseTerm, words.MaxPause)
	case c.KeepAlive < 0 || 2*c.KeepAlive > c.Term:
		return api.Errorf(api.CodeInvalid, "edge: keep-alives every %v do not hold a lease term of %v; at most half of it", c.KeepAlive, c.Term)
	case c.GrantAfter < 0 || c.GrantAfter > maxGrantAfter || c.MaxBytes < 0 || c.MaxEntries < 0 || c.MaxAbsent < 0 || c.MaxFences < 0 || c.CoolDown < 0 || c.CloseTimeout < 0:
		return &api.Error{Code: api.CodeInvalid, Op: "edge", Hint: "a limit is out of range"}
	}
	return nil
}

func orElse[T comparable](field *T, otherwise T) {
	var zero T
	if *field == zero {
		*field = otherwise
	}
}

// jitter spreads d over [d/2, d].
func (c *Config) jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(c.Rand()*float64(d/2))
}
