package ident

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/edgehold/edgehold/api"
)

// TxnID names one attempt to commit a transaction across groups. Whoever coordinates it draws it: no two coordinators ever
// use the same one. Attempts of one (Client, Seq) rise, in whatever gateway they are made.
type TxnID struct {
	// Client and Seq are those of the transaction's RequestID; of one without, the coordinator's own.
	Client api.ClientID `cbor:"1,keyasint,omitempty"`
	Seq    uint64       `cbor:"2,keyasint,omitempty"`
	// Attempt is at least 1.
	Attempt uint64 `cbor:"3,keyasint,omitempty"`
	// Decider is the decision group: the one group whose machine says what becomes of the attempt.
	Decider api.GroupID `cbor:"4,keyasint,omitempty"`
}

// IsZero tells whether the id names nothing.
func (id TxnID) IsZero() bool { return id == TxnID{} }

func (id TxnID) String() string {
	return fmt.Sprintf("%v/%d/%d@%s", id.Client, id.Seq, id.Attempt, id.Decider)
}

// Compare orders ids by client, sequence, attempt and decision group.
func (id TxnID) Compare(o TxnID) int {
	return cmp.Or(bytes.Compare(id.Client[:], o.Client[:]), cmp.Compare(id.Seq, o.Seq), cmp.Compare(id.Attempt, o.Attempt),
		cmp.Compare(id.Decider, o.Decider))
}

// TxnRef is what every message about an attempt carries, and what an intent shows to whoever meets it: enough to wait for
// its transaction, or to push it.
type TxnRef struct {
	ID TxnID `cbor:"1,keyasint"`
	// Age is the time at which the transaction's first attempt began, by its coordinator's clock, and is kept over all
	// attempts. Only fairness hangs on it.
	Age uint64 `cbor:"2,keyasint,omitempty"`
	// Anchor is the smallest key that the transaction names; "" where it has no RequestID.
	Anchor api.Key `cbor:"3,keyasint,omitempty"`
	// Epoch is the decision group's dedup epoch as known before the attempt began; 0 where it was not known.
	Epoch uint64 `cbor:"4,keyasint,omitempty"`
}

// Older tells whether t goes before o: it waits for o's intents, where o would have to give way to t's (wait-die). It is a
// total order of transactions; of two attempts of the same one neither is older.
func (t TxnRef) Older(o TxnRef) bool {
	return cmp.Or(cmp.Compare(t.Age, o.Age), bytes.Compare(t.ID.Client[:], o.ID.Client[:]), cmp.Compare(t.ID.Seq, o.ID.Seq)) < 0
}

// TxnOutcome is what became of an attempt.
type TxnOutcome uint8

// The outcomes. There is one of an attempt, for all time.
const (
	TxnUndecided TxnOutcome = iota
	TxnCommitted
	TxnAborted
)

func (o TxnOutcome) String() string { return [...]string{"undecided", "committed", "aborted"}[o%3] }
