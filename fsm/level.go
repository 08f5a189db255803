package fsm

import (
	"errors"
	"fmt"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
)

// Level numbers what the members of a group have agreed to write into its log. It is also the version of commands: a leader
// encodes at the level of its group, and a command always applies by the rules of its own version, whatever the level is by then.
// docs/decisions/0019 describes how a rule is changed.
type Level uint8

// The levels.
const (
	// Level1 is that of groups founded before there were levels.
	Level1 Level = iota + 1
	// Level2 bounds what a command may read and make, and keeps the values that an answer gave.
	Level2
	// Level3 is that of the map from which nodes have an identity. In a group's log it is the same as Level2.
	Level3
	// Level4 keeps a history of what became visible.
	Level4
	// Level5 has a time of the group, which log entries alone advance, and keys with deadlines in it.
	Level5
	// Level6 has the functions of bytes, append, sum64, min64 and max64, steps that keep the deadline of their key, and transactions of
	// more than 1,000 operations.
	Level6

	// NewestLevel is the highest that this program knows.
	NewestLevel = Level6
)

// ErrNewer means that a log entry has something that only a newer version of this program knows.
var ErrNewer = errors.New("fsm: an entry of a newer version")

// rules are the decisions of Apply that depend on the version of the command. A changed rule is a field here. Its zero value is
// what version 1 does.
type rules struct {
	// ages: only ages of what is remembered go from one group to another, and requests are judged by the group's own epochs.
	ages bool
	// endAtOnce: a session ends in one row, and its leases are cleared away later.
	endAtOnce bool
	// shortAborts: what was aborted is remembered for AttemptEpochs, and a commit that is older is refused.
	shortAborts bool
	// evaluates: the steps of a branch are carried out by an evaluation, whose work is bounded, and a repeated Prepare votes as
	// it did, also on what has changed since. Otherwise they are carried out as in evaluate_v1.go.
	evaluates bool
	// keepsValues: records and decisions keep the values that the answer gave.
	keepsValues bool
	// fences: a range gets a new epoch that is so high that versions rise also as single integers, (epoch << 40) + index.
	fences bool
	// time: the row of a key, an intent and Meta may have what belongs to deadlines, and so have the commands.
	time bool
	// large: a transaction may have api.MaxTxnOps operations. Otherwise it may have codec.MaxOpsBefore.
	large bool
}

// keepsHistory reports whether a group of that level keeps a history. It depends on the level of the group, whatever the version
// of a command is: a command of an earlier version that applies late makes changes like any other.
func (l Level) keepsHistory() bool { return l >= Level4 }

// rulesOf holds the rules of each version.
var rulesOf = [NewestLevel + 1]rules{
	Level1: {},
	Level2: {ages: true, endAtOnce: true, shortAborts: true, evaluates: true, keepsValues: true},
	Level3: {ages: true, endAtOnce: true, shortAborts: true, evaluates: true, keepsValues: true},
	Level4: {ages: true, endAtOnce: true, shortAborts: true, evaluates: true, keepsValues: true, fences: true},
	Level5: {ages: true, endAtOnce: true, shortAborts: true, evaluates: true, keepsValues: true, fences: true, time: true},
	Level6: {ages: true, endAtOnce: true, shortAborts: true, evaluates: true, keepsValues: true, fences: true, time: true, large: true},
}

const kindSetLevel kind = 23

// SetLevel raises the level of the group. The leader proposes it when all members, and above Level3 all nodes of the map,
// have reported that they know the level. It never lowers a level.
type SetLevel struct {
	Term  api.Term
	Level Level
}

func (SetLevel) kind() kind           { return kindSetLevel }
func (c SetLevel) judgedIn() api.Term { return c.Term }

func (c SetLevel) put(w *codec.Writer) {
	w.Uint(uint64(c.Term))
	w.Uint(uint64(c.Level))
}

func readSetLevel(r *codec.Reader) SetLevel { return SetLevel{api.Term(r.Uint()), readLevel(r)} }

// readLevel reads a level of any program, of this one or of a newer one.
func readLevel(r *codec.Reader) Level {
	x := r.Uint()
	if x == 0 || x > 0xff {
		r.Fail("a level that cannot be")
		return 0
	}
	return Level(x)
}

// newer reports whether the command is one that this program cannot carry out, because it does not know the version, the kind or
// the level that the command sets. A malformed command is not newer: all replicas refuse it alike.
func newer(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if v := Level(b[0]); v == 0 || v > NewestLevel {
		return true
	}
	if len(b) == 1 {
		return false
	}
	switch k := kind(b[1]); {
	case !k.known():
		return true
	case k == kindSetLevel:
		c, _, err := Decode(b)
		return err == nil && c.(SetLevel).Level > NewestLevel
	}
	return false
}

func (t *tx) setLevel(c *SetLevel, _ *Result) *api.Error {
	before := t.meta.Level
	if t.meta.Level = max(t.meta.Level, c.Level); !before.keepsHistory() && t.meta.Level.keepsHistory() {
		t.beginHistory()
	}
	return nil
}

// Level returns the level of the group: the level at which a leader encodes.
func (m *Machine) Level() Level {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.meta.Level
}

// Takes returns CodeUnavailable if the transaction, or a group's part of it, needs a higher level than the group's: because of its
// steps, or because it has too many. It is not to be proposed then.
func (m *Machine) Takes(t *api.Txn) error {
	return m.Level().Takes(t)
}

// Takes is [Machine.Takes] for a group or cluster of that level.
func (l Level) Takes(t *api.Txn) error {
	if err := takes(l, t); err != nil {
		return err
	}
	return nil
}

// TakesOutcomes is like Takes for a decision that keeps n outcomes. A machine of an older program refuses more than were possible
// then.
func (m *Machine) TakesOutcomes(n int) error {
	if level := m.Level(); level < Level6 && n > codec.MaxOpsBefore && guardFunctionLevel {
		return tooNew(level, Level6, "", manyOps)
	}
	return nil
}

func takes(level Level, t *api.Txn) *api.Error {
	if level >= Level6 {
		return nil
	}
	for _, branch := range [2][]api.Op{t.Then, t.Else} {
		for i := range branch {
			op := &branch[i]
			switch needs := LevelOf(op); {
			case needs == Level6 && guardFunctionLevel:
				return tooNew(level, Level6, op.Key, "append, sum64, min64, max64 and keep_ttl")
			case needs == Level5 && level < Level5:
				return tooNew(level, Level5, op.Key, "ttl, touch and list")
			}
		}
	}
	if len(t.If)+len(t.Then)+len(t.Else) > codec.MaxOpsBefore && guardFunctionLevel {
		return tooNew(level, Level6, "", manyOps)
	}
	return nil
}

const manyOps = "more than 1000 operations"

func tooNew(level, needs Level, k api.Key, what string) *api.Error {
	return &api.Error{Code: api.CodeUnavailable, Op: "txn", Key: k, Err: api.ErrLevel, Hint: fmt.Sprintf(
		"the cluster is at level %d, and %s need level %d: upgrade every node; nothing was applied", level, what, needs)}
}

// LevelOf returns the first level that has such a step.
func LevelOf(op *api.Op) Level {
	switch {
	case op.Kind > api.OpList || op.KeepTTL:
		return Level6
	case op.Kind > api.OpAppendIfAbsent || op.TTL != 0:
		return Level5
	}
	return Level1
}
