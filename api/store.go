package api

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Store is the one contract between a caller and a group's log. All implementations are safe for concurrent use and
// return errors that are or wrap [*Error]. The caller leaves a request unchanged until the call has returned, and
// never changes values that it was given: they may be shared with a cache.
type Store interface {
	// Read fills out with one Entry a key, in the order asked, absent keys included (Entry.Exists false). Each key is read at
	// the asked consistency by itself; several keys are one snapshot only if out.Snapshot says so.
	//
	// out is the caller's, and not nil. What it held is overwritten; its Entries are reused if they are large enough. After an
	// error it holds nothing of use. When Read has returned, the Store keeps neither r nor out, and if out.ServedBy is
	// [ServedByLease] it does not keep ctx either.
	Read(ctx context.Context, r *ReadRequest, out *ReadResult) error
	// Do carries out one transaction, atomically, at most once if it has an ID. CodeAmbiguous if the outcome is unknown; every
	// other error but CodeInternal means: not applied.
	Do(ctx context.Context, t *Txn) (*TxnResult, error)
}

// Lister lists ranges of keys.
type Lister interface {
	// List returns the entries of the range in key order (reversed if asked), at most Limit and MaxListBytes.
	// It is linearizable per group; pages and groups together are no snapshot.
	List(ctx context.Context, r *ListRequest) (*ListResult, error)
}

// Consistency is what a read promises.
type Consistency uint8

const (
	// Linearizable may be answered by a lease or by the owner.
	Linearizable Consistency = iota
	// Quorum is linearizable and always asks the owner.
	Quorum
	// Bounded may be at most ReadRequest.MaxStale old.
	Bounded
	// Stale may be arbitrarily old; the answer tells its age.
	Stale
)

func (c Consistency) String() string {
	return [...]string{"linearizable", "quorum", "bounded", "stale"}[c&3]
}

// ReadRequest asks for keys.
type ReadRequest struct {
	Keys        []Key         `cbor:"1,keyasint"`
	Consistency Consistency   `cbor:"2,keyasint,omitempty"`
	MaxStale    time.Duration `cbor:"3,keyasint,omitempty"`
	// Known, where not empty, holds one version a key: a value of that same version is left out of the answer
	// (Entry.Unchanged).
	Known []Version `cbor:"6,keyasint,omitempty"`
	// Snapshot demands that all entries were current at one common instant between call and return: a read-only
	// transaction, strictly serializable. Consistency must be Linearizable or Quorum.
	Snapshot bool `cbor:"7,keyasint,omitempty"`
}

// ServedBy tells who answered a read.
type ServedBy uint8

// From the owner's answer to the weakest: see ReadResult.ServedBy.
const (
	ServedByOwner ServedBy = iota
	ServedByLease
	ServedByStale
)

func (s ServedBy) String() string { return [...]string{"owner", "lease", "stale"}[s%3] }

// Entry is a key's state at one version.
type Entry struct {
	Key     Key     `cbor:"1,keyasint"`
	Value   []byte  `cbor:"2,keyasint,omitempty"`
	Version Version `cbor:"3,keyasint,omitempty"` // of an absent key: that of its absence
	Exists  bool    `cbor:"4,keyasint,omitempty"`
	// Unchanged: the version is the one the caller knew; Value was left out.
	Unchanged bool `cbor:"6,keyasint,omitempty"`
	// Elided: the answer to a repeated request, whose first answer had a value here that was too long to be kept. Exists and
	// Version are as they were; Value is not known.
	Elided bool `cbor:"7,keyasint,omitempty"`
}

// ErrElided says that a value was in the first answer to a request and is not in the answer to its repetition: it was too long
// to be kept. The request took effect, once. Read the key to learn what it holds now.
var ErrElided = errors.New("elided: the value of the first answer was too long to be kept for a repetition")

// Known returns the value, or [ErrElided]: an elided value must not be taken for an empty one.
func (e *Entry) Known() ([]byte, error) {
	if e.Elided {
		return nil, ErrElided
	}
	return e.Value, nil
}

// ReadResult answers a ReadRequest.
type ReadResult struct {
	Entries  []Entry  `cbor:"1,keyasint"`
	ServedBy ServedBy `cbor:"2,keyasint,omitempty"` // the weakest over all entries: stale, else owner, else lease
	Group    GroupID  `cbor:"3,keyasint,omitempty"` // the owner ("" where several)
	// Age of a stale answer: now minus the last instant at which it was known to be current.
	Age time.Duration `cbor:"4,keyasint,omitempty"`
	// Snapshot: all entries were current at one common instant between call and return.
	Snapshot bool   `cbor:"5,keyasint,omitempty"`
	Timing   Timing `cbor:"6,keyasint,omitempty"`
}

// CondKind is what a Cond tests.
type CondKind uint8

// The conditions.
const (
	CondVersion CondKind = iota + 1 // the key exists or is absent at exactly this Version
	CondExists                      // the key exists
	CondAbsent                      // the key is absent
	CondValue                       // the key exists with exactly this Value
)

// Cond is a test on one key.
type Cond struct {
	Kind    CondKind `cbor:"1,keyasint"`
	Key     Key      `cbor:"2,keyasint"`
	Version Version  `cbor:"3,keyasint,omitempty"`
	Value   []byte   `cbor:"4,keyasint,omitempty"`
}

// Txn is one atomic if/then/else: where all of If hold, Then is carried out, else Else. The steps of a branch are carried
// out in their order, each on what the ones before left, also where they name the same key.
type Txn struct {
	ID   RequestID `cbor:"1,keyasint,omitempty"`
	If   []Cond    `cbor:"2,keyasint,omitempty"`
	Then []Op      `cbor:"3,keyasint,omitempty"`
	Else []Op      `cbor:"4,keyasint,omitempty"`
	// Age, if set, is when the client first tried the transaction, in Unix nanoseconds by the client's clock. The client keeps it
	// when it tries again on what it has read since. If transactions meet, the older goes first; nothing but fairness depends on
	// it. It is a claim: the gateway believes it up to a bound, so that a client gains little by a false one.
	Age uint64 `cbor:"7,keyasint,omitempty"`
}

// Keys are all keys that t names, each once, sorted. The first is the anchor of its RequestID.
func (t *Txn) Keys() []Key { return t.KeysInto(nil) }

// KeysInto is Keys, in the memory of to, whose content is lost.
func (t *Txn) KeysInto(to []Key) []Key {
	ks := slices.Grow(to[:0], len(t.If)+len(t.Then)+len(t.Else))
	for _, c := range t.If {
		ks = append(ks, c.Key)
	}
	for _, o := range t.Then {
		ks = append(ks, o.Key)
	}
	for _, o := range t.Else {
		ks = append(ks, o.Key)
	}
	return sortKeys(ks)
}

// WrittenKeys are the keys that either branch may change, each once, sorted.
func (t *Txn) WrittenKeys() []Key { return t.WrittenKeysInto(nil) }

// WrittenKeysInto is WrittenKeys, in the memory of to, whose content is lost.
func (t *Txn) WrittenKeysInto(to []Key) []Key {
	ks := to[:0]
	for _, b := range [2][]Op{t.Then, t.Else} {
		for _, o := range b {
			if o.Writes() {
				ks = append(ks, o.Key)
			}
		}
	}
	return sortKeys(ks)
}

// TxnResult tells what a transaction did.
type TxnResult struct {
	Committed bool `cbor:"1,keyasint,omitempty"` // whether If held, and so Then was carried out
	// Entries holds one Entry for each step of the branch that ran (a write's Value is left out, but for OpAdd). Where If
	// did not hold and Else is empty, it holds instead the present state, without values, of the keys of If, in their order.
	Entries []Entry `cbor:"2,keyasint,omitempty"`
	Version Version `cbor:"3,keyasint,omitempty"` // of every write of this transaction
	Group   GroupID `cbor:"4,keyasint,omitempty"`
	// Replayed: the result was stored by an earlier attempt with the same RequestID.
	Replayed bool   `cbor:"5,keyasint,omitempty"`
	Timing   Timing `cbor:"6,keyasint,omitempty"`
}

// Timing tells where the time of one request went, measured by whom it was spent.
type Timing struct {
	Route  time.Duration `cbor:"1,keyasint,omitempty"` // finding and reaching the owner, without what follows
	Revoke time.Duration `cbor:"2,keyasint,omitempty"` // waiting for lease holders
	Commit time.Duration `cbor:"3,keyasint,omitempty"` // the log, or the confirm round of a read
	// Delayed names the holders that made a write wait for expiry or longest, at most four of them.
	Delayed []Delay `cbor:"4,keyasint,omitempty"`
	// Mode is how a transaction was carried out, where that was chosen: "m0", "m1", "m2" or "m3".
	Mode string `cbor:"5,keyasint,omitempty"`
}

// Delay is how long one lease holder kept a write waiting.
type Delay struct {
	Node NodeID        `cbor:"1,keyasint"`
	Wait time.Duration `cbor:"2,keyasint"`
}

// ListRequest asks for a page of a range.
type ListRequest struct {
	Range    Range `cbor:"1,keyasint"`
	Limit    int   `cbor:"2,keyasint,omitempty"` // 0 is DefaultListLimit
	Reverse  bool  `cbor:"3,keyasint,omitempty"`
	KeysOnly bool  `cbor:"4,keyasint,omitempty"`
	// Consistency and MaxStale are as in ReadRequest: a list that is not Bounded or Stale asks the owners.
	Consistency Consistency   `cbor:"7,keyasint,omitempty"`
	MaxStale    time.Duration `cbor:"8,keyasint,omitempty"`
}

// ListResult is a page.
type ListResult struct {
	Entries []Entry `cbor:"1,keyasint,omitempty"`
	// More: there are entries beyond this page: after the last key of the page (before it, if reversed).
	More bool `cbor:"2,keyasint,omitempty"`
	// Stale: a replica answered part of it, with a state that may be Age old.
	Stale bool          `cbor:"3,keyasint,omitempty"`
	Age   time.Duration `cbor:"4,keyasint,omitempty"`
}
