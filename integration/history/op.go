// Package history records what clients of a store did and saw, and judges it.
//
// Single operations, histories of [Op], have three judges. [Linearizable] asks Porcupine, key by key, whether the
// operations could have happened one at a time; it believes nothing but values. [Versions] follows the version that came
// with every answer: it is fast enough for tens of millions of operations. [Once] finds writes that took effect twice. All
// three take unknown outcomes for what they are, and find fault only with what no correct store could have answered.
//
// Transactions, histories of [Txn], have [StrictlySerializable], which follows versions too, and the judges of single
// workloads: [Bank], [WriteSkew], [Phantoms], [LongFork], [Lists] and [Counters], which believe in no version but where
// they say so.
//
// What changed, what ended and who held a lock is judged by the changes that the machines of the groups made visible, histories of
// [Change]: [Kept] compares them with what clients wrote, [Watched] with what a [Watch] was told, [Lived] with how long keys were to
// live, and [Tenures] with who took a lock for held.
//
// Writers must write unique values: no value may be written twice to the same key, not even by a retry that the history
// shows as an operation of its own. A key that an Add writes is a counter, and Adds alone write it; then its values are unique, too.
// Only linearizable reads belong into a history.
//
// An answer need not tell a version. What it says instead is judged: the value that was replaced, the number that was made, or
// whether a value was removed. See [Resolve] and [Running.EndReplaced].
package history

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Kind is what an operation does.
type Kind uint8

// The kinds of operations.
const (
	Get    Kind = iota + 1 // read the key
	Put                    // write Written
	CAS                    // write Written if the key is as Expect says
	Delete                 // remove the key

	// Add and Append need no read, and their result is not known before they happen. Append is a step of transactions only.
	Add    // add Arg to a number, or, as an operation of its own, 1; an absent key counts as 0
	Append // write Arg behind what is there

	CompareDelete // remove the key if it is as Expect, a value, says
)

func (k Kind) String() string {
	return [...]string{"?", "get", "put", "cas", "delete", "add", "append", "compare and delete"}[k%8]
}

// Outcome is what the client knows of the operation.
type Outcome uint8

// The outcomes. An operation that was never ended is Unknown.
const (
	Unknown Outcome = iota // it may have happened, or may happen yet
	OK                     // it happened, with the Result
	Failed                 // it certainly did not and will not happen
)

func (o Outcome) String() string { return [...]string{"unknown", "ok", "failed"}[o%3] }

// OutcomeOf classifies the error of a call. That a key is absent or a condition false is an answer like any other; what
// is no error of the api is unknown.
func OutcomeOf(err error) Outcome {
	e, isOurs := errors.AsType[*api.Error](err)
	switch {
	case err == nil:
		return OK
	case !isOurs || e.Applied() == "unknown":
		return Unknown
	case e.Code == api.CodeNotFound || e.Code == api.CodePreconditionFailed:
		return OK
	}
	return Failed
}

// State is a key's state: a value or its absence, and its version if it is known.
type State struct {
	Exists  bool
	Value   string
	Version api.Version
}

// Found is what the answer of a Delete says of the state that it met.
type Found uint8

// What an answer says.
const (
	Untold       Found = iota
	FoundNothing       // the key was absent: nothing was removed
	FoundValue         // a value was removed
)

// Op is one operation of one client.
type Op struct {
	Client int
	Kind   Kind
	Key    api.Key
	// Written is the unique value that Put and CAS write.
	Written string
	// Expect is the state that CAS and CompareDelete ask for: that very value at its version, or just absence.
	Expect State

	// Call and Return are by the recorder's clock. Return means nothing if Outcome is Unknown.
	Call, Return time.Duration
	Outcome      Outcome
	// Result is set if Outcome is OK. Of a Get it is what the Get saw; of a write, the version that it made; of a refused CAS,
	// the version that the key had instead. An Add may have the number that it made as the Value, and is Exists then.
	Result State
	// Found is set, if the answer says so, of a Delete whose Outcome is OK.
	Found Found
	// Unversioned: the protocol does not tell all versions; see [Resolve].
	Unversioned bool
	// Refused: the CAS or CompareDelete found its condition false, and wrote nothing.
	Refused bool
}

// writes reports whether o is meant to change its key.
func (o *Op) writes() bool { return o.Kind != Get }

// conditional reports whether o has a condition.
func (o *Op) conditional() bool { return o.Kind == CAS || o.Kind == CompareDelete }

// wrote reports whether o was carried out as a write, at Result.Version. A Delete may have changed nothing, unless it says otherwise.
func (o *Op) wrote() bool {
	return o.writes() && o.Outcome == OK && !o.Refused && o.Found != FoundNothing
}

// leavesValue reports whether the key exists after o, a write that was not refused.
func (o *Op) leavesValue() bool { return o.Kind != Delete && o.Kind != CompareDelete }

// removed reports whether o, which wrote, certainly removed a value.
func (o *Op) removed() bool { return o.Kind == CompareDelete || o.Found == FoundValue }

func (o *Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "client %d %v %q", o.Client, o.Kind, string(o.Key))
	if o.Written != "" {
		fmt.Fprintf(&b, " := %q", o.Written)
	}
	if o.conditional() {
		fmt.Fprintf(&b, " if %v", o.Expect)
	}
	fmt.Fprintf(&b, " [%v", o.Call)
	if o.Outcome == Unknown {
		b.WriteString(", ...) unknown")
		return b.String()
	}
	fmt.Fprintf(&b, ", %v] %v", o.Return, o.Outcome)
	switch {
	case o.Outcome == Failed:
	case o.Refused:
		fmt.Fprintf(&b, ", refused at version %v", o.Result.Version)
	case o.Found == FoundNothing:
		fmt.Fprintf(&b, " -> found nothing (version %v)", o.Result.Version)
	case o.Found == FoundValue:
		fmt.Fprintf(&b, " -> found a value, version %v", o.Result.Version)
	case o.Kind == Get || o.Kind == Add && o.Result.Exists:
		fmt.Fprintf(&b, " -> %v", o.Result)
	default:
		fmt.Fprintf(&b, " -> version %v", o.Result.Version)
	}
	return b.String()
}

func (s State) String() string {
	if !s.Exists {
		return fmt.Sprintf("absent (version %v)", s.Version)
	}
	return fmt.Sprintf("%q (version %v)", s.Value, s.Version)
}

// Violation is what a judge found: which promise was broken, for which key, and the operations that show it.
type Violation struct {
	Key  api.Key
	What string
	Ops  []Op
}

func (v *Violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "key %q: %s", string(v.Key), v.What)
	for i := range v.Ops {
		b.WriteString("\n\t" + v.Ops[i].String())
	}
	return b.String()
}

func violation(key api.Key, what string, ops ...*Op) *Violation {
	v := &Violation{Key: key, What: what}
	for _, o := range ops {
		v.Ops = append(v.Ops, *o)
	}
	return v
}
