package api

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// NodeID names a process of the cluster, for life: "us-east-1".
type NodeID string

// RegionID names a place: "us-east".
type RegionID string

// GroupID names a Raft group: "us-east.1" is the first group of us-east, "meta" the group of the placement map.
type GroupID string

// Term is a Raft term.
type Term uint64

// SessionID names a session within its group, never twice: the incarnation of the group and the index of the
// SessionOpen in it. The zero SessionID is no session.
type SessionID struct {
	Incarnation uint64 `cbor:"1,keyasint,omitempty"`
	Index       uint64 `cbor:"2,keyasint,omitempty"`
}

// IsZero tells whether s is no session.
func (s SessionID) IsZero() bool { return s == SessionID{} }

func (s SessionID) String() string { return fmt.Sprintf("%d.%d", s.Incarnation, s.Index) }

// LeaseID is the index of the grant that gave the lease, in its group's command counter. Zero is no lease.
type LeaseID uint64

// ClientID names a client of at-most-once writes: drawn at random, or the hash of an opaque Idempotency-Key.
type ClientID [16]byte

// gatewayPrefix begins the client ids of gateways, and no others: see [RequestID.Check].
const gatewayPrefix = "gateway:"

// NewGatewayClient returns a client id for the transactions of a gateway that have no id of their own. No other process has
// it, and no client can use it.
func NewGatewayClient() ClientID {
	var c ClientID
	_, _ = rand.Read(c[copy(c[:], gatewayPrefix):]) // it never fails
	return c
}

// OfGateway reports whether the id is one of [NewGatewayClient].
func (c ClientID) OfGateway() bool { return string(c[:len(gatewayPrefix)]) == gatewayPrefix }

func (c ClientID) String() string { return hex.EncodeToString(c[:]) }

// RequestID makes a write take effect at most once (PROTOCOL 8). The zero RequestID asks for no such promise.
type RequestID struct {
	Client ClientID `cbor:"1,keyasint,omitempty"`
	// Seq rises by one with each write of the client; 0 stands for the single write of an opaque key.
	Seq uint64 `cbor:"2,keyasint,omitempty"`
	// AckedBelow promises that the client will never again send a Seq below it: their records may go.
	AckedBelow uint64 `cbor:"3,keyasint,omitempty"`
	// Epoch is the dedup epoch of the group that the request was first sent to, as known before that; zero if it is not known.
	Epoch DedupEpoch `cbor:"5,keyasint,omitzero"`
}

// Check reports whether a client may send the id. What a client has acknowledged concerns its own requests before this one: it
// cannot speak of later ones, and not as the client that a node is.
func (r RequestID) Check() error {
	switch {
	case r.AckedBelow > r.Seq:
		return Errorf(CodeInvalid, "the request id acknowledges its own answer: it is number %d, and acknowledges all below %d", r.Seq, r.AckedBelow)
	case r.Client.OfGateway():
		return Errorf(CodeInvalid, "the request id's client is of a form that nodes keep for themselves: draw 16 bytes at random")
	}
	return nil
}

// Outcome is the error of a call as that of its request. Of a client that numbers its requests an error speaks of the one call:
// the client keeps account of its calls. An opaque key may have been sent before, by whatever process: if the call ended before
// anything was found out about that, the outcome is unknown.
func (r RequestID) Outcome(err error) error {
	if r.IsZero() || r.Seq > 0 || CodeOf(err) != CodeUnavailable {
		return err
	}
	e := *AsError(err)
	e.Unknown = true
	if e.Hint != "" {
		e.Hint += "; "
	}
	e.Hint += "whether an earlier request with the same idempotency key was applied is unknown: repeat it with that key"
	return &e
}

// IsZero tells whether the request asks for no at-most-once promise.
func (r RequestID) IsZero() bool { return r.Client == ClientID{} }

// DedupEpoch is a point in one group's count of dedup epochs, by which the group knows how old a request is. The counts of
// two groups, or of two incarnations of one, have nothing to do with each other: only the group's own machine compares them.
type DedupEpoch struct {
	Group       GroupID `cbor:"1,keyasint,omitempty"`
	Incarnation uint64  `cbor:"2,keyasint,omitempty"`
	Count       uint64  `cbor:"3,keyasint,omitempty"`
}

// IsZero reports whether the epoch is not known.
func (e DedupEpoch) IsZero() bool { return e.Count == 0 }

func (e DedupEpoch) String() string { return fmt.Sprintf("%d of %s", e.Count, e.Group) }
