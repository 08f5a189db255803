package words

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Feeder tells what changes in a part of the keyspace that one group owns.
type Feeder interface {
	// Feed begins a feed of one piece. It ends with ctx, with the lead of the node that serves it, and after a batch that has Moved.
	Feed(ctx context.Context, r *FeedRequest) (Feed, error)
}

// Feed is the stream of one piece. One goroutine at a time may use it.
type Feed interface {
	// Next returns the next batch, and waits for it. The first one comes at once and says where the feed begins: it has no events.
	// Later ones come when there are events, and without events about once a second. Batches may be shared and must not be changed.
	// After a batch that has Moved the error is io.EOF. CodeWrongGroup means that the group does not own the piece and never gave
	// it up, and that the newest map says no otherwise; CodeNotLeader and CodeUnavailable that the feed may go on at the last
	// position, perhaps from another node.
	Next() (*FeedBatch, error)
	// Close ends the feed. It may be called beside Next, which then fails.
	Close() error
}

// Piece is a part of the keyspace that one group owns at one epoch: the keys of Range in shard Index of Of.
type Piece struct {
	Range api.Range   `cbor:"1,keyasint,omitempty"`
	Index uint32      `cbor:"2,keyasint,omitempty"`
	Of    uint32      `cbor:"3,keyasint,omitempty"`
	Epoch uint64      `cbor:"4,keyasint,omitempty"`
	Group api.GroupID `cbor:"5,keyasint,omitempty"`
}

// Position is a value of one group's command counter. Positions of different incarnations have nothing to do with each other.
type Position struct {
	Incarnation uint64 `cbor:"1,keyasint,omitempty"`
	Index       uint64 `cbor:"2,keyasint,omitempty"`
}

// FeedRequest says where a feed begins.
type FeedRequest struct {
	Piece `cbor:"1,keyasint"`
	// After is what the caller has. With an Index of 0 the feed begins where the group took the piece over.
	After Position `cbor:"2,keyasint,omitempty"`
	// Now begins the feed with what comes after the request, whatever After is. If the first batch has Moved, the feed of the new
	// owner begins with Now as well.
	Now bool `cbor:"3,keyasint,omitempty"`
	// KeysOnly leaves the values out.
	KeysOnly bool `cbor:"4,keyasint,omitempty"`
}

// FeedEvent is an event of a group. It became visible at Index.
type FeedEvent struct {
	api.Event `cbor:"1,keyasint"`
	Index     uint64 `cbor:"2,keyasint"`
}

// FeedBatch is what a feed tells at once. It ends between two commands of the group.
type FeedBatch struct {
	Events []FeedEvent `cbor:"1,keyasint,omitempty"`
	// To is the position up to which everything of the piece has been told.
	To Position `cbor:"2,keyasint"`
	// Age is how old the position may be: everything of the piece that was acknowledged longer ago has been told. It is 0 if
	// that is not known, as in most batches with events.
	Age time.Duration `cbor:"3,keyasint,omitempty"`
	// AsOf is the instant that Age counts from, by the clock of this node. It is zero if Age is not known.
	AsOf time.Time `cbor:"-"`
	// Gap, if not "", says why what lies between the position asked for and To cannot be told.
	Gap api.GapReason `cbor:"4,keyasint,omitempty"`
	// Moved means that the group gave the piece up, and has told all that it knows of it.
	Moved *Moved `cbor:"5,keyasint,omitempty"`
}

// Moved says who may own the keys of Range, a part of the piece, at Epoch. What is left of the piece is still the group's.
type Moved struct {
	Range api.Range     `cbor:"1,keyasint,omitempty"`
	Epoch uint64        `cbor:"2,keyasint"`
	To    []api.GroupID `cbor:"3,keyasint,omitempty"`
}

// AgeOf returns how long ago an instant of this node was, by the clock that shows more: one of them stops while the machine is
// suspended. It is at least a nanosecond.
func AgeOf(asOf time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(asOf), now.Round(0).Sub(asOf.Round(0)), 1)
}
