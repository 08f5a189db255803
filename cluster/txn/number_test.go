package txn

import (
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestAttemptNumbers checks that the attempts of a request carry the number of the node that makes them and rise,
// whichever gateway goes on with the request, also after an attempt from before nodes had numbers. Two copies of a
// request at one node make attempts of different names.
func TestAttemptNumbers(t *testing.T) {
	at := func(num uint32) *running {
		c := Config{Num: func() uint32 { return num }, DedupEpoch: func(api.GroupID) (e ident.DedupEpoch) { return e }}
		return &running{Coordinator: &Coordinator{cfg: c}, id: api.RequestID{Client: api.ClientID{1}, Seq: 1}}
	}
	last := uint64(1<<16 | 0xffff) // from before
	for _, num := range []uint32{7, 7, 9, 7, 8} {
		r := at(num)
		r.number = last // as the record of the earlier attempt says
		for range 3 {
			ref, err := r.ref("g")
			if err != nil || ref.ID.Attempt <= last || !ref.ID.MadeBy(num) || ref.ID.MadeBy(num+1) || !ref.ID.Numbered() {
				t.Fatalf("node %d makes the attempt %#x after %#x: %v", num, ref.ID.Attempt, last, err)
			}
			last = ref.ID.Attempt
		}
	}
	names := map[ident.TxnID]bool{}
	for range 20 {
		ref, err := at(7).ref("g")
		if err != nil {
			t.Fatal(err)
		}
		names[ref.ID] = true
	}
	if len(names) < 19 { // they are random: two of them alike are rare enough
		t.Errorf("20 copies of a request have %d names", len(names))
	}
	r := at(7)
	r.number = 1<<64 - 1
	if _, err := r.ref("g"); api.CodeOf(err) != api.CodeConflict || !api.AsError(err).Unknown {
		t.Errorf("after the last attempt: %v", err)
	}
	r = at(0)
	r.number = last // of a node with a number: the map here is older
	if _, err := r.ref("g"); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("a node without a number goes on with an attempt of one that has one: %v", err)
	}
}
