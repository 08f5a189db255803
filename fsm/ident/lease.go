package ident

import (
	"fmt"

	"github.com/edgehold/edgehold/api"
)

// SessionID identifies a session within its group and is never reused. It consists of the incarnation of the group
// and the index of the SessionOpen in it. The zero SessionID is no session.
type SessionID struct {
	Incarnation uint64 `cbor:"1,keyasint,omitempty"`
	Index       uint64 `cbor:"2,keyasint,omitempty"`
}

// IsZero reports whether s is no session.
func (s SessionID) IsZero() bool { return s == SessionID{} }

func (s SessionID) String() string { return fmt.Sprintf("%d.%d", s.Incarnation, s.Index) }

// LeaseID is the index, in its group's command counter, of the grant that gave the lease. Zero is no lease.
type LeaseID uint64

// DroppedLease is a lease that its holder gave up.
type DroppedLease struct {
	Session SessionID `cbor:"1,keyasint"`
	Key     api.Key   `cbor:"2,keyasint"`
	Lease   LeaseID   `cbor:"3,keyasint"`
	// Group is the group that gave the lease. Another group, to which the key may have moved, has its own sessions
	// with the same ids. The field is sent only between nodes. In a group's log the lease is always of that group.
	Group api.GroupID `cbor:"4,keyasint,omitempty"`
}

// DedupEpoch is a point in one group's count of dedup epochs. The group uses it to know how old a request is. The
// counts of two groups, or of two incarnations of one group, are unrelated. Only the group's own machine compares
// them.
type DedupEpoch struct {
	Group       api.GroupID `cbor:"1,keyasint,omitempty"`
	Incarnation uint64      `cbor:"2,keyasint,omitempty"`
	Count       uint64      `cbor:"3,keyasint,omitempty"`
}

// IsZero reports whether the epoch is unknown.
func (e DedupEpoch) IsZero() bool { return e.Count == 0 }

func (e DedupEpoch) String() string { return fmt.Sprintf("%d of %s", e.Count, e.Group) }
