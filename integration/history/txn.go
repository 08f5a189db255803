package history

import (
	"fmt"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Step is one access of a transaction to one key.
type Step struct {
	Kind Kind // Get, Put, Delete, Add or Append
	Key  api.Key
	// Arg is what Add adds and Append appends.
	Arg string
	// State is what Get saw; of a write, what it left: a Put's value always, the version if the outcome is OK, and the
	// value of a function if the store returned it, else "". What a Get after a write of the same transaction saw has no
	// version.
	State State
}

func (s *Step) writes() bool { return s.Kind != Get }

func (s *Step) function() bool { return s.Kind == Add || s.Kind == Append }

// leavesValue reports whether the key exists after the step, which is a write.
func (s *Step) leavesValue() bool { return s.Kind != Delete }

func (s *Step) String() string {
	switch {
	case s.Kind == Get:
		return fmt.Sprintf("get %q -> %v", string(s.Key), s.State)
	case s.Kind == Delete:
		return fmt.Sprintf("delete %q (version %v)", string(s.Key), s.State.Version)
	case s.function():
		return fmt.Sprintf("%v %q %s (version %v)", s.Kind, string(s.Key), s.Arg, s.State.Version)
	}
	return fmt.Sprintf("%v %q := %q (version %v)", s.Kind, string(s.Key), s.State.Value, s.State.Version)
}

// Txn is one transaction of one client. A transaction whose conditions did not hold is one that read what it tested; one
// that several keys were read by is one with Gets alone.
type Txn struct {
	Client int
	// Steps are in the order in which the client asked for them. A read that got no answer is none. Of several writes to
	// one key only the last leaves a version. Where the outcome is Unknown, they are the steps of a transaction that
	// happened, if it did.
	Steps []Step

	// Call and Return are by the recorder's clock, no two of them equal. Return means nothing where Outcome is Unknown.
	Call, Return time.Duration
	// Outcome Unknown: it may have happened, as a whole or not at all. Failed: no step took effect.
	Outcome Outcome
}

func (t *Txn) String() string {
	if t.Client == noClient {
		return "one of several transactions with an unknown outcome"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "client %d [%v, ", t.Client, t.Call)
	if t.Outcome == Unknown {
		b.WriteString("...) unknown:")
	} else {
		fmt.Fprintf(&b, "%v] %v:", t.Return, t.Outcome)
	}
	for i := range t.Steps {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + t.Steps[i].String())
	}
	return b.String()
}

// noClient stands in a report for a client that is not known.
const noClient = -1

// end is when t had certainly happened.
func (t *Txn) end() time.Duration {
	if t.Outcome == Unknown {
		return forever
	}
	return t.Return
}

// sees returns what t saw of the key from outside, before any write of its own.
func (t *Txn) sees(key api.Key) (State, bool) {
	for i := range t.Steps {
		if s := &t.Steps[i]; s.Key == key {
			return s.State, s.Kind == Get
		}
	}
	return State{}, false
}

// Anomaly is what a judge found in a history of transactions: what went wrong, and the transactions that show it.
type Anomaly struct {
	// Name is the anomaly's usual name: see [StrictlySerializable].
	Name string
	// What describes it; empty for a cycle, which its Edges describe.
	What string
	Txns []Txn
	// Edges are the cycle: each from one transaction to the one that must come after it, the last one back to the first.
	Edges []Edge
}

// Edge says that one transaction must come before another.
type Edge struct {
	From, To int // places in Anomaly.Txns
	// Kind is "ww": To replaced what From wrote; "wr": To saw what From wrote; "rw": To replaced what From saw; "rt": From
	// had returned before To was called.
	Kind string
	Key  api.Key // "" for rt
	// Version is that of the write (of the read in "rw"), Next that which replaced it.
	Version, Next api.Version
}

func (e Edge) String() string {
	from, to := fmt.Sprintf("T%d", e.From+1), fmt.Sprintf("T%d", e.To+1)
	switch e.Kind {
	case "ww":
		return fmt.Sprintf("%s -ww-> %s: %s made version %v of %q, %s replaced it with %v", from, to, from, e.Version, string(e.Key), to, e.Next)
	case "wr":
		return fmt.Sprintf("%s -wr-> %s: %s made version %v of %q, %s saw it", from, to, from, e.Version, string(e.Key), to)
	case "rw":
		return fmt.Sprintf("%s -rw-> %s: %s saw version %v of %q, %s replaced it with %v", from, to, from, e.Version, string(e.Key), to, e.Next)
	}
	return fmt.Sprintf("%s -rt-> %s: %s had returned before %s was called", from, to, from, to)
}

func (a *Anomaly) Error() string {
	var b strings.Builder
	b.WriteString(a.Name)
	switch {
	case a.What != "":
		b.WriteString(": " + a.What)
	case len(a.Edges) > 0:
		fmt.Fprintf(&b, ": a cycle of %d transactions, each of which must come before the next", len(a.Edges))
	}
	for i := range a.Txns {
		fmt.Fprintf(&b, "\n\tT%d = %s", i+1, a.Txns[i].String())
	}
	for _, e := range a.Edges {
		b.WriteString("\n\t" + e.String())
	}
	return b.String()
}

func anomaly(name, what string, txns ...*Txn) *Anomaly {
	a := &Anomaly{Name: name, What: what}
	for _, t := range txns {
		a.Txns = append(a.Txns, *t)
	}
	return a
}
