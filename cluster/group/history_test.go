package group

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// TestHistoryIsBounded checks that the leader sets the bound of the history, that what is older than its age is dropped and nothing
// else is, that the leader proposes little for it, and that a replica says how far back the history reaches.
func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var most atomic.Uint64
		most.Store(1 << 20)
		l := newLog(t, func(c *Config) {
			c.Revoker, c.History = nil, func() (uint64, time.Duration) { return most.Load(), 2 * time.Hour }
		}, "a")
		defer l.close()
		l.settle()
		a := l.node("a")
		put := func(n int) {
			t.Helper()
			for i := range n {
				txn := &words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: api.Key(fmt.Sprint("k", i)), Value: make([]byte, 1000)}}}}
				if _, err := a.authority.Do(t.Context(), txn); err != nil {
					t.Fatal(err)
				}
			}
		}
		put(10)
		time.Sleep(10 * time.Second)
		if p := a.machine.Position(); p.Max != most.Load() || p.Floor != 0 {
			t.Errorf("the position is %+v", p)
		}
		time.Sleep(time.Hour)
		put(10)
		time.Sleep(50 * time.Minute)
		before := a.machine.Position()
		if reach := a.authority.historySeconds(); before.Floor != 0 || reach < 6000 || reach > 6700 {
			t.Errorf("after an hour and 50 minutes the floor is %d, and the history reaches back %v s", before.Floor, reach)
		}
		time.Sleep(20 * time.Minute)
		p := a.machine.Position()
		if reach := a.authority.historySeconds(); p.Floor == 0 || p.Bytes > before.Bytes*6/10 || p.Bytes < before.Bytes*4/10 || reach < 4000 || reach > 7300 {
			t.Errorf("after two hours and 10 minutes the position is %+v, and the history reaches back %v s", p, reach)
		}
		if n := p.Counter - before.Counter; n > 30 {
			t.Errorf("%d commands in 20 minutes", n)
		}
		most.Store(5000)
		time.Sleep(10 * time.Second)
		if p := a.machine.Position(); p.Max != 5000 || p.Bytes > 5000 {
			t.Errorf("with a lower bound the position is %+v", p)
		}
		most.Store(0)
		time.Sleep(10 * time.Second)
		if p := a.machine.Position(); p.Max != 0 || p.Bytes != 0 || p.Floor != p.Counter {
			t.Errorf("without a history the position is %+v", p)
		}
	})
}

// TestHistoryMarks checks that marks are few however long they go on, and in order, and that the newest that are old enough, and those
// of late, are there.
func TestHistoryMarks(t *testing.T) {
	var h history
	start := time.Now()
	for i := range 20_000 {
		h.remember(mark{start.Add(time.Duration(i) * 5 * time.Second), uint64(i)}, 24*time.Hour)
		if len(h.marks) > maxMarks {
			t.Fatalf("%d marks", len(h.marks))
		}
	}
	last := h.marks[len(h.marks)-1]
	if age := last.at.Sub(h.marks[0].at); age < 24*time.Hour || age > 26*time.Hour || last.counter != 19_999 {
		t.Errorf("the first mark is %v old, the last at %d", age, last.counter)
	}
	for i := 1; i < len(h.marks); i++ {
		if h.marks[i].counter <= h.marks[i-1].counter || i > len(h.marks)-40 && h.marks[i].counter != h.marks[i-1].counter+1 {
			t.Fatalf("mark %d is at %d, the one before at %d", i, h.marks[i].counter, h.marks[i-1].counter)
		}
	}
	if since := h.since(19_990); last.at.Sub(since) != 9*5*time.Second {
		t.Errorf("above 19,990 is everything of the last %v", last.at.Sub(since))
	}
	if !h.since(30_000).IsZero() {
		t.Error("something is known of above the counter")
	}
}
