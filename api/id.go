package api

import (
	"encoding/hex"
)

// NodeID names a process of the cluster, for life: "us-east-1".
type NodeID string

// RegionID names a place: "us-east".
type RegionID string

// GroupID names a Raft group: "us-east.1" is the first group of us-east, "meta" the group of the placement map.
type GroupID string

// Term is a Raft term.
type Term uint64

// ClientID names a client of at-most-once writes: drawn at random, or the hash of an opaque Idempotency-Key.
type ClientID [16]byte

// gatewayPrefix begins the ids that gateways draw for transactions without an id, and no others: [RequestID.Check] refuses them.
// See words.NewGatewayClient.
const gatewayPrefix = "gateway:"

// ofGateway reports whether the id is a gateway's.
func (c ClientID) ofGateway() bool { return string(c[:len(gatewayPrefix)]) == gatewayPrefix }

func (c ClientID) String() string { return hex.EncodeToString(c[:]) }

// RequestID makes a write take effect at most once (PROTOCOL 8). The zero RequestID asks for no such promise.
type RequestID struct {
	Client ClientID `cbor:"1,keyasint,omitempty"`
	// Seq rises by one with each write of the client; 0 stands for the single write of an opaque key.
	Seq uint64 `cbor:"2,keyasint,omitempty"`
	// AckedBelow promises that the client will never again send a Seq below it: their records may go.
	AckedBelow uint64 `cbor:"3,keyasint,omitempty"`
}

// Check reports whether a client may send the id. What a client has acknowledged concerns its own requests before this one: it
// cannot speak of later ones, and not as the client that a node is.
func (r RequestID) Check() error {
	switch {
	case r.AckedBelow > r.Seq:
		return Errorf(CodeInvalid, "the request id acknowledges its own answer: it is number %d, and acknowledges all below %d", r.Seq, r.AckedBelow)
	case r.Client.ofGateway():
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
