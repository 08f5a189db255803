package api

import (
	"context"
	"time"
)

// Lessor gives and ends leases for one group, at its leader (PROTOCOL 4). Grants come with [Store].Read.
type Lessor interface {
	// OpenSession opens a session in the log. The holder counts its first term from before it called.
	// CodeInvalid where T or P are over the group's maxima.
	OpenSession(ctx context.Context, o OpenSession) (SessionGrant, error)
	// CloseSession ends a session that its holder has stopped using; unknown ones are already ended.
	CloseSession(ctx context.Context, g GroupID, sid SessionID, nonce Nonce) error
	// Release gives leases up that the holder has already dropped (eviction).
	Release(ctx context.Context, g GroupID, leases []DroppedLease) error
}

// OpenSession asks for a session.
type OpenSession struct {
	Group GroupID `cbor:"1,keyasint"`
	Node  NodeID  `cbor:"2,keyasint"`
	Nonce Nonce   `cbor:"3,keyasint"`
	// Term (T) is how long the holder uses its leases after it sent the newest answered keep-alive.
	Term time.Duration `cbor:"4,keyasint"`
	// Pause (P) is what the holder's clock may lose unseen per term.
	Pause time.Duration `cbor:"5,keyasint,omitempty"`
}

// SessionGrant is an opened session.
type SessionGrant struct {
	Session    SessionID `cbor:"1,keyasint"`
	DedupEpoch uint64    `cbor:"2,keyasint,omitempty"`
}

// KeepAlive is one message from a holder to one peer; it covers all the holder's sessions in groups with a voter there.
type KeepAlive struct {
	Node  NodeID `cbor:"1,keyasint"`
	Nonce Nonce  `cbor:"2,keyasint"`
	// Seq is the holder's own number for this message: the answers repeat it.
	Seq uint64 `cbor:"3,keyasint"`
	// Clock is the holder's own clock at sending, for the rate detector.
	Clock    ClockSample        `cbor:"4,keyasint"`
	Sessions []SessionKeepAlive `cbor:"5,keyasint,omitempty"`
}

// SessionKeepAlive is one session's part of a KeepAlive.
type SessionKeepAlive struct {
	Group   GroupID   `cbor:"1,keyasint"`
	Session SessionID `cbor:"2,keyasint"`
}

// SessionStatus is the answer for one session. A group that is slow, or is not led by the peer, gives none.
type SessionStatus struct {
	Group   GroupID   `cbor:"1,keyasint"`
	Session SessionID `cbor:"2,keyasint"`
	Seq     uint64    `cbor:"3,keyasint"` // of the KeepAlive that it answers
	// Extended: the session counts its term anew from when KeepAlive Seq was sent.
	Extended bool `cbor:"4,keyasint,omitempty"`
	// Dead: the session has ended for good; its leases are gone. Neither: no renewal now (refused, or SUSPECT).
	Dead bool `cbor:"5,keyasint,omitempty"`
	// Pending are revocations not acknowledged yet.
	Pending    []RevokedLease `cbor:"6,keyasint,omitempty"`
	DedupEpoch uint64         `cbor:"7,keyasint,omitempty"`
	// Leases counts the leases that the group holds for the session.
	Leases int `cbor:"8,keyasint,omitempty"`
}

// RevokedLease ends the lease on Key with the given id and every earlier one.
type RevokedLease struct {
	Key   Key     `cbor:"1,keyasint"`
	Lease LeaseID `cbor:"2,keyasint"`
}

// Revocation is a batch of revocations for one session.
type Revocation struct {
	Group   GroupID        `cbor:"1,keyasint"`
	Session SessionID      `cbor:"2,keyasint"`
	Leases  []RevokedLease `cbor:"3,keyasint"`
}

// RevokeAck says that the holder will not use these leases again. Only the process that opened the session, as its
// nonce shows, may acknowledge for it.
type RevokeAck struct {
	Group   GroupID        `cbor:"1,keyasint"`
	Session SessionID      `cbor:"2,keyasint"`
	Nonce   Nonce          `cbor:"3,keyasint"`
	Leases  []RevokedLease `cbor:"4,keyasint"`
}

// LeaseStream is a holder's stream to one peer: keep-alives and acknowledgements go up, statuses and revocations come
// down. Sends are safe for concurrent use; Recv belongs to one goroutine. Both end with the stream's context.
type LeaseStream interface {
	SendKeepAlive(k *KeepAlive) error
	SendAck(a *RevokeAck) error
	// Recv returns the next message, with exactly one field set.
	Recv() (LeaseEvent, error)
	Close() error
}

// LeaseEvent comes down a LeaseStream: exactly one field is set.
type LeaseEvent struct {
	Statuses []SessionStatus `cbor:"1,keyasint,omitempty"`
	Revoke   *Revocation     `cbor:"2,keyasint,omitempty"`
	Leads    *Leads          `cbor:"3,keyasint,omitempty"`
}

// Leads announces that the peer leads a group.
type Leads struct {
	Group GroupID `cbor:"1,keyasint"`
	Term  Term    `cbor:"2,keyasint"`
	Node  NodeID  `cbor:"3,keyasint"`
}

// ClockSample is one reading of the two clocks of PROTOCOL 4, each counted from an arbitrary origin.
type ClockSample struct {
	Boottime time.Duration `cbor:"1,keyasint"` // CLOCK_BOOTTIME: sees suspends, is slewed
	Raw      time.Duration `cbor:"2,keyasint"` // CLOCK_MONOTONIC_RAW: is not slewed, stops on suspend
}

// HolderElapsed is the time since from as a lease's holder must count it: the greater of the two differences.
func (s ClockSample) HolderElapsed(from ClockSample) time.Duration {
	return max(s.Boottime-from.Boottime, s.Raw-from.Raw)
}

// GrantorElapsed is the time since from as the grantor must count it: the smaller of the two differences.
func (s ClockSample) GrantorElapsed(from ClockSample) time.Duration {
	return min(s.Boottime-from.Boottime, s.Raw-from.Raw)
}

// Clock is the pair of clocks by which leases are judged. Safe for concurrent use. Real ones cost a syscall or two per
// sample: take one for a batch of requests that have all arrived.
type Clock interface {
	Now() ClockSample
}

// GrantorWait is W: how long a grantor waits after the last extension of a session with term t and pause allowance p
// before it may take the leases for expired, with clock rates within 1±[ClockRateError].
func GrantorWait(t, p time.Duration) time.Duration {
	return time.Duration((1+ClockRateError)*(float64(t)/(1-ClockRateError)+float64(p))) + 1
}

// ClockRateError is eps: how far a clock's rate may be from that of true time.
const ClockRateError = 0.01

// Defaults of leases.
const (
	DefaultLeaseTerm     = 4 * time.Second
	DefaultKeepAlive     = 1 * time.Second
	MaxLeaseTerm         = 60 * time.Second
	MaxPause             = 10 * time.Second
	SuspectAfterNoAnswer = 1 * time.Second
)
