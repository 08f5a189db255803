package txn

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// asked counts the transactions that leave the node.
type asked struct {
	words.Store
	n int
}

func (a *asked) Do(context.Context, *words.Txn) (*api.TxnResult, error) {
	a.n++
	return &api.TxnResult{Committed: true}, nil
}

// TestUnderstood: what the level of the map does not have never leaves the node, since a node of an older program would read another
// transaction in it. It leaves as soon as the map has risen.
func TestUnderstood(t *testing.T) {
	put := api.Op{Kind: api.OpPut, Key: "a", Value: make([]byte, 100<<10)} // as long as what goes as a method
	keep, timed := put, put
	keep.KeepTTL, timed.TTL = true, time.Minute
	for _, c := range []struct {
		then  []api.Op
		level placement.Level // the first that has it
	}{
		{[]api.Op{put}, placement.LevelIdentity},
		{[]api.Op{timed}, placement.LevelTime},
		{[]api.Op{keep}, placement.LevelFunctions},
		{[]api.Op{put, {Kind: api.OpAppend, Key: "b"}}, placement.LevelFunctions},
		{make([]api.Op, 1001), placement.LevelFunctions},
	} {
		for level := placement.LevelIdentity; level <= placement.NewestLevel; level++ {
			at, rises := level, false
			store := &asked{}
			g, err := New(Config{
				Store: store, Groups: struct{ remote.Participant }{},
				Map: func() *placement.Map {
					return &placement.Map{Level: at, Ranges: []placement.Span{{Epoch: 1, Groups: []api.GroupID{"g.1"}}}}
				},
				Refresh: func(context.Context) error {
					if rises {
						at = placement.NewestLevel
					}
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = g.Do(t.Context(), &words.Txn{Txn: api.Txn{Then: c.then}, Group: "g.1"})
			if level >= c.level {
				if err != nil || store.n != 1 {
					t.Errorf("level %d: %v, and %d were sent", level, err, store.n)
				}
			} else {
				if !errors.Is(err, api.CodeUnavailable) || !strings.Contains(err.Error(), "upgrade") || store.n != 0 {
					t.Errorf("level %d: %v, and %d were sent", level, err, store.n)
				}
				rises = true
				if _, err := g.Do(t.Context(), &words.Txn{Txn: api.Txn{Then: c.then}, Group: "g.1"}); err != nil || store.n != 1 {
					t.Errorf("once level %d has risen: %v, and %d were sent", level, err, store.n)
				}
			}
			g.Close()
		}
	}
}
