package peer

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Hello is a holder's first word on a lease stream.
type Hello struct {
	Node  api.NodeID  `cbor:"1,keyasint"`
	Nonce ident.Nonce `cbor:"2,keyasint"`
}

// Report is what a node says of itself.
type Report struct {
	Node     api.NodeID        `cbor:"1,keyasint"`
	Region   api.RegionID      `cbor:"2,keyasint,omitempty"`
	Role     api.Role          `cbor:"3,keyasint,omitempty"`
	Groups   []api.GroupStatus `cbor:"4,keyasint,omitempty"` // those with a replica here
	Sessions int               `cbor:"5,keyasint,omitempty"` // of the groups led here
	Leases   int               `cbor:"6,keyasint,omitempty"` // of the groups led here
	Level    fsm.Level         `cbor:"7,keyasint,omitempty"` // the newest that the node's program knows; 0 is that of one that knows no levels
}

// Introduction is what a node says to one of which it knows the address alone.
type Introduction struct {
	Node    api.NodeID  `cbor:"1,keyasint"`
	Address string      `cbor:"2,keyasint,omitempty"`
	Nonce   ident.Nonce `cbor:"3,keyasint"`
	// Founding: the node is to found a cluster, and asks whether there is one.
	Founding bool `cbor:"4,keyasint,omitempty"`
}

// Standing is the answer to an Introduction.
type Standing struct {
	Node  api.NodeID  `cbor:"1,keyasint"`
	Nonce ident.Nonce `cbor:"2,keyasint"`
	// Cluster is the cluster that the node knows; "" is none.
	Cluster string `cbor:"3,keyasint,omitempty"`
	// Member: the node belongs to a cluster, also if it does not know the map of that at present.
	Member bool `cbor:"4,keyasint,omitempty"`
	// Founding: the node is to found a cluster itself, and does not leave that to the asker.
	Founding bool `cbor:"5,keyasint,omitempty"`
	// First is another server that the node leaves the founding to; nil is none.
	First *Introduction `cbor:"6,keyasint,omitempty"`
}

// leaseUp goes up a lease stream: exactly one field is set, Hello first and once.
type leaseUp struct {
	Hello     *Hello           `cbor:"1,keyasint,omitempty"`
	KeepAlive *words.KeepAlive `cbor:"2,keyasint,omitempty"`
	Ack       *words.RevokeAck `cbor:"3,keyasint,omitempty"`
}

// nothing is the answer of methods that only succeed or fail.
type nothing struct{}

type closeSession struct {
	Group   api.GroupID   `cbor:"1,keyasint"`
	Session api.SessionID `cbor:"2,keyasint"`
	Nonce   ident.Nonce   `cbor:"3,keyasint"`
}

type release struct {
	Group  api.GroupID        `cbor:"1,keyasint"`
	Leases []api.DroppedLease `cbor:"2,keyasint"`
}

// question asks a voter whether its term is still Term in the group.
type question struct {
	Group api.GroupID `cbor:"1,keyasint"`
	Term  uint64      `cbor:"2,keyasint"`
}

// confirm asks for all the groups between two nodes at once. The answers stand in the order of the questions.
type confirm struct {
	Questions []question `cbor:"1,keyasint"`
}

type confirmed struct {
	Yes []bool `cbor:"1,keyasint"`
}

// poll asks for a map newer than Since; the answer is empty where none came in time.
type poll struct {
	Since uint64 `cbor:"1,keyasint,omitempty"`
}

// encodedMap is a placement map as package placement writes it; empty is none.
type encodedMap struct {
	Map []byte `cbor:"1,keyasint,omitempty"`
}

// proposal is a command of the meta group, encoded.
type proposal struct {
	Command []byte `cbor:"1,keyasint"`
}

// indexed asks a group's leader for an index of its log, and is answered with it.
type indexed struct {
	Group api.GroupID `cbor:"1,keyasint,omitempty"`
	Index uint64      `cbor:"2,keyasint,omitempty"`
}

type cede struct {
	Group api.GroupID   `cbor:"1,keyasint"`
	Range api.Range     `cbor:"2,keyasint"`
	Epoch uint64        `cbor:"3,keyasint"`
	To    []api.GroupID `cbor:"4,keyasint"`
}

type adopt struct {
	Group   api.GroupID `cbor:"1,keyasint"`
	Receipt fsm.Receipt `cbor:"2,keyasint"`
	Shard   fsm.Shard   `cbor:"3,keyasint"`
}
