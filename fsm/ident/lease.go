package ident

import (
	"fmt"

	"github.com/edgehold/edgehold/api"
)

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

// DroppedLease is a lease that its holder gave up.
type DroppedLease struct {
	Session SessionID `cbor:"1,keyasint"`
	Key     api.Key   `cbor:"2,keyasint"`
	Lease   LeaseID   `cbor:"3,keyasint"`
	// Group gave the lease. Another one, to which the key may have moved, has sessions of its own with the same ids. It
	// goes between nodes only: in a group's log it is that group.
	Group api.GroupID `cbor:"4,keyasint,omitempty"`
}

// DedupEpoch is a point in one group's count of dedup epochs, by which the group knows how old a request is. The counts of
// two groups, or of two incarnations of one, have nothing to do with each other: only the group's own machine compares them.
type DedupEpoch struct {
	Group       api.GroupID `cbor:"1,keyasint,omitempty"`
	Incarnation uint64      `cbor:"2,keyasint,omitempty"`
	Count       uint64      `cbor:"3,keyasint,omitempty"`
}

// IsZero reports whether the epoch is not known.
func (e DedupEpoch) IsZero() bool { return e.Count == 0 }

func (e DedupEpoch) String() string { return fmt.Sprintf("%d of %s", e.Count, e.Group) }
