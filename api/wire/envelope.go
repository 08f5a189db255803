package wire

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/codec"
)

// Envelope is what a node adds to a request to another node, or to the answer. This package carries its bytes after those of the
// application and does not interpret them.
type Envelope interface {
	// Append appends the bytes to b and returns the result.
	Append(b []byte) []byte
}

// Nodes answers calls between nodes. Each call comes with the bytes of its [Envelope], which are valid until the method returns.
// Otherwise the methods are those of [api.Store].
type Nodes interface {
	// Read also returns the envelope of the answer, or nil if it has none.
	Read(ctx context.Context, envelope []byte, r *api.ReadRequest, out *api.ReadResult) (answer Envelope, err error)
	Do(ctx context.Context, envelope []byte, t *api.Txn) (*api.TxnResult, error)
}

// putNodes writes what a request between nodes has at the end: the tries that it has left, and its envelope.
func putNodes(ctx context.Context, w *codec.Writer, e Envelope) {
	if e != nil {
		w.Uint(admission.Tries(ctx))
		putEnvelope(w, e)
	}
}

// putEnvelope writes an envelope at the end of a body.
func putEnvelope(w *codec.Writer, e Envelope) {
	if e != nil {
		w.B = e.Append(w.B)
	}
}
