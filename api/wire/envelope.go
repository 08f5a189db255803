package wire

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// Envelope is what a node adds to a request to another node, or to the answer. This package carries its bytes behind the
// application's words and does not look into them.
type Envelope interface {
	// Append appends the bytes to b and returns the result.
	Append(b []byte) []byte
}

// Nodes answers calls between nodes. Each comes with the bytes of its [Envelope], which are the call's until it returns.
// Otherwise the methods are those of [api.Store].
type Nodes interface {
	// Read also returns what goes along with the answer; nil: nothing.
	Read(ctx context.Context, envelope []byte, r *api.ReadRequest, out *api.ReadResult) (answer Envelope, err error)
	Do(ctx context.Context, envelope []byte, t *api.Txn) (*api.TxnResult, error)
}

// putEnvelope writes an envelope, at the end of a body.
func putEnvelope(w *codec.Writer, e Envelope) {
	if e != nil {
		w.B = e.Append(w.B)
	}
}
