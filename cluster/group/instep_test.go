package group

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestInStep checks that the age counts from before the question whose answer the replica has applied, and never from
// a later question whose answer it has not applied.
func TestInStep(t *testing.T) {
	at := func(d time.Duration) words.ClockSample { return words.ClockSample{Boottime: d, Raw: d} }
	var s inStep
	want := func(now, age time.Duration, applied uint64) {
		t.Helper()
		if got := s.age(at(now), applied); got != age {
			t.Errorf("at %v, with %d applied, the age is %v, want %v", now, applied, got, age)
		}
	}
	want(time.Second, unknownAge, 5)
	s.note(at(2*time.Second), 10, 5) // the leader is ahead
	want(3*time.Second, unknownAge, 9)
	s.note(at(3*time.Second), 20, 9) // the leader is further ahead; the older answer is reached first
	want(4*time.Second, 2*time.Second, 10)
	s.note(at(5*time.Second), 20, 15)
	want(6*time.Second, 4*time.Second, 19)
	want(6*time.Second, time.Second, 20)
	s.note(at(7*time.Second), 20, 20)
	want(9*time.Second, 2*time.Second, 20)
	want(10*time.Second, 3*time.Second, 25)

	slow := words.ClockSample{Boottime: 10 * time.Second, Raw: 11 * time.Second} // one clock stood still, so the greater difference counts
	if got := s.age(slow, 25); got != 4*time.Second {
		t.Errorf("by clocks that differ the age is %v", got)
	}
}

// TestIndexOfClosedLeader checks that a leader that closes while it is asked for its index returns none. A closed
// machine has applied nothing, and by its index a replica that is far behind would count as in step.
func TestIndexOfClosedLeader(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(put("k", "v"))
		if index, err := a.authority.Index(context.Background()); err != nil || index == 0 {
			t.Fatalf("%d, %v", index, err)
		}
		var closed atomic.Bool
		a.set(func(h *hooks) {
			h.confirm = func() time.Duration {
				if !closed.Swap(true) {
					a.authority.Close()
					a.machine.Close()
				}
				return 0
			}
		})
		index, err := a.authority.Index(context.Background())
		wantCode(t, err, api.CodeUnavailable)
		if !closed.Load() || index != 0 {
			t.Errorf("closed %v, index %d", closed.Load(), index)
		}
	})
}

// TestStaleUnderIntents checks a replica whose group has lost its majority. It answers stale reads and lists of keys
// that a transaction holds with the state from before the transaction, of which no age is known. It does not do so
// while a leader can be asked instead, nor for any other read.
func TestStaleUnderIntents(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		a.mustWrite(put("k", "old"))
		ref := ident.TxnRef{ID: ident.TxnID{Client: api.ClientID{1}, Seq: 1, Attempt: 1, Decider: "g.2"}, Age: 1, Epoch: 1}
		vote, err := a.authority.Prepare(context.Background(), &fsm.Prepare{Group: "g.1", Txn: ref, Then: []api.Op{{Kind: api.OpPut, Key: "k", Value: []byte("new")}}}, nil, true)
		if err != nil || vote.Refused != nil {
			t.Fatalf("%+v, %v", vote, err)
		}
		b := l.node("b")
		b.authority.InStep(b.authority.Now(), b.machine.Applied())
		read := func(level api.Consistency) (*words.ReadResult, error) {
			return words.Read(context.Background(), b.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}, Consistency: level, MaxStale: time.Hour}})
		}
		if res, err := read(api.Stale); err == nil {
			t.Errorf("while the leader can be asked: %+v", res)
		}
		b.setCut(true)
		time.Sleep(ownerLost + time.Second)
		res, err := read(api.Stale)
		if err != nil || string(res.Entries[0].Value) != "old" || res.ServedBy != api.ServedByStale || res.Age != unknownAge {
			t.Errorf("a stale read: %+v, %v", res, err)
		}
		page, err := b.authority.List(context.Background(), &words.ListRequest{ListRequest: api.ListRequest{Consistency: api.Stale}})
		if err != nil || len(page.Entries) != 1 || string(page.Entries[0].Value) != "old" || page.Age != unknownAge {
			t.Errorf("a stale list: %+v, %v", page, err)
		}
		for _, level := range []api.Consistency{api.Bounded, api.Linearizable, api.Quorum} {
			if res, err := read(level); err == nil {
				t.Errorf("%v: %+v", level, res)
			}
		}
	})
}
