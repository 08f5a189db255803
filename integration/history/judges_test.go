package history

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestCorrectHistoriesPass feeds the judges what a correct store gave its clients, with lost answers.
func TestCorrectHistoriesPass(t *testing.T) {
	for seed := range uint64(150) {
		w := newWorld(seed)
		w.lost = int(seed % 4 * 8)
		w.deletes = seed%2 == 0
		ops := w.run(5, 60)
		for name, judge := range judges {
			if err := judge(ops); err != nil {
				t.Fatalf("seed %d: %s finds fault with a correct history: %v", seed, name, err)
			}
		}
	}
}

// TestCorrectHistoriesWithoutVersionsPass is the same for clients of which half get no versions, but what they replaced, removed
// and counted.
func TestCorrectHistoriesWithoutVersionsPass(t *testing.T) {
	for seed := range uint64(150) {
		w := newWorld(seed)
		w.lost, w.deletes, w.told = int(seed%4*8), seed%2 == 0, true
		ops := w.run(6, 60)
		Resolve(ops, w.changes)
		for name, judge := range judges {
			if err := judge(ops); err != nil {
				t.Fatalf("seed %d: %s finds fault with a correct history: %v", seed, name, err)
			}
		}
		if _, err := Kept(ops, w.changes); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestFaultyStoresAreCaught: a store that does one thing wrong, once, and says that it did it, is caught by the answers alone and by the
// versions, though half of the clients get no versions.
func TestFaultyStoresAreCaught(t *testing.T) {
	for what, bug := range map[string]func(w *world, o *Op, before State) bool{
		"a delete is lost": func(w *world, o *Op, before State) bool {
			if o.Found != FoundValue {
				return false
			}
			w.undo(o, before)
			return true
		},
		"a deleted value is back": func(w *world, o *Op, before State) bool {
			if o.Found != FoundValue {
				return false
			}
			w.states[o.Key] = before
			return true
		},
		"an add is lost": func(w *world, o *Op, before State) bool {
			if o.Kind != Add {
				return false
			}
			w.undo(o, before)
			return true
		},
		"an add is counted twice": func(w *world, o *Op, before State) bool {
			if o.Kind != Add {
				return false
			}
			n, _ := count(before)
			w.counter++
			again := State{Exists: true, Value: fmt.Sprint(n + 2), Version: at(w.counter)}
			w.states[o.Key] = again
			c := w.changes[len(w.changes)-1]
			c.Version, c.Index, c.Value = again.Version, w.counter, []byte(again.Value)
			w.changes = append(w.changes, c)
			return true
		},
		"a value keeps no one out": func(w *world, o *Op, before State) bool {
			if o.Kind != CAS || !o.Refused || o.Expect.Exists || !o.Unversioned {
				return false
			}
			next := State{Exists: true, Value: o.Written, Version: at(w.counter)}
			o.Refused, w.states[o.Key], o.Result = false, next, next
			w.changes = append(w.changes, Change{Event: api.Event{Kind: api.EventPut, Key: o.Key, Version: next.Version, Value: []byte(next.Value)}})
			return true
		},
	} {
		t.Run(strings.ReplaceAll(what, " ", "-"), func(t *testing.T) {
			spoilt, linear, versions := 0, 0, 0
			for seed := range uint64(60) {
				w := newWorld(seed)
				w.keys, w.lost, w.told, w.bug = 2, int(seed%2*8), true, bug
				ops := w.run(2, 60)
				if w.bug != nil {
					continue
				}
				spoilt++
				Resolve(ops, w.changes)
				if Linearizable(ops) != nil {
					linear++
				}
				if Versions(ops) != nil {
					versions++
				}
			}
			t.Logf("of %d faults: %d by linearizable, %d by versions", spoilt, linear, versions)
			if spoilt < 25 || linear < spoilt*17/20 || versions < spoilt*3/4 {
				t.Error("too many faults are overlooked")
			}
		})
	}
}

var judges = map[string]func([]Op) error{"linearizable": Linearizable, "versions": Versions, "once": Once}

const (
	linear = 1 << iota
	versions
	once
)

func at(n uint64) api.Version { return api.Version{Epoch: 1, Index: n} }

func is(value string, n uint64) State { return State{Exists: true, Value: value, Version: at(n)} }

func gone(n uint64) State {
	if n == 0 {
		return State{}
	}
	return State{Version: at(n)}
}

func op(kind Kind, client, call, ret int, o Op) Op {
	o.Key, o.Kind, o.Client, o.Call, o.Return, o.Outcome = "k", kind, client, time.Duration(call), time.Duration(ret), OK
	return o
}

func put(call, ret int, value string, n uint64) Op {
	return op(Put, 1, call, ret, Op{Written: value, Result: State{Version: at(n)}})
}

func get(call, ret int, saw State) Op { return op(Get, 2, call, ret, Op{Result: saw}) }

func cas(call, ret int, expect State, value string, n uint64) Op {
	return op(CAS, 3, call, ret, Op{Expect: expect, Written: value, Result: State{Version: at(n)}})
}

func refused(call, ret int, expect State, value string, n uint64) Op {
	o := cas(call, ret, expect, value, n)
	o.Refused = true
	return o
}

func del(call, ret int, n uint64) Op {
	return op(Delete, 4, call, ret, Op{Result: State{Version: at(n)}})
}

func removed(call, ret int, n uint64) Op {
	o := del(call, ret, n)
	o.Found, o.Unversioned, o.Result = FoundValue, true, gone(n)
	return o
}

func foundNothing(call, ret int, n uint64) Op {
	o := del(call, ret, n)
	o.Found, o.Unversioned, o.Result = FoundNothing, true, gone(n)
	return o
}

// untold is a refused operation that was not told what there was instead.
func untold(o Op) Op {
	o.Refused, o.Unversioned, o.Result = true, true, State{}
	return o
}

func compareDelete(call, ret int, expect State, n uint64) Op {
	return op(CompareDelete, 5, call, ret, Op{Expect: expect, Result: State{Version: at(n)}})
}

func incr(call, ret int, made string, n uint64) Op {
	return op(Add, 6, call, ret, Op{Result: is(made, n)})
}

func sum(call, ret int, n uint64) Op { return op(Add, 7, call, ret, Op{Result: gone(n)}) }

func lost(o Op) Op {
	o.Outcome, o.Return, o.Result, o.Refused, o.Found = Unknown, 0, State{}, false, Untold
	return o
}

func failed(o Op) Op {
	o.Outcome, o.Result = Failed, State{}
	return o
}

// TestAnomalies shows the judges each thing that must not be, and what only looks like it.
func TestAnomalies(t *testing.T) {
	for _, c := range []struct {
		name   string
		caught int
		ops    []Op
	}{
		{"nothing", 0, nil},
		{"in order", 0, []Op{put(0, 1, "a", 1), get(2, 3, is("a", 1)), put(4, 5, "b", 2), get(6, 7, is("b", 2))}},
		{"concurrent reads disagree in order", 0, []Op{put(0, 1, "a", 1), put(2, 9, "b", 2), get(3, 4, is("a", 1)), get(5, 6, is("b", 2))}},

		{"stale read", linear | versions, []Op{put(0, 1, "a", 1), put(2, 3, "b", 2), get(4, 5, is("a", 1))}},
		{"stale absence", linear | versions, []Op{put(0, 1, "a", 1), get(2, 3, gone(0))}},
		{"stale value after a delete", linear | versions, []Op{put(0, 1, "a", 1), del(2, 3, 2), get(4, 5, is("a", 1))}},
		{"reads go backwards", linear | versions, []Op{put(0, 1, "a", 1), put(2, 20, "b", 2), get(3, 4, is("b", 2)), get(5, 6, is("a", 1))}},
		{"stale refusal", linear | versions, []Op{put(0, 1, "a", 1), put(2, 3, "b", 2), put(4, 5, "c", 3), refused(6, 7, is("c", 3), "d", 2)}},

		{"lost update", linear | versions, []Op{put(0, 1, "a", 1), cas(2, 10, is("a", 1), "b", 2), cas(3, 10, is("a", 1), "c", 3), get(11, 12, is("c", 3))}},
		{"lost update by a put", linear | versions, []Op{put(0, 1, "a", 1), put(2, 3, "b", 2), cas(4, 5, is("a", 1), "c", 3), get(6, 7, is("c", 3))}},
		{"two creators", linear | versions, []Op{cas(0, 5, gone(0), "a", 1), cas(1, 5, gone(0), "b", 2)}},
		{"acknowledged write lost", linear | versions, []Op{put(0, 1, "a", 1), put(2, 3, "b", 2), get(4, 5, is("b", 2)), get(6, 7, is("a", 1))}},
		{"refused though it held", linear | versions, []Op{put(0, 1, "a", 1), refused(2, 3, is("a", 1), "b", 1)}},

		{"phantom", linear | versions, []Op{put(0, 1, "a", 1), get(2, 3, is("ghost", 2))}},
		{"failed write seen", linear | versions, []Op{put(0, 1, "a", 1), failed(put(2, 3, "b", 0)), get(4, 5, is("b", 2))}},
		{"refused write seen", linear | versions, []Op{put(0, 1, "a", 1), put(2, 3, "x", 2), refused(4, 5, is("a", 1), "b", 2), get(6, 7, is("b", 3))}},

		{"time travel", linear | versions, []Op{get(0, 1, is("a", 1)), put(2, 3, "a", 1)}},
		{"time travel of an unknown write", linear | versions, []Op{get(0, 1, is("a", 1)), lost(put(2, 0, "a", 0))}},
		{"write behind an acknowledged one", versions, []Op{put(0, 1, "a", 5), put(2, 3, "b", 4)}},

		{"duplicate effect", linear | versions | once, []Op{put(0, 1, "a", 1), put(2, 3, "b", 2), get(4, 5, is("a", 3))}},
		{"duplicate effect unseen between", versions | once, []Op{put(0, 1, "a", 1), get(2, 3, is("a", 2))}},
		{"duplicate effect of an unknown write", once, []Op{lost(put(0, 0, "a", 0)), get(2, 3, is("a", 1)), get(4, 5, is("a", 2))}},
		{"two writes one version", versions, []Op{put(0, 5, "a", 1), put(1, 5, "b", 1)}},
		{"one version two values", linear | versions, []Op{put(0, 1, "a", 1), lost(put(0, 0, "b", 0)), get(2, 3, is("b", 1)), get(4, 5, is("a", 1))}},

		{"unknown write seen", 0, []Op{put(0, 1, "a", 1), lost(put(2, 0, "b", 0)), get(5, 6, is("a", 1)), get(7, 8, is("b", 2))}},
		{"unknown write not seen", 0, []Op{put(0, 1, "a", 1), lost(put(2, 0, "b", 0)), get(5, 6, is("a", 1))}},
		{"unknown write seen and gone again", linear | versions, []Op{put(0, 1, "a", 1), lost(put(2, 0, "b", 0)), get(5, 6, is("b", 2)), get(7, 8, is("a", 1))}},
		{"unknown write behind", versions, []Op{put(0, 1, "a", 5), put(2, 20, "c", 6), lost(put(3, 0, "b", 0)), get(4, 15, is("b", 4))}},
		{"refused by an unknown write", 0, []Op{put(0, 1, "a", 1), lost(put(2, 0, "b", 0)), refused(3, 4, is("a", 1), "c", 2), put(5, 6, "d", 3), get(7, 8, is("d", 3))}},
		{"unknown delete seen", 0, []Op{put(0, 1, "a", 1), lost(del(2, 0, 0)), get(3, 4, gone(2)), get(5, 6, gone(2))}},
		{"unknown delete behind a creator", 0, []Op{put(0, 1, "a", 1), lost(del(2, 0, 0)), cas(3, 4, gone(0), "b", 3), get(5, 6, is("b", 3))}},
		{"unknown delete behind an unknown creator", 0, []Op{put(0, 1, "a", 1), lost(del(2, 0, 0)), lost(cas(3, 0, gone(0), "b", 0)), get(5, 6, is("b", 3))}},
		{"unknown delete, then a known one", 0, []Op{put(0, 1, "a", 1), lost(del(2, 0, 0)), get(3, 4, gone(2)), del(5, 6, 2), get(7, 8, gone(2))}},
		{"deleted by no operation", linear, []Op{put(0, 1, "a", 1), get(2, 3, gone(2))}},
		{"unknown cas seen", 0, []Op{put(0, 1, "a", 1), lost(cas(2, 0, is("a", 1), "b", 0)), get(3, 4, is("b", 2))}},
		{"delete twice", 0, []Op{put(0, 1, "a", 1), del(2, 3, 2), del(4, 5, 2), get(6, 7, gone(2)), cas(8, 9, gone(0), "b", 3)}},
		{"absence grows older", 0, []Op{put(0, 1, "a", 1), del(2, 3, 2), get(4, 5, gone(2)), get(6, 7, gone(9)), put(8, 9, "b", 10)}},
		{"lost read", 0, []Op{put(0, 1, "a", 1), lost(get(2, 0, gone(0))), get(3, 4, is("a", 1))}},

		{"removed", 0, []Op{put(0, 1, "a", 1), removed(2, 3, 2), foundNothing(4, 5, 2), put(6, 7, "b", 3), removed(8, 9, 4), get(10, 11, gone(4))}},
		{"found nothing at first", 0, []Op{foundNothing(0, 1, 0), put(2, 3, "a", 1)}},
		{"lost delete", linear | versions, []Op{put(0, 1, "a", 1), removed(2, 3, 2), get(4, 5, is("a", 1))}},
		{"delete that is no change", linear | versions, []Op{put(0, 1, "a", 1), removed(2, 3, 0), get(4, 5, is("a", 1))}},
		{"lost delete before another", linear, []Op{put(0, 1, "a", 1), removed(2, 3, 2), removed(4, 5, 3)}},
		{"one value removed twice", linear | versions, []Op{put(0, 1, "a", 1), removed(2, 5, 2), removed(3, 5, 2)}},
		{"removed again", linear | versions, []Op{put(0, 1, "a", 1), removed(2, 3, 2), removed(4, 5, 2)}},
		{"removed what never was", linear, []Op{removed(0, 1, 1)}},
		{"found nothing in a value", linear | versions, []Op{put(0, 1, "a", 1), foundNothing(2, 3, 0)}},
		{"found nothing in a newer value", linear | versions, []Op{put(0, 1, "a", 1), removed(2, 3, 2), put(4, 5, "b", 3), foundNothing(6, 7, 2)}},
		{"value back after a delete", linear | versions | once, []Op{put(0, 1, "a", 1), removed(2, 3, 2), get(4, 5, gone(2)), get(6, 7, is("a", 3))}},
		{"removed an unknown put", 0, []Op{lost(put(0, 0, "a", 0)), removed(2, 3, 2), get(4, 5, gone(2))}},
		{"removed an unknown cas", 0, []Op{lost(cas(0, 0, gone(0), "a", 0)), removed(2, 3, 2), get(4, 5, gone(2))}},
		{"removed one unknown put twice", linear, []Op{lost(put(0, 0, "a", 0)), removed(2, 3, 2), removed(4, 5, 3)}},
		{"removed an unknown put to come", linear, []Op{removed(0, 1, 2), lost(put(2, 0, "a", 0))}},
		{"unknown cas that never held", 0, []Op{put(0, 1, "a", 1), lost(cas(2, 0, gone(0), "b", 0)), removed(3, 4, 2), put(5, 6, "c", 3), get(7, 8, is("c", 3))}},

		{"kept out by a value", 0, []Op{put(0, 1, "a", 1), untold(cas(2, 3, gone(0), "b", 0)), get(4, 5, is("a", 1))}},
		{"kept out by an unknown put", 0, []Op{lost(put(0, 0, "a", 0)), untold(cas(2, 3, gone(0), "b", 0))}},
		{"kept out by nothing", linear, []Op{put(0, 1, "a", 1), removed(2, 3, 2), untold(cas(4, 5, gone(0), "b", 0))}},
		{"kept out and yet written", linear | versions, []Op{put(0, 1, "a", 1), untold(cas(2, 3, gone(0), "b", 0)), get(4, 5, is("b", 2))}},
		{"created over a value", linear | versions, []Op{put(0, 1, "a", 1), cas(2, 3, gone(0), "b", 2)}},
		{"refused by an unknown delete", 0, []Op{put(0, 1, "a", 1), lost(del(2, 0, 0)), untold(cas(3, 4, is("a", 1), "b", 0))}},

		{"compared and deleted", 0, []Op{put(0, 1, "a", 1), compareDelete(2, 3, is("a", 1), 2), get(4, 5, gone(2)), untold(compareDelete(6, 7, is("a", 1), 0))}},
		{"compared and deleted another", linear | versions, []Op{put(0, 1, "a", 1), put(2, 3, "b", 2), compareDelete(4, 5, is("a", 1), 3)}},
		{"compared, deleted and still there", linear | versions, []Op{put(0, 1, "a", 1), compareDelete(2, 3, is("a", 1), 2), get(4, 5, is("a", 1))}},
		{"compared and deleted twice", linear | versions, []Op{put(0, 1, "a", 1), compareDelete(2, 5, is("a", 1), 2), compareDelete(3, 6, is("a", 1), 3)}},
		{"refused to delete what it named", linear, []Op{put(0, 1, "a", 1), untold(compareDelete(2, 3, is("a", 1), 0))}},
		{"unknown compare and delete", 0, []Op{put(0, 1, "a", 1), lost(compareDelete(2, 0, is("a", 1), 0)), get(3, 4, is("a", 1)), get(5, 6, gone(2))}},
		{"unknown compare and delete of another", linear, []Op{put(0, 1, "a", 1), lost(compareDelete(2, 0, is("b", 2), 0)), get(3, 4, gone(2))}},

		{"counter", 0, []Op{get(0, 1, gone(0)), incr(0, 5, "1", 1), sum(2, 9, 2), get(6, 7, is("1", 1)), incr(10, 11, "3", 3), get(12, 13, is("3", 3))}},
		{"counter of integers", 0, []Op{sum(0, 1, 1), get(2, 3, is("\x01\x00\x00\x00\x00\x00\x00\x00", 1))}},
		{"counted twice", linear | versions, []Op{incr(0, 1, "1", 1), get(2, 3, is("2", 2))}},
		{"counted twice before the answer", linear | versions, []Op{incr(0, 1, "2", 2), get(2, 3, is("2", 2))}},
		{"counted twice between", linear | versions, []Op{incr(0, 1, "1", 1), sum(2, 3, 3), incr(4, 5, "4", 4)}},
		{"one number twice", linear | versions | once, []Op{incr(0, 5, "1", 1), incr(1, 6, "1", 2)}},
		{"add lost", linear | versions, []Op{incr(0, 1, "1", 1), sum(2, 3, 2), get(4, 5, is("1", 1))}},
		{"add lost under a new version", linear | versions | once, []Op{incr(0, 1, "1", 1), sum(2, 3, 2), get(4, 5, is("1", 2))}},
		{"counter gone", linear | versions, []Op{sum(0, 1, 1), get(2, 3, gone(0))}},
		{"add that is no change", versions, []Op{sum(0, 1, 0)}},
		{"unknown add seen", 0, []Op{lost(incr(0, 0, "", 0)), lost(incr(1, 0, "", 0)), get(2, 3, is("1", 1)), incr(4, 5, "2", 2), get(6, 7, is("3", 3))}},
		{"unknown add not seen", 0, []Op{lost(incr(0, 0, "", 0)), incr(4, 5, "1", 1), lost(incr(9, 0, "", 0))}},
		{"unknown add seen and gone again", linear | versions, []Op{lost(sum(0, 0, 0)), get(2, 3, is("1", 1)), get(4, 5, gone(0))}},
		{"unknown add counted twice", linear | versions, []Op{lost(incr(0, 0, "", 0)), get(2, 3, is("2", 2))}},
		{"add counted before its call", linear | versions, []Op{get(0, 1, is("1", 1)), lost(sum(2, 0, 0))}},
		{"failed add counted", linear | versions, []Op{failed(incr(0, 1, "", 0)), get(2, 3, is("1", 1)), incr(4, 5, "1", 1)}},
		{"counter of words", linear | versions, []Op{incr(0, 1, "1", 1), get(2, 3, is("one", 1))}},
		{"counter overwritten", linear | versions, []Op{incr(0, 1, "1", 1), put(2, 3, "5", 2)}},

		{"value written twice", linear | versions | once, []Op{put(0, 1, "a", 1), put(2, 3, "a", 2)}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			for name, j := range map[string]struct {
				bit   int
				judge func([]Op) error
			}{"linearizable": {linear, Linearizable}, "versions": {versions, Versions}, "once": {once, Once}} {
				err := j.judge(c.ops)
				if _, isViolation := errors.AsType[*Violation](err); err != nil && !isViolation {
					t.Errorf("%s: the error is no Violation: %v", name, err)
				}
				if want := c.caught&j.bit != 0; want != (err != nil) {
					t.Errorf("%s: want caught %v, got %v", name, want, err)
				}
			}
		})
	}
}

// TestSpoiltHistoriesAreCaught makes one answer of a correct history stale: whatever else goes on, it must be found.
func TestSpoiltHistoriesAreCaught(t *testing.T) {
	spoilt := 0
	for seed := range uint64(150) {
		w := newWorld(seed)
		w.keys = 1
		ops := w.run(5, 40)
		if !makeStale(ops) {
			continue
		}
		spoilt++
		if Versions(ops) == nil {
			t.Errorf("seed %d: versions overlooks a stale read", seed)
		}
		if Linearizable(ops) == nil {
			t.Errorf("seed %d: linearizable overlooks a stale read", seed)
		}
	}
	if spoilt < 100 {
		t.Fatalf("only %d histories could be spoilt", spoilt)
	}
}

// makeStale lets the last read see what an acknowledged write had replaced long before.
func makeStale(ops []Op) bool {
	var reader *Op
	for i := range ops {
		if o := &ops[i]; o.Kind == Get && o.Outcome == OK && (reader == nil || o.Call > reader.Call) {
			reader = o
		}
	}
	for i := range ops {
		first := &ops[i]
		for j := range ops {
			second := &ops[j]
			if first.wrote() && first.Kind != Delete && second.wrote() && second.Kind != Delete &&
				first.Return < second.Call && second.Return < reader.Call {
				reader.Result = State{Exists: true, Value: first.Written, Version: first.Result.Version}
				return true
			}
		}
	}
	return false
}

// TestViolationShowsTheShortestHistory keeps a report readable: what came after the fault is left out.
func TestViolationShowsTheShortestHistory(t *testing.T) {
	ops := []Op{put(0, 1, "a", 1), put(2, 3, "b", 2), get(4, 5, is("a", 1))}
	for i := range 50 {
		ops = append(ops, get(10+2*i, 11+2*i, is("b", 2)))
	}
	v, _ := errors.AsType[*Violation](Linearizable(ops))
	if v == nil || len(v.Ops) != 3 || v.Key != "k" || !strings.Contains(v.Error(), "stale") && !strings.Contains(v.Error(), `"a"`) {
		t.Errorf("got %v", v)
	}
}

func BenchmarkVersions(b *testing.B) {
	w := newWorld(1)
	w.keys = 1000
	ops := w.run(50, 20000)
	b.ResetTimer()
	for b.Loop() {
		if err := Versions(ops); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(ops))*float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func BenchmarkLinearizable(b *testing.B) {
	w := newWorld(1)
	w.keys = 30
	ops := w.run(10, 5000)
	b.ResetTimer()
	for b.Loop() {
		if err := Linearizable(ops); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(ops))*float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
