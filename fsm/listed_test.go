package fsm

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
)

// scanned is an engine that calls a function before a scan.
type scanned struct {
	engine.Engine
	before func()
}

func (e *scanned) Scan(lo, hi []byte, reverse bool, visit func(k, row []byte) bool) error {
	if f := e.before; f != nil {
		e.before = nil
		f()
	}
	return e.Engine.Scan(lo, hi, reverse, visit)
}

// TestListPosition checks that the position of a page is that of the view in which it was read: what a command changes that waits
// for the list to end is above it.
func TestListPosition(t *testing.T) {
	e := &scanned{Engine: engine.NewMemory()}
	m, err := Open(e)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, m: m, term: 1}
	r.ok(Init{Group: "g.1", Incarnation: 7, MaxTerm: time.Minute, MaxPause: time.Second, Shards: []Shard{
		{Epoch: 1, Of: 1, Range: api.Range{Start: "a", End: "m"}}, {Epoch: 2, Of: 1, Range: api.Range{Start: "m"}}}})
	r.ok(Write{Term: 1, Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "b"}, {Kind: api.OpPut, Key: "x"}}}})
	before := m.Meta().Counter
	late := r.encode(Write{Term: 1, Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "c"}}}})
	index := r.next()
	var wg sync.WaitGroup
	defer wg.Wait()
	e.before = func() {
		wg.Go(func() { one(m.Apply(index, 1, [][]byte{late})) })
		for m.mu.TryRLock() { // it fails once the Apply waits
			m.mu.RUnlock()
			runtime.Gosched()
		}
	}
	page, at, err := m.ListAt(&api.ListRequest{Limit: 10})
	if err != nil || len(page.Entries) != 2 {
		t.Fatalf("%+v, %v", page, err)
	}
	if at.Index != before || at.Incarnation != 7 {
		t.Errorf("the page is as of %d, and says %d", before, at.Index)
	}
	if len(at.Shards) != 2 || at.Shards[1].Epoch != 2 {
		t.Errorf("the page covers %+v", at.Shards)
	}
	wg.Wait()
	page, at, err = m.ListAt(&api.ListRequest{Limit: 2})
	if err != nil || !page.More || at.Index != before+1 {
		t.Fatalf("%+v, %+v, %v", page, at, err)
	}
	if want := (Shard{Epoch: 1, Of: 1, Range: api.Range{Start: "a", End: "c\x00"}}); len(at.Shards) != 1 || at.Shards[0] != want {
		t.Errorf("the first page covers %+v, want %+v", at.Shards, want)
	}
}
