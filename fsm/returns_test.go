package fsm

import (
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestReturnsTakeNoTime: a range that comes back begins an epoch, but takes no time: however many do, the result of a request with an opaque
// id is kept for a day, also over a move, and not for longer.
func TestReturnsTakeNoTime(t *testing.T) {
	r := founded(t)
	write := func() *api.TxnResult {
		m := r.m.Meta()
		epoch := ident.DedupEpoch{Group: m.Group, Incarnation: m.Incarnation, Count: uint64(m.DedupEpoch)}
		id := api.RequestID{Client: api.ClientID{9}}
		return r.ok(Write{Term: r.term, Txn: api.Txn{ID: id, Then: []api.Op{opAdd("a", 1)}}, Epoch: epoch}).Txn
	}
	sweep := func() {
		for !r.ok(ExpireDedup{Term: r.term}).Swept.End {
		}
	}
	epoch := uint64(1)
	comeBack := func() {
		rng := api.Range{Start: "z"}
		epoch += 2
		r.ok(Cede{Term: r.term, Range: rng, Epoch: epoch, To: []api.GroupID{"g.2"}})
		r.ok(Adopt{
			Receipt{Range: rng, Epoch: epoch + 1, To: []api.GroupID{"g.1"}, From: []Source{{"g.2", 0, 1}}},
			Shard{Range: rng, Epoch: epoch + 1, Of: 1},
		})
		epoch++
	}
	write()
	for hour := range DedupEpochs {
		for range 2 * DedupEpochs / (1 + hour) {
			comeBack()
		}
		r.ok(AdvanceDedupEpoch{r.term})
		sweep()
		if res := write(); !res.Replayed {
			t.Fatalf("after %d hours the request was carried out again", hour+1)
		}
	}
	if rec, ok := r.m.Stored(api.ClientID{9}, 0); !ok {
		t.Error("there is no record")
	} else if v := r.m.begin(); v.ageOf(rec.Epoch) > DedupEpochs {
		t.Errorf("a receipt calls it %d epochs old", v.ageOf(rec.Epoch))
	}
	for range DedupEpochs + 2 {
		r.ok(AdvanceDedupEpoch{r.term})
		sweep()
	}
	if _, ok := r.m.Stored(api.ClientID{9}, 0); ok {
		t.Error("the record is kept for ever")
	}
}
