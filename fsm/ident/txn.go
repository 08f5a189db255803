package ident

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/edgehold/edgehold/api"
)

// TxnID identifies one attempt to commit a transaction across groups. The coordinator of the attempt draws it, and no
// two coordinators ever use the same one. The Attempt numbers of one (Client, Seq) increase, whichever gateway makes
// the attempt.
type TxnID struct {
	// Client and Seq are those of the transaction's RequestID. If it has none, they are the coordinator's own.
	Client api.ClientID `cbor:"1,keyasint,omitempty"`
	Seq    uint64       `cbor:"2,keyasint,omitempty"`
	// Attempt is at least 1.
	Attempt uint64 `cbor:"3,keyasint,omitempty"`
	// Decider is the decision group: the only group whose machine decides the outcome of the attempt.
	Decider api.GroupID `cbor:"4,keyasint,omitempty"`
}

// IsZero reports whether the id is the zero TxnID, which identifies nothing.
func (id TxnID) IsZero() bool { return id == TxnID{} }

func (id TxnID) String() string {
	return fmt.Sprintf("%v/%d/%d@%s", id.Client, id.Seq, id.Attempt, id.Decider)
}

// Compare orders ids by client, sequence, attempt and decision group.
func (id TxnID) Compare(o TxnID) int {
	return cmp.Or(bytes.Compare(id.Client[:], o.Client[:]), cmp.Compare(id.Seq, o.Seq), cmp.Compare(id.Attempt, o.Attempt),
		cmp.Compare(id.Decider, o.Decider))
}

// TxnRef is what every message about an attempt and every intent carries. It is enough for a request that meets the
// intent to wait for the transaction or to push it.
type TxnRef struct {
	ID TxnID `cbor:"1,keyasint"`
	// Age is the time at which the transaction's first attempt began, by its coordinator's clock. All attempts keep
	// it. Only fairness depends on it.
	Age uint64 `cbor:"2,keyasint,omitempty"`
	// Anchor is the smallest key that the transaction names. It is "" if the transaction has no RequestID.
	Anchor api.Key `cbor:"3,keyasint,omitempty"`
	// Epoch is the decision group's dedup epoch as known before the attempt began. It is 0 if it was not known.
	Epoch uint64 `cbor:"4,keyasint,omitempty"`
}

// Older reports whether t goes before o. An older transaction waits for the intents of a younger one, and a younger
// one gives way to the intents of an older one (wait-die). Older is a total order of transactions. Of two attempts of
// the same transaction, neither is older.
func (t TxnRef) Older(o TxnRef) bool {
	return cmp.Or(cmp.Compare(t.Age, o.Age), bytes.Compare(t.ID.Client[:], o.ID.Client[:]), cmp.Compare(t.ID.Seq, o.ID.Seq)) < 0
}

// TxnOutcome is the outcome of an attempt.
type TxnOutcome uint8

// These are the outcomes. An attempt has exactly one outcome, for all time.
const (
	TxnUndecided TxnOutcome = iota
	TxnCommitted
	TxnAborted
)

func (o TxnOutcome) String() string { return [...]string{"undecided", "committed", "aborted"}[o%3] }
