package fsm

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Command is one change of a machine's state, as it stands in the log: one of the structs of this file and of txn_command.go.
type Command interface {
	kind() kind
	put(w *codec.Writer)
}

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

// kind is a command's number on the wire.
type kind byte

const (
	kindInit kind = iota + 1
	kindTermStart
	kindWrite
	kindGrant
	kindSessionOpen
	kindSessionClose
	kindSuspect
	kindUnsuspect
	kindKill
	kindRelease
	kindCede
	kindAdopt
	kindTrimTombstones
	kindAdvanceDedupEpoch
	kindExpireDedup
	kindPrepare
	kindDecide
	kindPush
	kindCommitLast
	kindResolve
	kindResolved
	kindForget
	kindSetLevel
	kindReap
	kindEnd // one above the last
)

func (Init) kind() kind              { return kindInit }
func (TermStart) kind() kind         { return kindTermStart }
func (Write) kind() kind             { return kindWrite }
func (Grant) kind() kind             { return kindGrant }
func (SessionOpen) kind() kind       { return kindSessionOpen }
func (SessionClose) kind() kind      { return kindSessionClose }
func (Suspect) kind() kind           { return kindSuspect }
func (Unsuspect) kind() kind         { return kindUnsuspect }
func (Kill) kind() kind              { return kindKill }
func (Release) kind() kind           { return kindRelease }
func (Cede) kind() kind              { return kindCede }
func (Adopt) kind() kind             { return kindAdopt }
func (TrimTombstones) kind() kind    { return kindTrimTombstones }
func (AdvanceDedupEpoch) kind() kind { return kindAdvanceDedupEpoch }
func (ExpireDedup) kind() kind       { return kindExpireDedup }
