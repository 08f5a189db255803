package history

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

func tx(call, ret int, steps ...Step) Txn {
	return Txn{Client: call, Steps: steps, Call: time.Duration(call), Return: time.Duration(ret), Outcome: OK}
}

func lostTx(call int, steps ...Step) Txn {
	t := tx(call, 0, steps...)
	t.Outcome = Unknown
	for i := range t.Steps {
		if t.Steps[i].writes() {
			t.Steps[i].State.Version = api.Version{}
		}
	}
	return t
}

func failedTx(call, ret int, steps ...Step) Txn {
	t := lostTx(call, steps...)
	t.Outcome, t.Return = Failed, time.Duration(ret)
	return t
}

func saw(key, value string, n uint64) Step {
	return Step{Kind: Get, Key: api.Key(key), State: is(value, n)}
}

func none(key string, n uint64) Step { return Step{Kind: Get, Key: api.Key(key), State: gone(n)} }

func sets(key, value string, n uint64) Step {
	return Step{Kind: Put, Key: api.Key(key), State: is(value, n)}
}

func removes(key string, n uint64) Step {
	return Step{Kind: Delete, Key: api.Key(key), State: gone(n)}
}

func adds(key, arg string, n uint64) Step {
	return Step{Kind: Add, Key: api.Key(key), Arg: arg, State: State{Exists: true, Version: at(n)}}
}

func appends(key, arg string, n uint64) Step {
	return Step{Kind: Append, Key: api.Key(key), Arg: arg, State: State{Exists: true, Version: at(n)}}
}

// TestTransactionAnomalies shows the judge each thing that must not be, and what only looks like it.
func TestTransactionAnomalies(t *testing.T) {
	for _, c := range []struct {
		name string
		want string // what the anomaly's name begins with; "" is none
		txns []Txn
	}{
		{"nothing", "", nil},
		{"in order", "", []Txn{tx(0, 1, sets("x", "a", 1), sets("y", "a", 1)), tx(2, 3, saw("x", "a", 1), saw("y", "a", 1), sets("x", "b", 2)), tx(4, 5, saw("x", "b", 2))}},
		{"groups number apart", "", []Txn{tx(0, 1, sets("x", "a", 7), sets("y", "a", 1)), tx(2, 3, sets("x", "b", 8), sets("y", "b", 2)), tx(4, 5, saw("x", "b", 8), saw("y", "b", 2))}},
		{"concurrent, seen against the calls", "", []Txn{tx(0, 9, sets("x", "a", 2)), tx(1, 9, sets("x", "b", 1)), tx(2, 3, saw("x", "b", 1)), tx(4, 5, saw("x", "a", 2))}},
		{"absence grows older", "", []Txn{tx(0, 1, sets("x", "a", 1)), tx(2, 3, removes("x", 2)), tx(4, 5, none("x", 2)), tx(6, 7, none("x", 9)), tx(8, 9, sets("x", "b", 10)), tx(10, 11, saw("x", "b", 10))}},
		{"deletes of nothing", "", []Txn{tx(0, 1, removes("x", 1)), tx(2, 3, none("x", 1)), tx(4, 5, removes("x", 1), sets("y", "a", 2)), tx(6, 7, none("x", 1), saw("y", "a", 2))}},
		{"two deletes, one absence", "", []Txn{tx(0, 1, sets("x", "a", 1)), tx(2, 9, removes("x", 2)), tx(3, 9, removes("x", 2)), tx(4, 5, none("x", 2)), tx(10, 11, none("x", 2))}},

		{"dirty write", "G0", []Txn{tx(0, 9, sets("x", "a", 1), sets("y", "a", 2)), tx(1, 9, sets("x", "b", 2), sets("y", "b", 1))}},
		{"aborted read", "G1a (aborted", []Txn{failedTx(0, 1, sets("x", "a", 0)), tx(2, 3, saw("x", "a", 1))}},
		{"unwritten read", "G1a (unwritten", []Txn{tx(0, 1, sets("x", "a", 1)), tx(2, 3, saw("x", "ghost", 2))}},
		{"absent without a delete", "G1a (unwritten", []Txn{tx(0, 1, sets("x", "a", 1)), tx(2, 3, none("x", 2))}},
		{"intermediate read", "G1b", []Txn{tx(0, 9, sets("x", "a", 0), sets("x", "b", 1)), tx(1, 9, saw("x", "a", 2))}},
		{"circular information flow", "G1c", []Txn{tx(0, 9, sets("x", "a", 1), saw("y", "b", 1)), tx(1, 9, sets("y", "b", 1), saw("x", "a", 1))}},
		{"read skew", "G-single", []Txn{tx(0, 1, sets("x", "a", 1), sets("y", "a", 1)), tx(2, 9, sets("x", "b", 2), sets("y", "b", 2)), tx(3, 9, saw("x", "b", 2), saw("y", "a", 1))}},
		{"lost update", "lost update", []Txn{tx(0, 1, sets("x", "a", 1)), tx(2, 9, saw("x", "a", 1), sets("x", "b", 2)), tx(3, 9, saw("x", "a", 1), sets("x", "c", 3))}},
		{"lost update of an absence", "lost update", []Txn{tx(2, 9, none("x", 0), sets("x", "b", 2)), tx(3, 9, none("x", 0), sets("x", "c", 3))}},
		{"two states of one key", "G-single", []Txn{tx(0, 9, sets("x", "a", 1)), tx(1, 9, none("x", 0), saw("x", "a", 1))}},
		{"write skew", "G2 (write skew)", []Txn{tx(0, 1, sets("x", "a", 1), sets("y", "a", 1)), tx(2, 9, saw("x", "a", 1), sets("y", "b", 2)), tx(3, 9, saw("y", "a", 1), sets("x", "b", 2))}},
		{"write skew on absence", "G2 (write skew)", []Txn{tx(2, 9, none("x", 0), sets("y", "b", 2)), tx(3, 9, none("y", 0), sets("x", "b", 2))}},
		{"long fork", "G2 (long fork)", []Txn{tx(0, 9, sets("x", "a", 1)), tx(1, 9, sets("y", "a", 1)), tx(2, 9, saw("x", "a", 1), none("y", 0)), tx(3, 9, none("x", 0), saw("y", "a", 1))}},
		{"cycle of three", "G2", []Txn{tx(0, 9, none("x", 0), sets("y", "a", 1)), tx(1, 9, none("y", 0), sets("z", "a", 1)), tx(2, 9, none("z", 0), sets("x", "a", 1))}},

		{"stale read", "stale read", []Txn{tx(0, 1, sets("x", "a", 1)), tx(2, 3, sets("x", "b", 2)), tx(4, 5, saw("x", "a", 1))}},
		{"stale absence", "stale read", []Txn{tx(0, 1, sets("x", "a", 1)), tx(2, 3, none("x", 0))}},
		{"reads go backwards", "real time", []Txn{tx(0, 1, sets("x", "a", 1)), tx(2, 20, sets("x", "b", 2)), tx(3, 4, saw("x", "b", 2)), tx(5, 6, saw("x", "a", 1))}},
		{"write behind an acknowledged one", "real time", []Txn{tx(0, 1, sets("x", "a", 2)), tx(2, 3, sets("x", "b", 1))}},
		{"time travel", "real time", []Txn{tx(0, 1, saw("x", "a", 1)), tx(2, 3, sets("x", "a", 1))}},
		{"time over a third", "real time", []Txn{tx(0, 9, sets("x", "a", 1)), tx(1, 2, saw("x", "a", 1), none("y", 0)), tx(0, 20, sets("y", "a", 1)), tx(3, 4, saw("y", "a", 1)), tx(5, 6, none("x", 0))}},
		{"not stale while it runs", "", []Txn{tx(0, 1, sets("x", "a", 1)), tx(2, 9, sets("x", "b", 2)), tx(4, 5, saw("x", "a", 1))}},

		{"duplicate version", "duplicate version", []Txn{tx(0, 9, sets("x", "a", 1)), tx(1, 9, sets("x", "b", 1))}},
		{"one version two values", "two states", []Txn{tx(0, 9, sets("x", "a", 1)), tx(1, 9, saw("x", "b", 1))}},
		{"one version there and absent", "two states", []Txn{tx(0, 9, sets("x", "a", 1)), tx(1, 9, none("x", 1))}},
		{"taken twice", "taken twice", []Txn{tx(0, 9, sets("x", "a", 1)), tx(1, 9, sets("x", "b", 2)), tx(1, 9, saw("x", "a", 3))}},
		{"taken twice, unknown", "taken twice", []Txn{lostTx(0, sets("x", "a", 0)), tx(1, 2, saw("x", "a", 1)), tx(3, 4, saw("x", "a", 3))}},
		{"own write", "", []Txn{tx(0, 1, sets("x", "a", 0), saw("x", "a", 0), sets("x", "b", 1), saw("x", "b", 0)), tx(2, 3, removes("x", 2), none("x", 0))}},
		{"own write not seen", "internal", []Txn{tx(0, 1, sets("x", "a", 1)), tx(2, 3, sets("x", "b", 2), saw("x", "a", 1))}},
		{"own delete not seen", "internal", []Txn{tx(0, 1, sets("x", "a", 1)), tx(2, 3, removes("x", 2), saw("x", "a", 1))}},
		{"no version", "unusable", []Txn{tx(0, 1, Step{Kind: Put, Key: "x", State: State{Exists: true, Value: "a"}})}},
		{"backwards", "unusable", []Txn{tx(2, 1, sets("x", "a", 1))}},

		{"unknown not seen", "", []Txn{tx(0, 1, sets("x", "a", 1)), lostTx(2, sets("x", "b", 0), sets("y", "b", 0)), tx(5, 6, saw("x", "a", 1), none("y", 0))}},
		{"unknown seen", "", []Txn{lostTx(2, sets("x", "b", 0), sets("y", "b", 0)), tx(5, 6, none("x", 0)), tx(7, 8, saw("x", "b", 2)), tx(9, 10, saw("y", "b", 1))}},
		{"unknown seen and gone again", "real time", []Txn{tx(0, 1, sets("x", "a", 1)), lostTx(2, sets("x", "b", 0)), tx(5, 6, saw("x", "b", 2)), tx(7, 8, saw("x", "a", 1))}},
		{"unknown with a read, seen", "G2 (write skew)", []Txn{lostTx(2, none("x", 0), sets("y", "b", 0)), tx(3, 9, none("y", 0), sets("x", "b", 2)), tx(10, 11, saw("y", "b", 1), saw("x", "b", 2))}},
		{"half", "half", []Txn{lostTx(2, sets("x", "b", 0), sets("y", "b", 0)), tx(7, 8, saw("x", "b", 2)), tx(9, 10, none("y", 0))}},
		{"half in one view", "half", []Txn{tx(0, 1, sets("y", "a", 1)), lostTx(2, sets("x", "b", 0), sets("y", "b", 0)), tx(3, 8, saw("x", "b", 2), saw("y", "a", 1))}},
		{"half that may be replaced", "", []Txn{tx(0, 1, sets("y", "a", 1)), lostTx(2, sets("x", "b", 0), sets("y", "b", 0)), tx(3, 6, sets("y", "c", 3)), tx(7, 8, saw("x", "b", 2), saw("y", "c", 3))}},
		{"half that cannot be replaced", "half", []Txn{tx(0, 1, sets("y", "a", 1)), lostTx(2, sets("x", "b", 0), sets("y", "b", 0)), tx(3, 6, saw("y", "a", 1), sets("y", "c", 3)), tx(7, 8, saw("x", "b", 2), saw("y", "c", 3))}},
		{"half that may come later", "", []Txn{tx(0, 1, sets("y", "a", 1)), lostTx(2, sets("x", "b", 0), sets("y", "b", 0)), tx(3, 6, saw("y", "a", 1)), tx(7, 8, saw("x", "b", 2))}},
		{"half of what its own read forbids", "half", []Txn{tx(0, 1, sets("y", "a", 1)), tx(1, 9, sets("y", "c", 3)), lostTx(2, saw("y", "a", 1), sets("x", "b", 0), sets("y", "b", 0)), tx(3, 8, saw("y", "a", 1), sets("x", "c", 1)), tx(4, 9, saw("y", "a", 1), saw("x", "b", 2))}},
		{"unknown delete seen", "", []Txn{tx(0, 1, sets("x", "a", 1)), lostTx(2, removes("x", 0), sets("y", "b", 0)), tx(3, 4, none("x", 2)), tx(5, 6, saw("y", "b", 1), none("x", 2))}},
		{"unknown delete, half", "half", []Txn{tx(0, 1, sets("x", "a", 1)), lostTx(2, removes("x", 0), sets("y", "b", 0)), tx(3, 4, none("x", 2)), tx(5, 6, none("y", 0))}},
		{"two unknown deletes", "", []Txn{tx(0, 1, sets("x", "a", 1)), lostTx(2, removes("x", 0)), lostTx(2, removes("x", 0)), tx(3, 4, none("x", 2)), tx(5, 6, sets("x", "b", 5)), tx(7, 8, none("x", 7))}},
		{"unknown delete, then one that changed nothing", "", []Txn{tx(0, 1, sets("x", "a", 1)), lostTx(2, removes("x", 0)), tx(3, 4, none("x", 2)), tx(5, 6, removes("x", 2)), tx(7, 8, none("x", 2))}},
		{"one unknown delete cannot explain two", "G1a (unwritten", []Txn{tx(0, 1, sets("x", "a", 1)), lostTx(2, removes("x", 0)), tx(3, 4, none("x", 2)), tx(5, 6, sets("x", "b", 5)), tx(7, 8, none("x", 7))}},
		{"unknown called too late", "G1a (unwritten", []Txn{tx(0, 1, saw("x", "a", 1)), lostTx(2, sets("x", "a", 0))}},

		{"adds", "", []Txn{tx(0, 1, adds("x", "1", 1)), tx(2, 3, saw("x", "1", 1)), lostTx(4, adds("x", "5", 0)), tx(5, 6, saw("x", "6", 2)), tx(7, 8, adds("x", "1", 3)), tx(9, 10, saw("x", "7", 3))}},
		{"unwritten sum", "G1a (unwritten", []Txn{tx(0, 1, adds("x", "1", 1)), tx(2, 3, saw("x", "6", 2))}},
		{"appends of unknown outcome", "", []Txn{lostTx(0, appends("x", "a", 0), sets("y", "a", 0)), lostTx(0, appends("x", "b", 0), sets("z", "a", 0)), tx(5, 6, saw("x", "b", 2), saw("z", "a", 2)), tx(7, 8, saw("x", "b,a", 4)), tx(9, 10, saw("y", "a", 1))}},
		{"append of unknown outcome, half", "half", []Txn{lostTx(0, appends("x", "a", 0), sets("y", "a", 0)), tx(7, 8, saw("x", "a", 4)), tx(9, 10, none("y", 0))}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			err := StrictlySerializable(c.txns)
			a, is := errors.AsType[*Anomaly](err)
			switch {
			case err != nil && !is:
				t.Errorf("the error is no Anomaly: %v", err)
			case c.want == "" && err != nil:
				t.Errorf("found fault with a correct history: %v", err)
			case c.want != "" && (err == nil || !strings.HasPrefix(a.Name, c.want)):
				t.Errorf("want %q, got %v", c.want, err)
			case err != nil && len(a.Txns) == 0:
				t.Errorf("shows no transaction: %v", err)
			}
		})
	}
}

// TestCycleIsReported keeps reports readable: the shortest cycle, each edge with its key and versions, and nothing else.
func TestCycleIsReported(t *testing.T) {
	txns := []Txn{
		tx(0, 1, sets("x", "a", 1), sets("y", "a", 1)),
		tx(2, 9, saw("x", "a", 1), sets("y", "b", 2)),
		tx(3, 9, saw("y", "a", 1), sets("x", "b", 3)),
	}
	for i := range 50 { // a longer cycle passes through all of these
		txns = append(txns, tx(10+2*i, 11+2*i, saw("x", "b", 3), saw("y", "b", 2)))
	}
	a, _ := errors.AsType[*Anomaly](StrictlySerializable(txns))
	want := `G2 (write skew): a cycle of 2 transactions, each of which must come before the next
	T1 = client 2 [2ns, 9ns] ok: get "x" -> "a" (version 1.1), put "y" := "b" (version 1.2)
	T2 = client 3 [3ns, 9ns] ok: get "y" -> "a" (version 1.1), put "x" := "b" (version 1.3)
	T1 -rw-> T2: T1 saw version 1.1 of "x", T2 replaced it with 1.3
	T2 -rw-> T1: T2 saw version 1.1 of "y", T1 replaced it with 1.2`
	if a == nil || a.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", a, want)
	}
	a, _ = errors.AsType[*Anomaly](StrictlySerializable([]Txn{
		tx(0, 1, sets("x", "a", 1)), tx(2, 20, sets("x", "b", 2)), tx(3, 4, saw("x", "b", 2)), tx(5, 6, saw("x", "a", 1)),
	}))
	if a == nil || len(a.Edges) != 3 || a.Edges[0].Kind != "wr" || a.Edges[1].Kind != "rt" || a.Edges[2].Kind != "rw" ||
		!strings.Contains(a.Error(), "T2 -rt-> T3: T2 had returned before T3 was called") {
		t.Errorf("got %v", a)
	}
}
