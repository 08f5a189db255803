package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// The refusals that the rooms above act on. None of them was applied, and none leaves them.
const (
	// RetryIntents refuses what meets the intents of other transactions: Result.Intents names them; for a read the error is
	// an [IntentsError]. Wait until they are resolved, or push them, and try again.
	RetryIntents api.Code = "retry_intents"
	// Attempted refuses what an earlier attempt of the same request stands against: Result.Stored is its record. Where that
	// is a result, the request is done. Else push its [Record.Ref] at the decision group: committed, the request is done;
	// aborted and not Expired, the next attempt may be made after it.
	Attempted api.Code = "attempted"
	// Finished refuses a late Prepare or CommitLast: the attempt is over. Result.Decision says how, where that is known.
	Finished api.Code = "finished"
	// DeciderLost: a transaction holds the key whose decision group does not answer. To ask again at once is no use: it is the
	// router that tells the caller so, as [api.CodeUnavailable].
	DeciderLost api.Code = "decider_lost"
)

// Intent is a transaction's lock on a key.
type Intent struct {
	Key api.Key `cbor:"1,keyasint"`
	// Exclusive: the transaction writes the key. Else it read it, and others may read it too.
	Exclusive bool         `cbor:"2,keyasint,omitempty"`
	Txn       ident.TxnRef `cbor:"3,keyasint"`
}

// IntentsError is the refusal of a read that meets exclusive intents; its code is [RetryIntents]. Intents names at most
// [MaxNamedIntents].
type IntentsError struct {
	Intents []Intent
	Page    api.Range // of a list: the page that would tell of them
}

func (e *IntentsError) Error() string { return e.Unwrap().Error() }

// Unwrap gives the *api.Error.
func (e *IntentsError) Unwrap() error { return errIntent(e.Intents) }

// errIntent is nil where there are none.
func errIntent(in []Intent) *api.Error {
	if len(in) == 0 {
		return nil
	}
	return &api.Error{Code: RetryIntents, Key: in[0].Key, Hint: "a transaction holds the key"}
}

// Decision is what became of an attempt, as its decision group says.
type Decision struct {
	Txn     ident.TxnID      `cbor:"1,keyasint"`
	Outcome ident.TxnOutcome `cbor:"2,keyasint,omitempty"`
	// Participants had prepared; Unresolved are those of them that have not said yet that they resolved it.
	Participants []api.GroupID `cbor:"3,keyasint,omitempty"`
	Unresolved   []api.GroupID `cbor:"4,keyasint,omitempty"`
	// Held and Outcomes are the result of a commit.
	Held     bool      `cbor:"5,keyasint,omitempty"`
	Outcomes []Outcome `cbor:"6,keyasint,omitempty"`
	// Expired: no record of it is kept any more, or none will be: an intent that still stands must go, but whoever sends
	// the request again learns nothing from this.
	Expired bool `cbor:"7,keyasint,omitempty"`
}

// At is what a group that has intents of the attempt must resolve, when it has asked: aborted, unless it was committed and the
// group has not resolved it before; intents that turn up after that are of a late Prepare. Whoever passes a decision on
// unasked sends a commit to the Unresolved, and to nobody else.
func (d *Decision) At(g api.GroupID) ident.TxnOutcome {
	switch {
	case d.Outcome == ident.TxnUndecided:
		return ident.TxnUndecided
	case d.Outcome == ident.TxnCommitted && slices.Contains(d.Unresolved, g):
		return ident.TxnCommitted
	}
	return ident.TxnAborted
}

// Replay is the result of the committed transaction, for whoever sends its request again. Values that were read are not in
// it.
func (d *Decision) Replay(t *api.Txn) *api.TxnResult {
	return replayOf(&Record{Committed: d.Held, Outcomes: d.Outcomes}, t)
}

// Prepared is a transaction that has prepared in the group, and is not resolved.
type Prepared struct {
	Txn ident.TxnRef
	// Index is that of the Prepare.
	Index uint64
	// Written and Read are the keys with its exclusive and shared intents, sorted.
	Written, Read []api.Key
}
