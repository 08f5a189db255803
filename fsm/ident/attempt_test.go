package ident

import "testing"

// TestNextAttempt checks that the numbers of attempts rise, whichever nodes make them, that they name their node, and
// that those of one node differ by their salt.
func TestNextAttempt(t *testing.T) {
	last := uint64(0)
	for i, node := range []uint32{0, 0, 7, 9, 7, 1<<32 - 1, 1, 0, 7} {
		next, ok := NextAttempt(last, node, uint16(i*40_503))
		if !ok || next <= last {
			t.Fatalf("after %#x comes %#x, %v", last, next, ok)
		}
		id := TxnID{Attempt: next}
		if !id.MadeBy(node) || !id.MadeBy(0) || node != 0 && (id.MadeBy(node^2) || !id.Numbered()) {
			t.Errorf("%#x is not taken for an attempt of node %d alone", next, node)
		}
		last = next
	}
	a, _ := NextAttempt(0, 7, 1)
	b, _ := NextAttempt(0, 7, 2)
	if a == b {
		t.Errorf("two attempts have the number %#x", a)
	}
	if x := (TxnID{Attempt: 1<<16 | 0xabcd}); x.Numbered() {
		t.Error("an attempt from before has the number of a node")
	}
	for _, node := range []uint32{0, 7} {
		if next, ok := NextAttempt(1<<64-1, node, 0); ok {
			t.Errorf("after the last attempt comes %#x", next)
		}
	}
	if next, ok := NextAttempt((maxAttempts-1)<<48, 7, 3); !ok || next != maxAttempts<<48|3<<32|7 {
		t.Errorf("the last attempt is %#x, %v", next, ok)
	}
}
