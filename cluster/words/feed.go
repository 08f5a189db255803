package words

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// MaxFeedPieces bounds the pieces of one feed, and those beside it.
const MaxFeedPieces = 1024

// Apart is the code with which a feed of several pieces ends if the node that leads the group serves one piece at a time: it runs an
// older version. It does not go from node to node.
const Apart api.Code = "apart"

// Feeder reports what changes in a part of the keyspace that one group owns.
type Feeder interface {
	// Feed begins a feed of pieces of one group. It ends with ctx, with the lead of the node that serves it, and after a batch that
	// has Moved or is Halted.
	Feed(ctx context.Context, r *FeedRequest) (Feed, error)
}

// Feed is the stream of one piece, or of several pieces of one group. One goroutine at a time may use it.
type Feed interface {
	// Next returns the next batch, and waits for it. The first one comes at once and says where the feed begins: it has no events.
	// Later ones come when there are events, and without events about once a second. Batches may be shared and must not be changed.
	// After a batch that has Moved or is Halted the error is io.EOF. CodeWrongGroup means that the group does not own the piece and
	// never gave it up, also by the newest map; of a feed of several pieces it means only that this holds for one of them at the
	// node that leads, and of one from a position in the piece only that the leader says so. [Apart] means that the node serves one piece at a time. CodeNotLeader and CodeUnavailable mean that the feed
	// may go on at the last position, perhaps from another node.
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
	// Also are more pieces of the group, with keys of their own, whose changes come in the same feed: what one command changed in
	// several of them comes in one batch. A node that serves one piece at a time does not know of them: see FeedBatch.Parts.
	Also []FeedPart `cbor:"5,keyasint,omitempty"`
	// Beside are pieces of other groups that the caller follows too. If the group has taken over keys of one of them, the feed is
	// Halted before it delivers a change from after that: the caller has to follow both pieces in one feed. With Now it is Halted at once
	// also if the group has given these keys up again.
	Beside []Piece `cbor:"6,keyasint,omitempty"`
}

// FeedPart is one of several pieces of a feed, and what the caller has of it.
type FeedPart struct {
	Piece `cbor:"1,keyasint"`
	After Position `cbor:"2,keyasint,omitempty"`
}

// Parts returns all pieces of the feed.
func (r *FeedRequest) Parts() []FeedPart {
	return append([]FeedPart{{r.Piece, r.After}}, r.Also...)
}

// FeedEvent is an event of a group. It became visible at Index.
type FeedEvent struct {
	api.Event `cbor:"1,keyasint"`
	Index     uint64 `cbor:"2,keyasint"`
}

// FeedBatch is what a feed delivers at once. It ends between two commands of the group.
type FeedBatch struct {
	Events []FeedEvent `cbor:"1,keyasint,omitempty"`
	// To is the position up to which everything of the piece has been delivered: of each piece that is not beyond it already.
	To Position `cbor:"2,keyasint"`
	// Age bounds how old the position is: everything of the piece that was acknowledged longer ago has been delivered. It is 0
	// if that is not known, as in most batches with events.
	Age time.Duration `cbor:"3,keyasint,omitempty"`
	// AsOf is the instant that Age counts from, by the clock of this node. It is zero if Age is not known.
	AsOf time.Time `cbor:"-"`
	// Gap, if not "", says why changes between the position asked for and To are missing.
	Gap api.GapReason `cbor:"4,keyasint,omitempty"`
	// Moved means that the group gave the piece up, and that all its changes of it have been delivered.
	Moved *Moved `cbor:"5,keyasint,omitempty"`
	// Parts says of each piece of a feed of several where it is before the events of the batch. The first batch has it, and each one
	// with a gap, in place of Gap. A first batch without it is that of a node which serves the first piece alone.
	Parts []PartBegin `cbor:"6,keyasint,omitempty"`
	// Halted means that the group owned, behind To, keys of one of the pieces in Beside. The feed ends; the caller asks for one that
	// has that piece too, or names the pieces that it follows by then.
	Halted bool `cbor:"7,keyasint,omitempty"`
}

// After returns where the i-th piece of a feed is behind the batch, if it was at before: a piece that is beyond a batch stays there.
func (b *FeedBatch) After(i int, before Position) Position {
	if i < len(b.Parts) {
		before = b.Parts[i].To
	}
	if b.Gap == "" && before.Incarnation == b.To.Incarnation && before.Index > b.To.Index {
		return before
	}
	return b.To
}

// Last reports whether no batch follows.
func (b *FeedBatch) Last() bool { return b.Moved != nil || b.Halted }

// PartBegin is where a piece of a feed goes on. Gap, if not "", says why changes before that are missing.
type PartBegin struct {
	To  Position      `cbor:"1,keyasint"`
	Gap api.GapReason `cbor:"2,keyasint,omitempty"`
}

// Moved says who may own the keys of Range, a part of the piece, at Epoch. What is left of the piece is still the group's. Part is the
// place of the piece among those of the feed.
type Moved struct {
	Range api.Range     `cbor:"1,keyasint,omitempty"`
	Epoch uint64        `cbor:"2,keyasint"`
	To    []api.GroupID `cbor:"3,keyasint,omitempty"`
	Part  uint32        `cbor:"4,keyasint,omitempty"`
}

// AgeOf returns how long ago an instant of this node was, by the clock that shows more: one of them stops while the machine is
// suspended. It is at least a nanosecond.
func AgeOf(asOf time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(asOf), now.Round(0).Sub(asOf.Round(0)), 1)
}
