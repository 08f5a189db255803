package group

import (
	"context"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

// TestRaise checks that the leader of a group from before levels raises it to the level that all members know, and no
// further. From then on the leader encodes at that level. Other nodes change nothing.
func TestRaise(t *testing.T) {
	before := func(c *Config) {
		c.Init = nil
		if _, err := c.Machine.Apply(0, 0, [][]byte{fsm.Encode(testInit, fsm.Level1)}); err != nil {
			t.Fatal(err)
		}
	}
	bubble(t, before, func(t *testing.T, l *testLog) {
		a, b := l.node("a"), l.node("b")
		knows := func(level fsm.Level) func(context.Context) fsm.Level {
			return func(context.Context) fsm.Level { return level }
		}
		put := func() {
			t.Helper()
			if _, err := a.authority.Do(t.Context(), &words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "k"}}}}); err != nil {
				t.Fatal(err)
			}
		}
		want := func(version, level fsm.Level) {
			t.Helper()
			if _, v, err := fsm.Decode(l.entries[len(l.entries)-1].command); err != nil || v != version {
				t.Errorf("the newest command is of version %d (%v), want %d", v, err, version)
			}
			for _, n := range []*testNode{a, b} {
				if got := n.machine.Level(); got != level {
					t.Errorf("%s is at level %d, want %d", n.name, got, level)
				}
			}
		}
		put()
		want(fsm.Level1, fsm.Level1)
		if err := a.authority.Raise(t.Context(), knows(fsm.Level1)); err != nil {
			t.Fatal(err)
		}
		if err := b.authority.Raise(t.Context(), knows(fsm.NewestLevel)); api.CodeOf(err) != api.CodeNotLeader {
			t.Errorf("a node that does not lead got %v", err)
		}
		want(fsm.Level1, fsm.Level1)
		if err := a.authority.Raise(t.Context(), knows(fsm.NewestLevel)); err != nil {
			t.Fatal(err)
		}
		want(fsm.Level1, fsm.NewestLevel)
		put()
		want(fsm.NewestLevel, fsm.NewestLevel)
		entries := len(l.entries)
		if err := a.authority.Raise(t.Context(), knows(fsm.NewestLevel)); err != nil || len(l.entries) != entries {
			t.Errorf("at that level already: %v, %d entries more", err, len(l.entries)-entries)
		}
	})
}

// TestLeadEndsWithMachine checks that a leader serves nothing once its machine has met an entry that it does not
// know.
func TestLeadEndsWithMachine(t *testing.T) {
	bubble(t, nil, func(t *testing.T, l *testLog) {
		a := l.node("a")
		read := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := words.Read(ctx, a.authority, &words.ReadRequest{ReadRequest: api.ReadRequest{Keys: []api.Key{"k"}}})
			return err
		}
		if err := read(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.adapter.Apply(9, l.term, [][]byte{{byte(fsm.NewestLevel) + 1, 1}}); err == nil {
			t.Fatal("an entry of a newer version was applied")
		}
		if err := read(); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("a read of a state that is not that of the log: %v", err)
		}
	})
}
