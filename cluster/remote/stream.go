package remote

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

var streamLeases = peer.NewStream[leaseUp, words.LeaseEvent]("Leases", peer.Holders).PerNode(StreamsPerNode)

// StreamsPerNode bounds the lease streams of one node: that of its process, and one that is coming to replace it.
const StreamsPerNode = 2

// Hello is a holder's first message on a lease stream.
type Hello struct {
	Node  api.NodeID  `cbor:"1,keyasint"`
	Nonce ident.Nonce `cbor:"2,keyasint"`
}

// leaseUp goes up a lease stream: exactly one field is set, Hello first and once.
type leaseUp struct {
	Hello     *Hello           `cbor:"1,keyasint,omitempty"`
	KeepAlive *words.KeepAlive `cbor:"2,keyasint,omitempty"`
	Ack       *words.RevokeAck `cbor:"3,keyasint,omitempty"`
}

// OpenLeases opens a lease stream to the node, which ends with ctx. That the node is there shows only when something comes
// down.
func (n Node) OpenLeases(ctx context.Context, h Hello) (words.LeaseStream, error) {
	end, err := streamLeases.Open(ctx, n.Remote)
	if err != nil {
		return nil, err
	}
	if err := end.Send(&leaseUp{Hello: &h}); err != nil {
		end.Close()
		return nil, err
	}
	return leaseStream{end}, nil
}

// leaseStream is the holder's end.
type leaseStream struct {
	end peer.ClientEnd[leaseUp, words.LeaseEvent]
}

func (x leaseStream) SendKeepAlive(k *words.KeepAlive) error {
	return x.end.Send(&leaseUp{KeepAlive: k})
}
func (x leaseStream) SendAck(a *words.RevokeAck) error { return x.end.Send(&leaseUp{Ack: a}) }

func (x leaseStream) Recv() (words.LeaseEvent, error) {
	e, err := x.end.Recv()
	if err != nil {
		return words.LeaseEvent{}, err
	}
	return *e, nil
}

func (x leaseStream) Close() error {
	x.end.Close()
	return nil
}
