package fsm

import "github.com/edgehold/edgehold/api"

// Vote is what a participant answers to a Prepare or CommitLast. A no is as certain as a yes: nothing of it was applied.
type Vote struct {
	// Txn is the vote yes: an Entry for each step, at the versions that a commit gives them. nil where Refused is set, and
	// where a CommitLast had committed before.
	Txn *api.TxnResult `cbor:"1,keyasint,omitempty"`
	// Refused is the vote no, and why; its code may be one of those that stay between region and coordinator.
	Refused *api.Error `cbor:"2,keyasint,omitempty"`
	// Stored is what stands against the request's claim, where Refused.Code is Attempted.
	Stored *Record `cbor:"3,keyasint,omitempty"`
	// Decision is what became of the attempt, if that is known: of a CommitLast, and if Refused.Code is Finished.
	Decision *Decision  `cbor:"4,keyasint,omitempty"`
	Timing   api.Timing `cbor:"5,keyasint,omitempty"`
	// Unsure: the vote is a no, and an earlier copy of the same message may be on its way yet, and be voted on otherwise. It is for
	// the one that has sent both, and stays there.
	Unsure bool `cbor:"-"`
}
