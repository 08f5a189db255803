package cluster

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/cluster/peer"
)

// methodConfirm is how a leader learns that its term still stands: it asks the voters for theirs. Questions about all the groups
// between two nodes share messages.
var methodConfirm = peer.NewMerged[termOf, bool]("Confirm", admission.Free, peer.Members)

// termOf asks a voter whether its Raft term in the group is still Term.
type termOf struct {
	Group api.GroupID `cbor:"1,keyasint"`
	Term  uint64      `cbor:"2,keyasint"`
}

// registerConfirm has the server answer from atomic reads alone: no disk, no waiting.
func registerConfirm(s *peer.Server, open *members) {
	methodConfirm.Handle(s, func(q termOf) bool {
		term, ok := open.term(q.Group)
		return ok && term == q.Term
	})
}

// confirm asks whether the node's Raft term in the group is still term, at an instant after the call.
func confirm(ctx context.Context, r *peer.Remote, g api.GroupID, term uint64) (bool, error) {
	return methodConfirm.Ask(ctx, r, termOf{g, term})
}
