package words

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Lessor opens and ends sessions and leases for one group, at its leader. Grants come with [Store].
type Lessor interface {
	// OpenSession opens a session in the log. The holder counts its first term from before the call. The error is
	// CodeInvalid if T or P is over the group's maximum.
	OpenSession(ctx context.Context, o OpenSession) (SessionGrant, error)
	// CloseSession ends a session that its holder no longer uses. A session that is unknown has already ended.
	CloseSession(ctx context.Context, g api.GroupID, sid ident.SessionID, nonce ident.Nonce) error
	// Release gives up leases that the holder has already dropped (eviction).
	Release(ctx context.Context, g api.GroupID, leases []ident.DroppedLease) error
}

// OpenSession asks for a session.
type OpenSession struct {
	Group api.GroupID `cbor:"1,keyasint"`
	Node  api.NodeID  `cbor:"2,keyasint"` // set by the receiver, from the connection
	Nonce ident.Nonce `cbor:"3,keyasint"`
	// Term (T) is how long the holder uses its leases after it sent the newest answered keep-alive.
	Term time.Duration `cbor:"4,keyasint"`
	// Pause (P) is the time per term that the holder's clock may lose undetected.
	Pause time.Duration `cbor:"5,keyasint,omitempty"`
}

// SessionGrant is an opened session.
type SessionGrant struct {
	Session    ident.SessionID `cbor:"1,keyasint"`
	DedupEpoch uint64          `cbor:"2,keyasint,omitempty"`
	// Now is as in SessionStatus, at some instant between call and return.
	Now uint64 `cbor:"3,keyasint,omitempty"`
}

// KeepAlive is one message from a holder to one peer. It covers all the holder's sessions in groups with a voter there.
type KeepAlive struct {
	Node  api.NodeID  `cbor:"1,keyasint"` // set by the receiver, from the connection
	Nonce ident.Nonce `cbor:"2,keyasint"`
	// Seq is the holder's own number for this message. The answers repeat it.
	Seq uint64 `cbor:"3,keyasint"`
	// Clock is the holder's own clock at sending, for the rate detector.
	Clock    ClockSample        `cbor:"4,keyasint"`
	Sessions []SessionKeepAlive `cbor:"5,keyasint,omitempty"`
}

// SessionKeepAlive is one session's part of a KeepAlive.
type SessionKeepAlive struct {
	Group   api.GroupID     `cbor:"1,keyasint"`
	Session ident.SessionID `cbor:"2,keyasint"`
}

// SessionStatus is the answer for one session. A group that is slow, or that the peer does not lead, sends none.
type SessionStatus struct {
	Group   api.GroupID     `cbor:"1,keyasint"`
	Session ident.SessionID `cbor:"2,keyasint"`
	Seq     uint64          `cbor:"3,keyasint"` // of the KeepAlive that it answers
	// Extended reports whether the session counts its term anew from when KeepAlive Seq was sent.
	Extended bool `cbor:"4,keyasint,omitempty"`
	// Dead reports whether the session has ended for good and its leases are gone. If neither is set, the session is
	// not renewed now (refused, or SUSPECT).
	Dead bool `cbor:"5,keyasint,omitempty"`
	// Pending are the revocations that are not acknowledged yet.
	Pending    []RevokedLease `cbor:"6,keyasint,omitempty"`
	DedupEpoch uint64         `cbor:"7,keyasint,omitempty"`
	// Leases counts the leases that the group holds for the session.
	Leases int `cbor:"8,keyasint,omitempty"`
	// Index is the group's command counter, and Now its time in milliseconds. Both were read after the confirm that the keep-alive
	// began, so the counter covers everything that was acknowledged before the keep-alive was sent. 0 means that they are not
	// known: of Now, that the group keeps no time yet.
	Index uint64 `cbor:"9,keyasint,omitempty"`
	Now   uint64 `cbor:"10,keyasint,omitempty"`
}

// RevokedLease ends the lease on Key with the given id and every earlier one.
type RevokedLease struct {
	Key   api.Key       `cbor:"1,keyasint"`
	Lease ident.LeaseID `cbor:"2,keyasint"`
}

// Revocation is a batch of revocations for one session.
type Revocation struct {
	Group   api.GroupID     `cbor:"1,keyasint"`
	Session ident.SessionID `cbor:"2,keyasint"`
	Leases  []RevokedLease  `cbor:"3,keyasint"`
	// Traces are the spans of some of the writes that wait for it, in the bytes of package trace. The holder may continue them, and
	// goes by them in nothing else.
	Traces [][]byte `cbor:"4,keyasint,omitempty"`
}

// MaxTraces bounds [Revocation].Traces.
const MaxTraces = 8

// RevokeAck states that the holder will not use these leases again. Only the process that opened the session, as its
// nonce shows, may acknowledge for it.
type RevokeAck struct {
	Group   api.GroupID     `cbor:"1,keyasint"`
	Session ident.SessionID `cbor:"2,keyasint"`
	Nonce   ident.Nonce     `cbor:"3,keyasint"`
	Leases  []RevokedLease  `cbor:"4,keyasint"`
	// Node is the node that the stream comes from. The receiver sets it.
	Node api.NodeID `cbor:"-"`
}

// LeaseStream is a holder's stream to one peer. The holder sends keep-alives and acknowledgements, and receives
// statuses and revocations. Sends are safe for concurrent use. Recv belongs to one goroutine. Both end with the
// stream's context.
type LeaseStream interface {
	SendKeepAlive(k *KeepAlive) error
	SendAck(a *RevokeAck) error
	// Recv returns the next message, with exactly one field set.
	Recv() (LeaseEvent, error)
	Close() error
}

// LeaseEvent is a message that the holder receives from a LeaseStream. Exactly one field is set.
type LeaseEvent struct {
	Statuses []SessionStatus `cbor:"1,keyasint,omitempty"`
	Revoke   *Revocation     `cbor:"2,keyasint,omitempty"`
	Leads    *Leads          `cbor:"3,keyasint,omitempty"`
}

// Leads announces that the peer leads a group.
type Leads struct {
	Group api.GroupID `cbor:"1,keyasint"`
	Term  api.Term    `cbor:"2,keyasint"`
	Node  api.NodeID  `cbor:"3,keyasint"`
}

// Defaults of leases.
const (
	DefaultLeaseTerm     = 4 * time.Second
	DefaultKeepAlive     = 1 * time.Second
	MaxLeaseTerm         = 60 * time.Second
	MaxPause             = 10 * time.Second
	DefaultEdgeLeaseMax  = 8 * time.Second // of the term of an edge's session
	DefaultEdgePauseMax  = 2 * time.Second // of its pause allowance
	SuspectAfterNoAnswer = 1 * time.Second
)
