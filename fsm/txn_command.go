package fsm

import (
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// The commands of transactions across groups. docs/decisions/0011 tells how they work together.

// Prepare is one group's part of a transaction: where all of If hold and every step of Then can be carried out, it locks
// what they name and keeps what the steps make, visible to nobody. Keys that Then writes get exclusive intents, all others
// shared ones. Result.Txn is the vote: an Entry for each step, at the versions that a commit will give them. Sent again, it
// votes the same.
//
// Refused, so that the vote is no: [Finished] where the attempt is over here; [Attempted] where Claim meets another attempt;
// [RetryIntents] where another transaction is in the way; [RetryLeases] as a [Write]; CodePreconditionFailed where a
// condition does not hold or a step cannot be carried out.
type Prepare struct {
	Term api.Term
	// Group is the participant: any other group's machine refuses it with CodeWrongGroup.
	Group api.GroupID
	Txn   ident.TxnRef
	// AckedBelow is as in [api.RequestID].
	AckedBelow uint64
	// Epoch is the count of the participant's own dedup epoch, as in [api.RequestID].
	Epoch uint64
	If    []api.Cond
	Then  []api.Op
	// Claim, where set, is of the group that owns Txn.Anchor. With it alone the Prepare locks nothing.
	Claim *Claim
	// Cleared and Killed are as in a Write.
	Cleared []api.DroppedLease
	Killed  []api.SessionID
}

// Claim has the anchor's group record which attempt of a request is under way, so that whoever sends the request again finds
// it. Every attempt of a request with an id makes it, in the group that owns the anchor. Its TxnRef must have an Epoch.
type Claim struct {
	// Body is the [Fingerprint] of the whole transaction.
	Body [16]byte `cbor:"1,keyasint"`
	// After is the attempt before, which the coordinator has seen aborted at its decision group; zero of the first. Its
	// client and sequence are the transaction's own.
	After ident.TxnID `cbor:"2,keyasint,omitempty"`
}

// Decide says what becomes of an attempt, in its decision group; any other's machine refuses it with CodeWrongGroup.
// Result.Decision is what has become of it: the first that decided is right, and the others are told so.
type Decide struct {
	Txn        ident.TxnRef
	AckedBelow uint64 // as in [api.RequestID]
	Outcome    ident.TxnOutcome
	// Participants are the groups that have prepared, and must resolve. Of a commit only.
	Participants []api.GroupID
	// Held and Outcomes are the result, for whoever sends the request again: whether Then ran, and an Outcome for each step
	// of the branch. Of a commit only.
	Held     bool
	Outcomes []Outcome
}

// Push is for whoever met an intent and has waited long enough, and for the coordinator that ends an earlier attempt: an
// abort, unless it was decided before. Result.Decision tells, [Decision.At] what a group must resolve.
type Push struct{ Txn ident.TxnRef }

// CommitLast is the last prepare and the commit in one: where all of If hold and every step of Then can be carried out, it
// does, and the attempt is committed, all in this entry. The group is the decision group. Refused like a Prepare, and with
// [Finished] where the attempt was aborted or is too old; it is never sent to another group. Sent again after it has
// committed, Result.Decision tells so, and Result.Txn is not set.
type CommitLast struct {
	Term       api.Term
	Txn        ident.TxnRef
	AckedBelow uint64 // as in [api.RequestID]
	If         []api.Cond
	Then       []api.Op
	Claim      *Claim
	// Participants are the other groups, which have prepared.
	Participants []api.GroupID
	// Held is as in Decide. Outcomes too, but those of this command's own steps, which stand in it at Places, are not known
	// yet. Without Outcomes, the steps of Then are the whole branch.
	Held     bool
	Outcomes []Outcome
	Places   []uint32
	Cleared  []api.DroppedLease
	Killed   []api.SessionID
}

// Resolve ends a participant's part: what was prepared happens, or does not, as the decision group has said. Only a
// Decision may be passed on: nobody else knows. A Prepare that comes after it is refused. Repeated, it does nothing;
// CodeConflict where the other outcome was resolved before.
type Resolve struct {
	Group   api.GroupID
	Txn     ident.TxnID
	Outcome ident.TxnOutcome
}

// Resolved tells the decision group that a participant of a committed attempt has resolved it.
type Resolved struct {
	Txn   ident.TxnID
	Group api.GroupID
}

// Forget raises what a client has acknowledged: it will never again send a Seq below Below.
type Forget struct {
	Client api.ClientID
	Below  uint64
}

const kindPrepare kind = 16

func (Prepare) kind() kind { return kindPrepare }

const kindDecide kind = 17

func (Decide) kind() kind { return kindDecide }

const kindPush kind = 18

func (Push) kind() kind { return kindPush }

const kindCommitLast kind = 19

func (CommitLast) kind() kind { return kindCommitLast }

const kindResolve kind = 20

func (Resolve) kind() kind { return kindResolve }

const kindResolved kind = 21

func (Resolved) kind() kind { return kindResolved }

const kindForget kind = 22

func (Forget) kind() kind { return kindForget }

func checkID(id *ident.TxnID) *api.Error {
	if id.Client == (api.ClientID{}) || id.Attempt == 0 || id.Decider == "" {
		return api.Errorf(api.CodeInvalid, "a transaction's id needs a client, an attempt and a decision group")
	}
	return nil
}

// checkPart tells whether a participant's part is within the limits and makes sense.
func checkPart(ref *ident.TxnRef, conds []api.Cond, ops []api.Op, claim *Claim) *api.Error {
	if err := checkID(&ref.ID); err != nil {
		return err
	}
	if claim != nil && (ref.Anchor == "" || ref.Epoch == 0) {
		return api.Errorf(api.CodeInvalid, "a claim needs an anchor, and the decision group's dedup epoch")
	}
	if claim != nil && len(conds)+len(ops) == 0 {
		return nil
	}
	if err := (&api.Txn{If: conds, Then: ops}).CheckSteps(); err != nil {
		return api.AsError(err)
	}
	return nil
}

func (c *CommitLast) check() *api.Error {
	if err := checkPart(&c.Txn, c.If, c.Then, c.Claim); err != nil {
		return err
	}
	if slices.Contains(c.Participants, c.Txn.ID.Decider) {
		return api.Errorf(api.CodeInvalid, "the group that commits last is no other participant")
	}
	if len(c.Outcomes) == 0 && len(c.Places) == 0 {
		return nil
	}
	if len(c.Places) != len(c.Then) {
		return api.Errorf(api.CodeInvalid, "%d places for %d steps", len(c.Places), len(c.Then))
	}
	for i, p := range c.Places {
		if int(p) >= len(c.Outcomes) || i > 0 && c.Places[i-1] >= p {
			return api.Errorf(api.CodeInvalid, "the places do not rise within the %d steps", len(c.Outcomes))
		}
	}
	return nil
}
