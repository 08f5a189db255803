package fsm

import (
	"math"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/fsm/ident"
)

// Command is one change of a machine's state in the form that the log has. Each command is a struct, with its encoding and its
// effect in the same file, and has a row in the table.
type Command interface {
	kind() kind
	put(w *codec.Writer)
}

// kind is a command's number in the log. It never changes.
type kind byte

// table has a row for each kind of command. A new kind takes the next number.
var table = [...]kindInfo{
	kindInit:              of("init", Level1, readInit, always, (*tx).init),
	kindTermStart:         of("term start", Level1, readTermStart, always, (*tx).termStart),
	kindWrite:             {"write", Level1, reads(readWrite), (*tx).applyWrite},
	kindGrant:             of("grant", Level1, readGrant, inTerm, (*tx).grant),
	kindSessionOpen:       of("session open", Level1, readSessionOpen, ifFounded, (*tx).openSession),
	kindSessionClose:      of("session close", Level1, readSessionClose, ifFounded, (*tx).closeSession),
	kindSuspect:           of("suspect", Level1, readSuspect, inTerm, (*tx).suspect),
	kindUnsuspect:         of("unsuspect", Level1, readUnsuspect, inTerm, (*tx).unsuspect),
	kindKill:              of("kill", Level1, readKill, inTerm, (*tx).killCommand),
	kindRelease:           of("release", Level1, readRelease, ifFounded, (*tx).release),
	kindCede:              of("cede", Level1, readCede, ifFounded, (*tx).cede),
	kindAdopt:             of("adopt", Level1, readAdopt, ifFounded, (*tx).adopt),
	kindTrimTombstones:    of("trim tombstones", Level1, readTrimTombstones, inTerm, (*tx).trimTombstones),
	kindAdvanceDedupEpoch: of("advance dedup epoch", Level1, readAdvanceDedupEpoch, inTerm, (*tx).advanceDedupEpoch),
	kindExpireDedup:       of("expire dedup", Level1, readExpireDedup, inTerm, (*tx).expireDedup),
	kindPrepare:           of("prepare", Level1, readPrepare, ifFounded, (*tx).prepare),
	kindDecide:            of("decide", Level1, readDecide, ifFounded, (*tx).decideCommand),
	kindPush:              of("push", Level1, readPush, ifFounded, (*tx).push),
	kindCommitLast:        of("commit last", Level1, readCommitLast, ifFounded, (*tx).commitLast),
	kindResolve:           of("resolve", Level1, readResolve, ifFounded, (*tx).resolve),
	kindResolved:          of("resolved", Level1, readResolved, ifFounded, (*tx).resolved),
	kindForget:            of("forget", Level1, readForget, ifFounded, (*tx).forgetCommand),
	kindSetLevel:          of("set level", Level1, readSetLevel, inTerm, (*tx).setLevel),
	kindReap:              of("reap", Level1, readReap, inTerm, (*tx).reap),
	kindTrimHistory:       of("trim history", Level4, readTrimHistory, inTerm, (*tx).trimHistory),
	kindHistoryMax:        of("history max", Level4, readHistoryMax, inTerm, (*tx).historyMax),
	kindTick:              of("tick", Level5, readTick, inTerm, (*tx).tick),
	kindExpire:            of("expire", Level5, readExpire, inTerm, (*tx).expireKeys),
}

// kindInfo is a row of the table.
type kindInfo struct {
	name  string
	since Level // the first version of commands that has it
	read  func(r *codec.Reader) Command
	// apply reads a command and carries it out.
	apply func(t *tx, r *codec.Reader, res *Result) *api.Error
}

// of returns the row of a kind. admit refuses a command before run carries it out.
func of[C Command](name string, since Level, read func(*codec.Reader) C, admit func(*tx, *C) *api.Error, run func(*tx, *C, *Result) *api.Error) kindInfo {
	return kindInfo{name, since, reads(read), func(t *tx, r *codec.Reader, res *Result) *api.Error {
		c := read(r)
		if err := t.ready(c.kind(), r); err != nil {
			return err
		}
		if err := admit(t, &c); err != nil {
			return err
		}
		return run(t, &c, res)
	}}
}

func reads[C Command](read func(*codec.Reader) C) func(*codec.Reader) Command {
	return func(r *codec.Reader) Command { return read(r) }
}

// always admits a command even if the machine is not founded.
func always[C Command](*tx, *C) *api.Error { return nil }

// ifFounded refuses commands that need a founded machine.
func ifFounded[C Command](t *tx, _ *C) *api.Error { return t.founded() }

// inTerm is like ifFounded, and also refuses a judgement made in another term than the entry's.
func inTerm[C interface {
	Command
	judgedIn() api.Term
}](t *tx, c *C) *api.Error {
	return t.judged((*c).judgedIn())
}

// Name returns the name of the command's kind in logs.
func Name(c Command) string { return table[c.kind()].name }

// Encode returns the command as the log of a group of that level has it. The first byte is the version, which is the level. The
// second is the kind.
func Encode(c Command, level Level) []byte {
	n := 64
	if large, ok := c.(interface{ size() int }); ok {
		n += large.size()
	}
	w := codec.Writer{B: make([]byte, 0, n), Format: uint8(level)}
	w.Byte(byte(level))
	w.Byte(byte(c.kind()))
	c.put(&w)
	return w.B
}

// Decode decodes what Encode returns, and refuses any other input with CodeInvalid. Values share memory with b, which must not
// change while they are used. Keys do not share memory with b.
func Decode(b []byte) (Command, Level, error) {
	r := codec.Reader{B: b}
	version, info := head(&r)
	if err := malformed(&r); err != nil {
		return nil, 0, err
	}
	c := info.read(&r)
	if r.End(); r.Fault() != "" {
		return nil, 0, malformed(&r)
	}
	return c, version, nil
}

// head reads what precedes a command. If there is no fault, the kind is known.
func head(r *codec.Reader) (Level, *kindInfo) {
	r.Format = r.Byte()
	version := Level(r.Format)
	if r.Fault() == "" && (version == 0 || version > NewestLevel) {
		r.Fail("a format version that this program does not know")
	}
	k := kind(r.Byte())
	switch {
	case !k.known():
		r.Fail("a kind of command that this program does not know")
		return version, nil
	case version < table[k].since:
		r.Fail("a kind of command that its version does not have")
	}
	return version, &table[k]
}

// known reports whether the table has the kind.
func (k kind) known() bool { return int(k) < len(table) && table[k].apply != nil }

// malformed returns what is wrong with the command that was read, or nil.
func malformed(r *codec.Reader) *api.Error {
	if r.Fault() == "" {
		return nil
	}
	return api.Errorf(api.CodeInvalid, "malformed command: %s", r.Fault())
}

// readLimit reads how many rows a command may visit.
func readLimit(r *codec.Reader) int {
	x := r.Uint()
	if x > math.MaxInt32 {
		r.Fail("a limit over 31 bits")
		return 0
	}
	return int(x)
}

// Result is the result of one command. It is the same on all replicas. Its values do not share memory with the machine.
type Result struct {
	// Index is the command's place in the machine's counter.
	Index uint64
	// Err says why the command was refused. A refused command changed nothing.
	Err *api.Error
	// Txn is the result of a Write. Its entries have no TTL: see Deadlines.
	Txn *api.TxnResult
	// Deadlines are those of the keys in Txn.Entries, or in Entries, one for each entry, 0 if the key has none. The slice is empty if
	// no key has one, or if the result repeats an earlier one.
	Deadlines []uint64
	// Entries are what a Grant returned. Leases are the leases granted on them, one for each entry, zero if it was refused.
	Entries []api.Entry
	Leases  []ident.LeaseID
	// Session is what a SessionOpen opened.
	Session ident.SessionID
	// Holders are the holders in the way, if Err.Code is RetryLeases.
	Holders []Holder
	// Receipt is the result of a Cede.
	Receipt *Receipt
	// Took means that an Adopt took its range over.
	Took bool
	// Intents are the intents in the way, if Err.Code is RetryIntents: at most [MaxNamedIntents].
	Intents []Intent
	// Stored is what the anchor's group has stored about the request, if Err.Code is Attempted.
	Stored *Record
	// Decision is the outcome of an attempt: of a Decide, Push or CommitLast, and if Err.Code is Finished.
	Decision *Decision
	// Left are the keys that an Expire did not end.
	Left   []api.Key
	Effect Effect
	// Swept is the progress of a TrimTombstones, ExpireDedup, Reap or TrimHistory.
	Swept Swept
	// Events are what the command made visible, in order, if the group keeps a history. Their values may share memory with the
	// command's bytes, also those of elided events, and with other results of the same entry: they must not be changed.
	Events []Event
}

// Swept is the progress of a command that clears rows away.
type Swept struct {
	// Rows is how many rows it has dropped, or visited (ExpireDedup).
	Rows int
	// End means that it reached the end of the rows.
	End bool
}

// Effect is what applying a command means for the volatile state of the caller.
type Effect struct {
	Kind EffectKind
	// Node is the node whose term it is (EffectTermStart).
	Node api.NodeID
	// Sessions are those that changed.
	Sessions []ident.SessionID
	// Decided is an attempt that this command committed in its decision group and that has participants: the caller must make
	// sure that they resolve. Resolved is an attempt whose intents, if there were any, are gone: what waits for them may go on.
	Decided, Resolved *ident.TxnID
}

// EffectKind is the kind of an Effect.
type EffectKind uint8

const (
	// EffectNone means that there is no effect.
	EffectNone EffectKind = iota
	// EffectTermStart means that a leader's term has begun in the log.
	EffectTermStart
	// EffectSuspect means that the session was marked, perhaps again.
	EffectSuspect
	// EffectUnsuspect means that the session is renewable again.
	EffectUnsuspect
	// EffectKilled means that the sessions ended for good, by Kill, SessionClose, or as Killed of a Write or Cede.
	EffectKilled
)
