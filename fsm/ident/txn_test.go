package ident

import (
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestOlder checks that transactions are ordered by age, then by client, then by sequence. Attempts and decision
// groups do not count, so no attempt of a transaction waits for another.
func TestOlder(t *testing.T) {
	ref := func(age uint64, client byte, seq, attempt uint64, decider api.GroupID) TxnRef {
		return TxnRef{ID: TxnID{api.ClientID{client}, seq, attempt, decider}, Age: age}
	}
	order := []TxnRef{ref(1, 9, 9, 9, "z"), ref(2, 1, 9, 9, "z"), ref(2, 2, 1, 9, "z"), ref(2, 2, 2, 1, "a"), ref(3, 0, 0, 1, "a")}
	for i, a := range order {
		for j, b := range order {
			if a.Older(b) != (i < j) {
				t.Errorf("%+v is older than %+v: %v", a, b, a.Older(b))
			}
		}
	}
	one, two := ref(2, 2, 2, 1, "a"), ref(2, 2, 2, 2, "b")
	if one.Older(two) || two.Older(one) {
		t.Error("one attempt is older than another of the same transaction")
	}
	if one.ID.Compare(two.ID) >= 0 || two.ID.Compare(one.ID) <= 0 || one.ID.Compare(ref(2, 2, 2, 1, "a").ID) != 0 {
		t.Error("attempts are not in their order")
	}
	if !(TxnID{}).IsZero() || one.ID.IsZero() {
		t.Error("zero")
	}
}

func TestTxnOutcome(t *testing.T) {
	var names []string
	for _, o := range []TxnOutcome{TxnUndecided, TxnCommitted, TxnAborted} {
		names = append(names, o.String())
	}
	if !slices.Equal(names, []string{"undecided", "committed", "aborted"}) {
		t.Error(names)
	}
}
