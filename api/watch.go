package api

import (
	"context"
	"time"
)

// Watcher reports what changes in a range of keys.
type Watcher interface {
	// Watch begins a watch of r.Range and returns its stream, which ends with ctx. A watch without From delivers every change
	// that becomes visible after Watch has returned: all that its caller causes from then on. Of changes that become visible while
	// Watch runs it delivers all after some moment. CodeInvalid for a Cursor that is not one, or that does not cover the range; CodeTooLarge
	// if the range has so many owners that no cursor has room for them; CodeUnavailable if the node has too many watchers or cannot
	// reach an owner now.
	Watch(ctx context.Context, r *WatchRequest) (WatchStream, error)
}

// WatchRequest says what to watch.
type WatchRequest struct {
	Range Range
	// From is where to continue: the watch delivers what came after everything delivered up to there. "" is from now, and [Oldest] is
	// the oldest change that the owners of the range keep. A watch from Oldest first delivers a Gap for each part of the range whose
	// owner may lack changes, then a batch that is Ready, then what is kept.
	From Cursor
	// List first delivers what the range holds now, as EventPuts, then a batch that is Ready, then what changes. After a gap the
	// watch sends Reset and lists again. List and From exclude each other.
	List bool
	// Collapse delivers only the newest event of a key if the watcher is behind.
	Collapse bool
	// KeysOnly leaves the values out.
	KeysOnly bool
}

// WatchStream is the stream of one watch. One goroutine at a time may use it.
type WatchStream interface {
	// Next returns the next batch, and waits for it. A batch is shared with other watchers and must not be changed. The error says
	// why the watch ended; a watch that continues from the last Cursor misses nothing.
	Next() (*WatchBatch, error)
	// Close ends the watch and lets go of what it holds.
	Close() error
}

// Cursor is a position in a watched range. Every node understands it. Its text means nothing to programs, which only keep it.
// It is no credential: each watch is checked for its own rights.
type Cursor string

// Oldest stands for a Cursor where the history that is kept begins. It is none itself: a watch from it has Cursors of its own.
const Oldest Cursor = "oldest"

// WatchBatch is what a watch delivers at once.
type WatchBatch struct {
	// Events are what changed, in order. Of one key each version comes once, in order. Of one group the events come in the order in which
	// they became visible, and those of one transaction together. Events of several groups have no order.
	Events []Event
	// Cursor is where a watch continues that has seen all up to this batch. It is "" if the batch is not whole: then what came
	// after the last Cursor comes again.
	Cursor Cursor
	// Ready means that the watch has begun; with List, that everything the range held has been delivered. Only the gaps of a watch
	// from [Oldest] come before it.
	Ready bool
	// Reset means that a List begins again: forget what was delivered before.
	Reset bool
	// Gap, if set, says that changes are missing at this place. The stream goes on behind the gap.
	Gap *Gap
	// Age bounds how far the watch is behind: every change that was acknowledged longer ago than that has been delivered. It is set in
	// batches without events, at least every 10 s. It is the greatest Duration if it is not known.
	Age time.Duration
}

// EventKind is the kind of an Event.
type EventKind uint8

// The kinds of events.
const (
	EventPut    EventKind = iota + 1 // the key has Value
	EventDelete                      // the key was deleted
	EventExpire                      // the key's time to live was over
)

func (k EventKind) String() string { return [...]string{"", "put", "delete", "expire"}[k&3] }

// Event is one change of one key.
type Event struct {
	Kind    EventKind `cbor:"1,keyasint"`
	Key     Key       `cbor:"2,keyasint"`
	Version Version   `cbor:"3,keyasint"`
	Value   []byte    `cbor:"4,keyasint,omitempty"`
	// Elided means that Value is left out though there is one: it was large, and a later version has replaced it.
	Elided bool `cbor:"5,keyasint,omitempty"`
	// TTL is what was left of the key's time to live when the event was sent, 0 if it has no deadline.
	TTL time.Duration `cbor:"6,keyasint,omitempty"`
	// Txn is the same for the events of one transaction across groups, 0 for all others.
	Txn uint64 `cbor:"7,keyasint,omitempty"`
}

// GapReason says why changes are missing.
type GapReason string

// The reasons of gaps.
const (
	GapTrimmed  GapReason = "trimmed"  // the history was longer than is kept
	GapRestored GapReason = "restored" // the group was restored from a backup
	GapGone     GapReason = "gone"     // the range has moved, and its old owner's history is gone, or not read by a watch from Oldest
)

// Gap says that changes of keys in Range are missing. List the range after the gap to know what it holds, and take the newer
// version of each key of the list and of the watch.
type Gap struct {
	Range  Range
	Reason GapReason
}
