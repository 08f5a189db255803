package fsm

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// RetryLeases refuses a [Write] or [Cede] that would change what somebody holds under a live lease: Result.Holders names
// them. Not applied. It stays inside the region, which clears them and tries again.
const RetryLeases api.Code = "retry_leases"

// Result is what became of one command. It is the same on all replicas. Values in it are its own.
type Result struct {
	// Index is the command's place in the machine's counter.
	Index uint64
	// Err tells why the command was refused: then it changed nothing.
	Err *api.Error
	// Txn is what a Write did.
	Txn *api.TxnResult
	// Entries are what a Grant returned.
	Entries []api.Entry
	// Session is what a SessionOpen opened.
	Session api.SessionID
	// Holders are those in the way, where Err.Code is RetryLeases.
	Holders []Holder
	// Receipt is what a Cede gave.
	Receipt *Receipt
	// Intents are those in the way, where Err.Code is RetryIntents: at most [MaxNamedIntents].
	Intents []Intent
	// Stored is what the anchor's group knows of the request, where Err.Code is Attempted.
	Stored *Record
	// Decision is what became of an attempt: of a Decide, Push or CommitLast, and where Err.Code is Finished.
	Decision *Decision
	Effect   Effect
	// Swept is how far a TrimTombstones, ExpireDedup or Reap came.
	Swept Swept
}

// Swept is how far a command came that clears away.
type Swept struct {
	// Rows are those that it has dropped, or looked at (ExpireDedup).
	Rows int
	// End: it came to the end of what there is.
	End bool
}

// Effect tells the room above what applying a command means for its own, volatile state.
type Effect struct {
	Kind EffectKind
	// Node is whose term it is (EffectTermStart).
	Node api.NodeID
	// Sessions are those that changed.
	Sessions []api.SessionID
	// Decided is an attempt that was committed by this command, in its decision group, and has participants: see that they
	// resolve. Resolved is one whose intents, if there were any, are gone: whoever waits for them may go on.
	Decided, Resolved *ident.TxnID
}

// EffectKind is what an Effect tells.
type EffectKind uint8

const (
	// EffectNone is nothing of concern.
	EffectNone EffectKind = iota
	// EffectTermStart is that a leader's term has begun in the log.
	EffectTermStart
	// EffectSuspect is that the session was marked, perhaps again.
	EffectSuspect
	// EffectUnsuspect is that the session is renewable again.
	EffectUnsuspect
	// EffectKilled is that the sessions ended for good; by Kill, SessionClose, or as Killed of a Write or Cede.
	EffectKilled
)

// Holder is one live lease.
type Holder struct {
	Session api.SessionID
	Node    api.NodeID
	Nonce   ident.Nonce
	Key     api.Key
	Lease   api.LeaseID
}

// Session is a session that is not dead.
type Session struct {
	ID    api.SessionID
	Node  api.NodeID
	Nonce ident.Nonce
	// Term (T) and Pause (P) are the holder's own.
	Term, Pause time.Duration
	Suspect     bool
	// Leases counts what it holds.
	Leases int
}

// Preview is what a Write would do if it were applied now.
type Preview struct {
	// Replay is the stored result of an earlier attempt; then nothing else is set but perhaps Committed.
	Replay *api.TxnResult
	// Err is why it would be refused (other than for leases).
	Err *api.Error
	// Committed tells whether If holds.
	Committed bool
	// Holders are the live leases on the keys that the branch that would run writes.
	Holders []Holder
	// Intents are in its way, where Err.Code is RetryIntents; Stored, where it is Attempted.
	Intents []Intent
	Stored  *Record
}

// Meta is the machine's own row: who it is, how far it is, and what it counts.
type Meta struct {
	Initialized bool
	Group       api.GroupID
	// Level is what the group's members have agreed to write; [Level1] before it is founded.
	Level       Level
	Incarnation uint64
	// Counter is the index of the newest command.
	Counter  uint64
	LastTerm api.Term
	// Applied is the log's index of the newest entry: up to there the log has nothing new for this state.
	Applied uint64
	// DedupEpoch is the present epoch of at-most-once records.
	DedupEpoch        Epoch
	MaxTerm, MaxPause time.Duration
	// Keys, Tombstones, Sessions, Leases and Records (of at-most-once results) are how many there are.
	Keys, Tombstones, Sessions, Leases, Records int
	// Intents are keys that transactions have locked. Prepared and Finished are transactions in their role of participant:
	// those whose intents these are, and those that are remembered. Decisions are what the group has decided, Unresolved
	// how many of them wait for participants.
	Intents, Prepared, Finished, Decisions, Unresolved int
	// Void are leases of sessions that have ended and are not cleared away yet, Ended these sessions.
	Ended, Void int

	sweep []byte // where the next ExpireDedup goes on
	// returns are the dedup epochs of the last day that began because a range came back.
	returns returns
}
