package replica

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

const saysUpgrade = "g has entries of a newer version: upgrade this node"

// TestNewerEntryHalts: a member that meets an entry of a newer version applies nothing of it and nothing after it, reports that it
// is halted, takes no snapshot, and gives up leadership. The others continue, with its vote. After an upgrade it catches up.
func TestNewerEntryHalts(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		l := g.leader()
		g.must(l, "before")
		g.settle()
		old := g.nodes[g.others(l.name)[0]]
		old.machine.mu.Lock()
		old.machine.unknown = "new"
		old.machine.mu.Unlock()
		third := g.nodes[g.others(l.name, old.name)[0]]

		g.must(l, "new")
		g.must(l, "after")
		g.until(time.Minute, "halt", func() bool { return old.rep.Halted() != nil })
		if e := api.AsError(old.rep.Halted()); e.Code != api.CodeUnavailable || e.Hint != saysUpgrade {
			t.Errorf("it says %v, want %q", e, saysUpgrade)
		}
		if err := old.rep.Snapshot(t.Context()); err == nil {
			t.Error("it took a snapshot of a state that is not that of its log")
		}
		if l.rep.Halted() != nil || third.rep.Halted() != nil {
			t.Error("a member that knows the entry is halted")
		}

		g.net.crash(third.name) // the halted member's vote counts
		g.must(l, "with its vote")
		third.rep.Close()
		third.rep = nil
		g.start(third.name, 3)
		g.until(time.Minute, "transfer", func() bool { return l.rep.Transfer(t.Context(), old.name) == nil })
		if led := g.leader(old.name); led.name == old.name {
			t.Error("the halted member leads")
		}
		if _, err := old.rep.Propose(t.Context(), []byte("here")); err == nil {
			t.Error("the halted member applied a command")
		}
		g.must(g.leader(old.name), "late")
		if all := old.machine.all(); !slices.Equal(all, []string{"before"}) {
			t.Errorf("the halted member applied %q", all)
		}

		g.crash(old.name)
		g.start(old.name, 3)
		g.settle()
		if all := old.machine.all(); !slices.Contains(all, "new") || !slices.Contains(all, "late") || old.rep.Halted() != nil {
			t.Errorf("upgraded, it holds %q, %v", all, old.rep.Halted())
		}
	})
}

// TestHaltedMajority: two halted members do not pass leadership to each other for ever: the one that knows all entries soon leads.
func TestHaltedMajority(t *testing.T) {
	simulate(t, 3, Limits{}, func(t *testing.T, g *group) {
		names := slices.Sorted(maps.Keys(g.nodes))
		last := names[2] // the one that Raft would choose last
		if l := g.leader(); l.name != last {
			g.until(time.Minute, "transfer", func() bool { return l.rep.Transfer(t.Context(), last) == nil })
		}
		l := g.leader(names[:2]...)
		g.settle()
		for _, name := range names[:2] {
			old := g.nodes[name]
			old.machine.mu.Lock()
			old.machine.unknown = "new"
			old.machine.mu.Unlock()
		}
		g.must(l, "new")
		g.until(time.Minute, "halt", func() bool {
			return g.nodes[names[0]].rep.Halted() != nil && g.nodes[names[1]].rep.Halted() != nil
		})
		g.until(time.Minute, "transfer", func() bool { return l.rep.Transfer(t.Context(), names[0]) == nil })
		g.until(time.Minute, "a leader that knows all entries", func() bool {
			_, err := l.rep.Propose(t.Context(), []byte("after"))
			return err == nil
		})
	})
}

// TestSnapshotAfterHalt: a halted member accepts no snapshot from a leader. It could not read it, and would lose its own snapshot
// and its log. After an upgrade it accepts one.
func TestSnapshotAfterHalt(t *testing.T) {
	simulate(t, 3, Limits{TrailingEntries: 1}, func(t *testing.T, g *group) {
		l := g.leader()
		g.must(l, "before")
		g.settle()
		old := g.nodes[g.others(l.name)[0]]
		old.machine.mu.Lock()
		old.machine.unknown = "new"
		old.machine.mu.Unlock()
		g.must(l, "new")
		g.until(time.Minute, "halt", func() bool { return old.rep.Halted() != nil })
		g.net.cut(true, []string{old.name}, g.others(old.name)...)
		for range 5 {
			g.must(l, "after")
		}
		if err := l.rep.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.net.cut(false, []string{old.name}, g.others(old.name)...)
		time.Sleep(time.Minute)
		g.must(g.leader(old.name), "late")
		if list, err := old.rep.stores.Snapshots.List(); err != nil || len(list) != 0 {
			t.Errorf("the halted member has stored %d snapshots that it cannot use, %v", len(list), err)
		}
		g.crash(old.name)
		g.start(old.name, 3)
		g.settle()
		if !old.machine.has("late") {
			t.Error("upgraded, it does not take the snapshot")
		}
	})
}

// TestNewerSnapshotHalts: a member that is sent a snapshot of a newer version halts with the line that names the upgrade, and does
// not start with it either. Attack 45.
func TestNewerSnapshotHalts(t *testing.T) {
	simulate(t, 3, Limits{TrailingEntries: 1}, func(t *testing.T, g *group) {
		l := g.leader()
		g.must(l, "before")
		g.settle()
		old := g.nodes[g.others(l.name)[0]]
		old.machine.mu.Lock()
		old.machine.unknown = "new"
		old.machine.mu.Unlock()
		g.net.cut(true, []string{old.name}, g.others(old.name)...)
		for _, c := range []string{"new", "after", "after", "after", "after"} {
			g.must(l, c)
		}
		if err := l.rep.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.net.cut(false, []string{old.name}, g.others(old.name)...)
		g.until(time.Minute, "halt", func() bool { return old.rep.Halted() != nil })
		if e := api.AsError(old.rep.Halted()); e.Code != api.CodeUnavailable || e.Hint != saysUpgrade {
			t.Errorf("it says %v, want %q", e, saysUpgrade)
		}
		if all := old.machine.all(); !slices.Equal(all, []string{"before"}) {
			t.Errorf("it holds %q", all)
		}
		g.crash(old.name)
		rep, err := Open[result](Config{Group: "g", Node: old.name, Stores: old.disk.Stores, Streams: g.net.endpoint(old.name), Timing: g.time,
			OnFailed: func(error) { t.Error("it says that its state is damaged") }}, &register{unknown: "new"})
		if err == nil {
			t.Error("it started", rep.Close())
		} else if cause := errors.Unwrap(err); api.AsError(cause).Hint != saysUpgrade {
			t.Errorf("it did not start: %v, want %q", err, saysUpgrade)
		}
		g.start(old.name, 3)
		g.settle()
		if all := old.machine.all(); !slices.Contains(all, "new") || old.rep.Halted() != nil {
			t.Errorf("upgraded, it holds %q, %v", all, old.rep.Halted())
		}
	})
}

// TestUnreadableEntryHalts: an entry of a newer format halts the member, and so does a damaged one, with another hint.
func TestUnreadableEntryHalts(t *testing.T) {
	for data, want := range map[string]string{
		"\x03\x00": saysUpgrade,
		"":         "g has an entry that is damaged: replace this node's copy of the group",
		"\x01\x05": "g has an entry that is damaged: replace this node's copy of the group",
	} {
		simulate(t, 1, Limits{}, func(t *testing.T, g *group) {
			l := g.leader()
			g.must(l, "before")
			e := l.rep.driver.Apply(&raft.Log{Index: l.rep.Applied() + 1, Term: 1, Data: []byte(data)}).(*appliedEntry[result])
			if e.err == nil || api.AsError(l.rep.Halted()).Hint != want {
				t.Errorf("%q: %v, want %q", data, l.rep.Halted(), want)
			}
			if _, err := l.rep.Propose(t.Context(), []byte("after")); api.CodeOf(err) != api.CodeUnavailable {
				t.Errorf("after %q a command gave %v", data, err)
			}
		})
	}
}
