package fsm

import (
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Init founds a group, at the level of its version: the first leader proposes it. Once a machine is founded, it does nothing.
type Init struct {
	Group api.GroupID
	// Incarnation is the first part of every session's id.
	Incarnation uint64
	// Shards are what the group owns from the start. They do not overlap.
	Shards []Shard
	// MaxTerm and MaxPause bound what a session may ask for as T and P.
	MaxTerm, MaxPause time.Duration
}

// TermStart says that a leader begins its term: the term of the log entry.
type TermStart struct{ Node api.NodeID }

// Write carries out a transaction. Txn.Group and Txn.Dropped stay outside the log. Refused with [RetryLeases] where a key
// that the running branch writes has a live lease outside Cleared and Killed; with [RetryIntents] where one that it writes
// has an intent, or one that is tested or read an exclusive one; with [Attempted] where the request is under way otherwise.
type Write struct {
	Term api.Term
	Txn  api.Txn
	// Cleared are leases whose holders have given up these and all earlier ones on the key.
	Cleared []api.DroppedLease
	// Killed are sessions that have expired: they die as wholes.
	Killed []api.SessionID
}

// Grant gives leases and reads their keys at the same instant. Result.Entries has one entry for each key of each item, in
// order. An entry without a lease was refused one: the session is not live, or a limit was met. With [RetryIntents] the whole
// of it is refused where a key has an exclusive intent: neither side of that transaction may be told.
type Grant struct {
	Term  api.Term
	Items []GrantItem
}

// GrantItem is one session's part of a Grant.
type GrantItem struct {
	Session api.SessionID
	// Nonce, where set, must be the session's.
	Nonce ident.Nonce
	Keys  []api.Key
	// Known, where not empty, holds one version a key: an existing value of that same version is left out of the result.
	Known []api.Version
}

// SessionOpen opens a session: Result.Session.
type SessionOpen struct {
	Node  api.NodeID
	Nonce ident.Nonce
	T, P  time.Duration
}

// SessionClose ends a session whose holder has stopped using it. One that is unknown has ended already.
type SessionClose struct {
	Session api.SessionID
	Nonce   ident.Nonce
}

// Suspect marks a session that no leader may renew until an Unsuspect.
type Suspect struct {
	Term    api.Term
	Session api.SessionID
}

// Unsuspect makes a session renewable again.
type Unsuspect struct {
	Term    api.Term
	Session api.SessionID
}

// Kill ends sessions that have expired. Unknown ones have ended already.
type Kill struct {
	Term     api.Term
	Sessions []api.SessionID
}

// Release drops the named leases and all earlier ones of the same session on the same key: their holder has given them up.
type Release struct{ Leases []api.DroppedLease }

// Cede gives up a range that has no key in it: Result.Receipt. The range must lie within one owned shard's range, and Epoch
// must be above that shard's. Repeated, it gives the same receipt. CodeConflict where a key exists in the range;
// [RetryLeases] where a live lease in it is outside Cleared and Killed; [RetryIntents] where a transaction has locked a key
// in it.
type Cede struct {
	Term    api.Term
	Range   api.Range
	Epoch   uint64 // at which the groups in To may own the range
	To      []api.GroupID
	Cleared []api.DroppedLease
	Killed  []api.SessionID
}

// Adopt takes over a range that was given up, as the receipt shows: every group that had owned a shard of it must have
// joined in the receipt. Shard has the receipt's range and epoch. Refused at an epoch at or below any that this group has
// seen for any part of the range; repeated, it does nothing.
type Adopt struct {
	Receipt Receipt
	Shard   Shard
}

// TrimTombstones drops up to Limit tombstones whose index is below Below, and raises the floors that stand for them.
type TrimTombstones struct {
	Term  api.Term
	Below uint64
	Limit int
}

// AdvanceDedupEpoch begins the next dedup epoch. Leaders propose it about once an hour.
type AdvanceDedupEpoch struct{ Term api.Term }

// ExpireDedup looks at up to Limit rows of at-most-once records, going on where the last one stopped, and drops those whose
// epoch is more than [DedupEpochs] behind.
type ExpireDedup struct {
	Term  api.Term
	Limit int
}

const kindInit kind = 1

func (Init) kind() kind { return kindInit }

const kindTermStart kind = 2

func (TermStart) kind() kind { return kindTermStart }

const kindWrite kind = 3

func (Write) kind() kind { return kindWrite }

const kindGrant kind = 4

func (Grant) kind() kind { return kindGrant }

const kindSessionOpen kind = 5

func (SessionOpen) kind() kind { return kindSessionOpen }

const kindSessionClose kind = 6

func (SessionClose) kind() kind { return kindSessionClose }

const kindSuspect kind = 7

func (Suspect) kind() kind { return kindSuspect }

const kindUnsuspect kind = 8

func (Unsuspect) kind() kind { return kindUnsuspect }

const kindKill kind = 9

func (Kill) kind() kind { return kindKill }

const kindRelease kind = 10

func (Release) kind() kind { return kindRelease }

const kindCede kind = 11

func (Cede) kind() kind { return kindCede }

const kindAdopt kind = 12

func (Adopt) kind() kind { return kindAdopt }

const kindTrimTombstones kind = 13

func (TrimTombstones) kind() kind { return kindTrimTombstones }

const kindAdvanceDedupEpoch kind = 14

func (AdvanceDedupEpoch) kind() kind { return kindAdvanceDedupEpoch }

const kindExpireDedup kind = 15

func (ExpireDedup) kind() kind { return kindExpireDedup }

// init founds the group at the level of the command, once.
func (t *tx) init(c *Init, _ *Result) *api.Error {
	if t.meta.Initialized {
		return nil
	}
	if c.Group == "" || c.MaxTerm <= 0 {
		return api.Errorf(api.CodeInvalid, "a group needs a name and a greatest lease term")
	}
	shards := slices.SortedFunc(slices.Values(c.Shards), func(a, b Shard) int {
		return compareKeys(a.Range.Start, b.Range.Start)
	})
	for i, s := range shards {
		if err := s.check(); err != nil {
			return err
		}
		if i > 0 && shards[i-1].Range.Overlaps(s.Range) {
			return api.Errorf(api.CodeInvalid, "the ranges %v and %v overlap", shards[i-1].Range, s.Range)
		}
	}
	for _, s := range shards {
		t.own(owned{Shard: s})
	}
	t.meta.Initialized, t.meta.Group, t.meta.Incarnation, t.meta.Level = true, c.Group, c.Incarnation, t.version
	t.meta.MaxTerm, t.meta.MaxPause, t.meta.DedupEpoch = c.MaxTerm, c.MaxPause, 1
	return nil
}

func (t *tx) termStart(c *TermStart, res *Result) *api.Error {
	t.meta.LastTerm = t.term
	res.Effect = Effect{Kind: EffectTermStart, Node: c.Node}
	return nil
}
