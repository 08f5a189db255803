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

// TestResolveWithoutVersions: a delete that removed a value has a removal of its own, in its time; a delete that was told the version of
// its transaction removed a value if the key ended then; and a number stands for its version. What is in no change is found.
func TestResolveWithoutVersions(t *testing.T) {
	change := func(kind api.EventKind, key api.Key, n uint64, value string, when time.Duration) Change {
		return Change{Event: api.Event{Kind: kind, Key: key, Version: at(n), Value: []byte(value)}, Index: n, At: when}
	}
	all := []Change{
		change(api.EventPut, "k", 1, "a", 5), change(api.EventDelete, "k", 2, "", 15), change(api.EventPut, "k", 3, "b", 25),
		change(api.EventDelete, "k", 4, "", 35), change(api.EventPut, "n", 5, "1", 45), change(api.EventPut, "n", 6, "2", 55),
	}
	bare := func(o Op) Op {
		o.Unversioned, o.Result.Version, o.Expect.Version = true, api.Version{}, api.Version{}
		return o
	}
	told := func(call, ret int, n uint64) Op { // the version of its transaction alone
		o := del(call, ret, n)
		o.Unversioned = true
		return o
	}
	counter := func(o Op) Op {
		o.Key = "n"
		return o
	}
	a, b := bare(put(0, 9, "a", 0)), bare(put(20, 29, "b", 0))
	for what, x := range map[string]struct {
		ops   []Op
		want  []api.Version // of the last operations
		fault string
	}{
		"each its own":           {[]Op{a, b, bare(removed(10, 60, 0)), bare(removed(12, 20, 0))}, []api.Version{at(4), at(2)}, ""},
		"one for two":            {[]Op{a, b, bare(removed(10, 20, 0)), bare(removed(12, 20, 0))}, []api.Version{at(2), {}}, "no change is its"},
		"one that came too late": {[]Op{a, b, bare(removed(16, 24, 0))}, []api.Version{{}}, "no change is its"},
		"one that was too early": {[]Op{a, b, bare(removed(36, 40, 0))}, []api.Version{{}}, "no change is its"},
		"found nothing":          {[]Op{a, b, bare(foundNothing(40, 44, 0))}, []api.Version{at(4)}, ""},
		"found nothing in b":     {[]Op{a, b, bare(foundNothing(30, 32, 0))}, []api.Version{at(2)}, "a stale read"},
		"a transaction's":        {[]Op{a, told(10, 20, 2), b, bare(removed(12, 60, 0))}, []api.Version{at(4)}, ""},
		"a transaction's, none":  {[]Op{a, b, bare(removed(30, 39, 0)), told(40, 44, 9)}, []api.Version{at(4), at(4)}, ""},
		"a transaction's, lost":  {[]Op{a, b, told(30, 32, 9)}, []api.Version{at(2)}, "a stale read"},
		"numbers":                {[]Op{counter(bare(incr(40, 49, "1", 0))), counter(bare(incr(50, 59, "2", 0)))}, []api.Version{at(5), at(6)}, ""},
		"a number of no change":  {[]Op{counter(bare(incr(40, 49, "1", 0))), counter(bare(incr(50, 59, "3", 0)))}, []api.Version{at(5), {}}, "never written"},
		"replaced":               {[]Op{a, bare(cas(20, 29, is("a", 0), "b", 0))}, []api.Version{at(3)}, ""},
	} {
		Resolve(x.ops, all)
		for i, want := range x.want {
			if got := x.ops[len(x.ops)-len(x.want)+i].Result.Version; got != want {
				t.Errorf("%s: version %v, want %v", what, got, want)
			}
		}
		err := Versions(x.ops)
		if x.fault == "" && err != nil || x.fault != "" && (err == nil || !strings.Contains(err.Error(), x.fault)) {
			t.Errorf("%s: %v, want %q", what, err, x.fault)
		}
	}
}
