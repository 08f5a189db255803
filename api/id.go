package api

import (
	"encoding/hex"
)

// NodeID names a process of the cluster, such as "us-east-1". It never changes.
type NodeID string

// RegionID names a region, such as "us-east".
type RegionID string

// GroupID names a Raft group. "us-east.1" is the first group of us-east, "meta" the group of the placement map.
type GroupID string

// Term is a Raft term.
type Term uint64

// ClientID names a client of at-most-once writes. It is random, or the hash of an opaque Idempotency-Key.
type ClientID [16]byte

// gatewayPrefix begins the ids that gateways draw for transactions without an id. No other id begins with it: [RequestID.Check]
// refuses those of clients. See words.NewGatewayClient.
const gatewayPrefix = "gateway:"

// ofGateway reports whether the id is a gateway's.
func (c ClientID) ofGateway() bool { return string(c[:len(gatewayPrefix)]) == gatewayPrefix }

func (c ClientID) String() string { return hex.EncodeToString(c[:]) }

// RequestID makes a write take effect at most once. The zero RequestID asks for no such guarantee.
type RequestID struct {
	Client ClientID `cbor:"1,keyasint,omitempty"`
	// Seq grows by one with each write of the client. It is 0 for the single write of an opaque key.
	Seq uint64 `cbor:"2,keyasint,omitempty"`
	// AckedBelow promises that the client will never again send a Seq below it, so that the records of those writes may be
	// dropped.
	AckedBelow uint64 `cbor:"3,keyasint,omitempty"`
}

// Check reports whether a client may send the id. It returns CodeInvalid if AckedBelow is above Seq, since a client can
// acknowledge only its requests before this one, and if the client id is one that gateways reserve for themselves.
func (r RequestID) Check() error {
	switch {
	case r.AckedBelow > r.Seq:
		return Errorf(CodeInvalid, "the request id acknowledges its own answer: it is number %d, and acknowledges all below %d", r.Seq, r.AckedBelow)
	case r.Client.ofGateway():
		return Errorf(CodeInvalid, "the request id's client is of a form that nodes keep for themselves: draw 16 bytes at random")
	}
	return nil
}

// Outcome turns the error of one call into the error of its request. If the client numbers its requests, err is returned as it
// is: the client itself keeps track of its calls. A request with an opaque key may have been sent before, by any process. If its
// call ended with CodeUnavailable, which says nothing about those earlier calls, the returned error has Unknown set.
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

// IsZero reports whether the request asks for no at-most-once guarantee.
func (r RequestID) IsZero() bool { return r.Client == ClientID{} }
