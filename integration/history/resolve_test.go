package history

import (
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestResolve: what a protocol without versions answers is judged by the changes that became visible, and a stale, lost or invented
// answer is found as one with a version is.
func TestResolve(t *testing.T) {
	at := func(n uint64) api.Version { return api.Version{Epoch: 1, Index: n} }
	put := func(n uint64, value string, when time.Duration) Change {
		return Change{Event: api.Event{Kind: api.EventPut, Key: "k", Version: at(n), Value: []byte(value)}, Index: n, At: when}
	}
	all := []Change{
		put(1, "a", 5), put(2, "b", 15),
		{Event: api.Event{Kind: api.EventDelete, Key: "k", Version: at(3)}, Index: 3, At: 25}, put(4, "c", 35),
	}
	written := func(kind Kind, value string, call, back time.Duration) Op {
		return Op{Kind: kind, Key: "k", Written: value, Call: call, Return: back, Outcome: OK, Unversioned: true}
	}
	saw := func(value string, call, back time.Duration) Op {
		return Op{Kind: Get, Key: "k", Call: call, Return: back, Outcome: OK, Unversioned: true, Result: State{Exists: value != "", Value: value}}
	}
	swap := written(CAS, "b", 10, 20)
	swap.Expect = State{Exists: true, Value: "a"}
	lost := swap
	lost.Expect = State{Exists: true, Value: "b"}
	lost.Written, lost.Call, lost.Return = "c", 30, 40
	sound := []Op{written(Put, "a", 0, 9), swap, {Kind: Delete, Key: "k", Call: 21, Return: 29, Outcome: OK, Result: State{Version: at(3)}}}
	c := written(Put, "c", 30, 40)
	for what, x := range map[string]struct {
		ops   []Op
		fault string
	}{
		"sound": {[]Op{c, saw("a", 1, 8), saw("b", 12, 22), saw("", 24, 31), saw("c", 36, 50), saw("", 0, 2)}, ""},
		"a delete of nothing": {[]Op{{Kind: Delete, Key: "n", Call: 1, Return: 2, Outcome: OK, Result: State{Version: at(1)}},
			{Kind: Get, Key: "n", Call: 3, Return: 4, Outcome: OK, Unversioned: true}}, ""},
		"an old value":            {[]Op{c, saw("a", 21, 23)}, "a stale read"},
		"an old absence":          {[]Op{c, saw("", 41, 50)}, "a stale read"},
		"absence before any":      {[]Op{c, saw("", 10, 12)}, "a stale read"},
		"a value of no write":     {[]Op{c, saw("x", 41, 50)}, "no operation wrote"},
		"a write that is lost":    {[]Op{c, written(Put, "d", 41, 50)}, "never written"},
		"a swap of what was gone": {[]Op{lost}, "a lost update"},
	} {
		ops := append(append([]Op{}, sound...), x.ops...)
		Resolve(ops, all)
		err := Versions(ops)
		if x.fault == "" && err != nil || x.fault != "" && (err == nil || !strings.Contains(err.Error(), x.fault)) {
			t.Errorf("%s: %v, want %q", what, err, x.fault)
		}
	}
}
