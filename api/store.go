package api

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Store reads keys and carries out transactions. It is the only interface between a caller and a group's log.
//
// All implementations are safe for concurrent use and return errors that are or wrap [*Error]. They check each request, so that
// no front has to: a request that its Check refuses is refused with that error. The caller must not change a request until the
// call has returned, and must never change values that a Store returned: they may be shared with a cache.
type Store interface {
	// Read fills out with one Entry for each key, in the order of the request, including absent keys (Entry.Exists is false).
	// Each key is read by itself at the requested consistency. Several keys are one snapshot only if out.Snapshot is set.
	//
	// out belongs to the caller and must not be nil. Read overwrites it, and reuses its Entries if they are large enough. After
	// an error its content is meaningless. Once Read has returned, the Store keeps neither r nor out. If out.ServedBy is
	// [ServedByLease], it does not keep ctx either.
	Read(ctx context.Context, r *ReadRequest, out *ReadResult) error
	// Do carries out one transaction atomically, and at most once if it has an ID. It returns CodeAmbiguous if the outcome is
	// unknown. Any other error except CodeInternal means that the transaction was not applied.
	Do(ctx context.Context, t *Txn) (*TxnResult, error)
}

// Lister lists ranges of keys.
type Lister interface {
	// List returns the entries of the range in key order, reversed if requested: at most Limit entries and MaxListBytes bytes.
	// The list is linearizable per group. Several pages, or entries of several groups, are not one snapshot.
	List(ctx context.Context, r *ListRequest) (*ListResult, error)
}

// Consistency is what a read guarantees.
type Consistency uint8

const (
	// Linearizable reads see every write that returned before they began. A lease or the owner may answer.
	Linearizable Consistency = iota
	// Quorum is linearizable, and always asks the owner.
	Quorum
	// Bounded allows an answer that is at most ReadRequest.MaxStale old.
	Bounded
	// Stale allows an answer of any age. The answer says how old it may be.
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
	// Known, if not empty, has one version for each key. An entry that is still at that version comes without its value
	// (Entry.Unchanged).
	Known []Version `cbor:"6,keyasint,omitempty"`
	// Snapshot requires that all entries were current at one common instant between call and return: a strictly serializable
	// read-only transaction. Consistency must be Linearizable or Quorum.
	Snapshot bool `cbor:"7,keyasint,omitempty"`
}

// ServedBy says which kind of copy answered a read.
type ServedBy uint8

// The kinds of answers: from the key's owner, under a lease at the node, or stale. See ReadResult.ServedBy.
const (
	ServedByOwner ServedBy = iota
	ServedByLease
	ServedByStale
)

func (s ServedBy) String() string { return [...]string{"owner", "lease", "stale"}[s%3] }

// Entry is the state of a key at one version.
type Entry struct {
	Key     Key     `cbor:"1,keyasint"`
	Value   []byte  `cbor:"2,keyasint,omitempty"`
	Version Version `cbor:"3,keyasint,omitempty"` // of an absent key: the version of its absence
	Exists  bool    `cbor:"4,keyasint,omitempty"`
	// Unchanged means that the key is at the version in ReadRequest.Known. Value is left out.
	Unchanged bool `cbor:"6,keyasint,omitempty"`
	// Elided means that this answers a repeated request, and that the value in the first answer was too long to be stored. Exists
	// and Version are those of the first answer. Value is unknown.
	Elided bool `cbor:"7,keyasint,omitempty"`
	// TTL is how long the key had still to live when this was answered, at least 1; 0 means that it has no deadline.
	TTL time.Duration `cbor:"8,keyasint,omitempty"`
}

// ErrElided means that the first answer to a request had a value, and that the answer to its repetition does not, because the
// value was too long to be stored. The request took effect exactly once. Read the key to get its current value.
var ErrElided = errors.New("elided: the value of the first answer was too long to be kept for a repetition")

// Known returns the value, or [ErrElided] if it was elided. An elided value must not be mistaken for an empty one.
func (e *Entry) Known() ([]byte, error) {
	if e.Elided {
		return nil, ErrElided
	}
	return e.Value, nil
}

// ReadResult is the answer to a ReadRequest.
type ReadResult struct {
	Entries  []Entry  `cbor:"1,keyasint"`
	ServedBy ServedBy `cbor:"2,keyasint,omitempty"` // the weakest of all entries: stale, else owner, else lease
	Group    GroupID  `cbor:"3,keyasint,omitempty"` // the owner, or "" if there are several
	// Age is how old a stale answer may be: now minus the last instant at which it was known to be current.
	Age time.Duration `cbor:"4,keyasint,omitempty"`
	// Snapshot means that all entries were current at one common instant between call and return.
	Snapshot bool   `cbor:"5,keyasint,omitempty"`
	Timing   Timing `cbor:"6,keyasint,omitempty"`
}

// CondKind is the kind of a Cond.
type CondKind uint8

// The kinds of conditions.
const (
	CondVersion CondKind = iota + 1 // the key exists, or is absent, at exactly this Version
	CondExists                      // the key exists
	CondAbsent                      // the key is absent
	CondValue                       // the key exists and has exactly this Value
)

// Cond is a condition on one key.
type Cond struct {
	Kind    CondKind `cbor:"1,keyasint"`
	Key     Key      `cbor:"2,keyasint"`
	Version Version  `cbor:"3,keyasint,omitempty"`
	Value   []byte   `cbor:"4,keyasint,omitempty"`
}

// Txn is an atomic if/then/else. If all conditions in If hold, the steps in Then are carried out, otherwise those in Else. The
// steps of a branch are carried out in order. Each step sees the effects of the steps before it, including those on the same key.
type Txn struct {
	ID   RequestID `cbor:"1,keyasint,omitempty"`
	If   []Cond    `cbor:"2,keyasint,omitempty"`
	Then []Op      `cbor:"3,keyasint,omitempty"`
	Else []Op      `cbor:"4,keyasint,omitempty"`
	// Age, if set, is when the client first tried the transaction, in Unix nanoseconds of the client's clock. The client keeps it
	// when it repeats a transaction with newly read data. If two transactions conflict, the older one goes first; nothing else
	// depends on Age. The gateway accepts it only up to a bound, so a client gains little from a false one.
	Age uint64 `cbor:"7,keyasint,omitempty"`
}

// Keys returns all keys that t names, sorted and without duplicates. The first is the anchor of the RequestID.
func (t *Txn) Keys() []Key { return t.KeysInto(nil) }

// KeysInto is like Keys, but reuses the memory of to and overwrites its content.
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

// WrittenKeys returns the keys that either branch may change, sorted and without duplicates.
func (t *Txn) WrittenKeys() []Key { return t.WrittenKeysInto(nil) }

// WrittenKeysInto is like WrittenKeys, but reuses the memory of to and overwrites its content.
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

// TxnResult is the result of a transaction.
type TxnResult struct {
	Committed bool `cbor:"1,keyasint,omitempty"` // whether If held, so that Then was carried out
	// Entries has one Entry for each step of the branch that ran. Entries of writes have no Value, except those of OpAdd and
	// OpAppend. If the conditions did not hold and Else is empty, Entries has instead the current state, without values, of the keys of If, in
	// order.
	Entries []Entry `cbor:"2,keyasint,omitempty"`
	Version Version `cbor:"3,keyasint,omitempty"` // of every write of this transaction
	Group   GroupID `cbor:"4,keyasint,omitempty"`
	// Replayed means that the result was stored by an earlier attempt with the same RequestID.
	Replayed bool   `cbor:"5,keyasint,omitempty"`
	Timing   Timing `cbor:"6,keyasint,omitempty"`
	// Lists has the keys, with their versions, that each OpList of the branch that ran listed, in order. A replayed result has none.
	Lists [][]Entry `cbor:"7,keyasint,omitempty"`
}

// Timing says where the time of one request was spent. Each part is measured by the node that spent it.
type Timing struct {
	Route  time.Duration `cbor:"1,keyasint,omitempty"` // finding and reaching the owner, without the parts below
	Revoke time.Duration `cbor:"2,keyasint,omitempty"` // waiting for lease holders
	Commit time.Duration `cbor:"3,keyasint,omitempty"` // the log, or the confirmation round of a read
	// Delayed lists the lease holders that delayed a write the longest or until their leases expired, at most four of them.
	Delayed []Delay `cbor:"4,keyasint,omitempty"`
	// Mode says how a transaction was carried out, if there was a choice: "m0", "m1", "m2" or "m3".
	Mode string `cbor:"5,keyasint,omitempty"`
}

// Delay is how long one lease holder delayed a write.
type Delay struct {
	Node NodeID        `cbor:"1,keyasint"`
	Wait time.Duration `cbor:"2,keyasint"`
}

// ListRequest asks for one page of a range.
type ListRequest struct {
	Range    Range `cbor:"1,keyasint"`
	Limit    int   `cbor:"2,keyasint,omitempty"` // 0 means DefaultListLimit
	Reverse  bool  `cbor:"3,keyasint,omitempty"`
	KeysOnly bool  `cbor:"4,keyasint,omitempty"`
	// Consistency and MaxStale are as in ReadRequest. A list that is neither Bounded nor Stale asks the owners.
	Consistency Consistency   `cbor:"7,keyasint,omitempty"`
	MaxStale    time.Duration `cbor:"8,keyasint,omitempty"`
	// Cursor is that of the page before, if this asks for a further page.
	Cursor Cursor `cbor:"9,keyasint,omitempty"`
	// Also are further lists, made in the same view: all pages show what their keys held at one instant. All keys of all ranges must
	// have one owner and be of one range of the placement map, such as keys that share their first two segments: CodeInvalid says so
	// otherwise. The pages together have at most MaxListBytes bytes, or one entry. So a page may have More and no entry, if the pages
	// before it have taken the room. At most MaxListParts, and Range has to be one that can have keys.
	Also []ListPart `cbor:"10,keyasint,omitempty"`
}

// ListPart is one of several lists that one request asks for.
type ListPart struct {
	Range    Range `cbor:"1,keyasint"`
	Limit    int   `cbor:"2,keyasint,omitempty"` // as in ListRequest
	Reverse  bool  `cbor:"3,keyasint,omitempty"`
	KeysOnly bool  `cbor:"4,keyasint,omitempty"`
}

// ListResult is one page of a list.
type ListResult struct {
	Entries []Entry `cbor:"1,keyasint,omitempty"`
	// More means that there are entries beyond this page: after its last key, or before it if the list is reversed.
	More bool `cbor:"2,keyasint,omitempty"`
	// Stale means that a replica answered part of the page, with a state that may be Age old.
	Stale bool          `cbor:"3,keyasint,omitempty"`
	Age   time.Duration `cbor:"4,keyasint,omitempty"`
	// Cursor is where a watch of Range continues: with what changed after the first page was read. The next page must be asked for
	// with it, and the cursor of the last page is the one to watch from. It is "" if the page may be stale.
	Cursor Cursor `cbor:"5,keyasint,omitempty"`
	// Also has a page for each of ListRequest.Also, in order.
	Also []ListPage `cbor:"6,keyasint,omitempty"`
}

// ListPage is the page of a [ListPart].
type ListPage struct {
	Entries []Entry `cbor:"1,keyasint,omitempty"`
	More    bool    `cbor:"2,keyasint,omitempty"` // as in ListResult
}
