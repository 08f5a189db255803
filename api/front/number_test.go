package front_test

import (
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestNumber: numbers rise, none is given twice, and a number is acknowledged only when it and all before it are finished.
func TestNumber(t *testing.T) {
	b := front.New(front.Config{Store: storetest.NewMemory()})
	first, end := b.Number()
	second, endSecond := b.Number()
	if first.Client == (api.ClientID{}) || second.Client != first.Client || first.Seq != 1 || second.Seq != 2 || second.AckedBelow != 1 {
		t.Fatalf("got %+v, %+v", first, second)
	}
	endSecond()
	if id, end := b.Number(); id.Seq != 3 || id.AckedBelow != 1 {
		t.Errorf("the first is unfinished: %+v", id)
	} else {
		end()
	}
	end()
	id, end := b.Number()
	if id.Seq != 4 || id.AckedBelow != 4 {
		t.Errorf("all are finished: %+v", id)
	}
	end()
	if err := id.Check(); err != nil {
		t.Error(err)
	}
}

// TestNumberBeginsAnew: one write that never ends does not keep nodes from forgetting all others.
func TestNumberBeginsAnew(t *testing.T) {
	b := front.New(front.Config{Store: storetest.NewMemory()})
	slow, end := b.Number()
	var last api.RequestID
	for range 20000 {
		id, end := b.Number()
		end()
		last = id
	}
	if last.Client == slow.Client || last.Seq-last.AckedBelow > 1 {
		t.Errorf("got %+v after %+v", last, slow)
	}
	end()
}
