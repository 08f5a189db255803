package wire

import (
	"context"

	"github.com/edgehold/edgehold/api"
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

// envelope puts an envelope, at the end of a body.
func (w *writer) envelope(e Envelope) {
	if e != nil {
		w.b = e.Append(w.b)
	}
}

// rest takes all that is left, shared with b: the envelope.
func (r *reader) rest() []byte { return r.take(uint64(len(r.b))) }
