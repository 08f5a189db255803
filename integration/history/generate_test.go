package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
)

// world is a correct store with clients, in virtual time: each operation takes effect at one instant between its call and
// its return, and some answers are lost.
type world struct {
	rnd  *rand.Rand
	keys int
	// lost, of a hundred: answers that never came; half of them to operations that did not happen either.
	lost    int
	deletes bool
	// told: some answers tell no version, but what was found; and one key is a counter.
	told    bool
	changes []Change
	// bug makes one effect of the store wrong, and reports whether it did; nil: the store is correct.
	bug func(w *world, o *Op, before State) bool
	// look is how many of the next operations look at what a bug has left at the key.
	look   int
	lookAt api.Key

	counter uint64
	states  map[api.Key]State
	known   map[int]map[api.Key]State // what each client saw last
	ops     []Op
}

func newWorld(seed uint64) *world {
	return &world{rnd: rand.New(rand.NewPCG(seed, 7)), keys: 3, lost: 10, deletes: true,
		states: map[api.Key]State{}, known: map[int]map[api.Key]State{}}
}

// run lets the clients do n operations each.
func (w *world) run(clients, n int) []Op {
	type event struct {
		at time.Duration
		op Op
	}
	var events []event
	for c := range clients {
		w.known[c] = map[api.Key]State{}
		at := time.Duration(w.rnd.IntN(50))
		for range n {
			o := Op{Client: c, Key: api.Key(fmt.Sprint("k", w.rnd.IntN(w.keys))), Call: at}
			took := time.Duration(1 + w.rnd.IntN(100))
			effect := at + time.Duration(w.rnd.IntN(int(took)))
			if o.Outcome = OK; w.rnd.IntN(100) < w.lost {
				o.Outcome = Unknown
				effect += time.Duration(w.rnd.IntN(300))
			}
			o.Return = at + took
			at = o.Return + time.Duration(w.rnd.IntN(20))
			events = append(events, event{effect, o})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	for _, e := range events {
		w.take(e.op, e.at)
	}
	return w.ops
}

// take lets o take effect now.
func (w *world) take(o Op, at time.Duration) {
	w.counter++
	w.choose(&o)
	happens := o.Outcome == OK || w.rnd.IntN(2) == 0
	if o.Outcome == OK && o.Kind != Get && w.rnd.IntN(20) == 0 {
		o.Outcome, happens = Failed, false
	}
	now := w.states[o.Key]
	version := api.Version{Epoch: 1, Index: w.counter}
	next := State{Exists: true, Value: o.Written, Version: version}
	switch o.Kind {
	case Get:
		next, o.Result = now, now
	case CAS:
		holds := o.Expect.Exists && o.Expect == now || !o.Expect.Exists && !now.Exists
		if !holds {
			next = now
		}
		o.Refused = !holds && o.Outcome == OK
		o.Result.Version = next.Version
	case CompareDelete:
		if next = (State{Version: version}); o.Expect != now {
			next = now
		}
		o.Refused = o.Expect != now && o.Outcome == OK
		o.Result.Version = next.Version
	case Delete:
		if next = (State{Version: version}); !now.Exists {
			next = now
		}
		o.Result.Version = next.Version
		if o.Unversioned {
			o.Found = map[bool]Found{true: FoundValue, false: FoundNothing}[now.Exists]
		}
	case Add:
		n, _ := count(now)
		next.Value = fmt.Sprint(n + 1)
		if o.Result.Version = version; o.Unversioned {
			o.Result = next
		}
	default:
		o.Result.Version = version
	}
	if happens && next != now {
		w.states[o.Key] = next
		c := Change{Event: api.Event{Kind: api.EventDelete, Key: o.Key, Version: version}, Index: w.counter, At: at}
		if next.Exists {
			c.Kind, c.Value = api.EventPut, []byte(next.Value)
		}
		w.changes = append(w.changes, c)
	}
	if w.bug != nil && o.Outcome == OK && w.bug(w, &o, now) {
		w.bug, w.look, w.lookAt = nil, 8, o.Key
	}
	if o.Outcome != OK {
		o.Result, o.Return, o.Refused, o.Found = State{}, 0, false, Untold
	}
	if o.Kind == Get && o.Outcome == OK {
		w.known[o.Client][o.Key] = o.Result
	}
	if o.Unversioned {
		o.Result.Version, o.Expect.Version = api.Version{}, api.Version{}
	}
	w.ops = append(w.ops, o)
}

// undo takes the newest change back, as if it had never been.
func (w *world) undo(o *Op, before State) {
	w.states[o.Key] = before
	w.changes = w.changes[:len(w.changes)-1]
}

func (w *world) choose(o *Op) {
	o.Unversioned = w.told && o.Client%2 == 1
	if w.look > 0 && o.Key == w.lookAt {
		w.look--
		o.Kind = Get
		return
	}
	if w.told && o.Key == "k0" {
		if o.Kind = Get; w.rnd.IntN(3) == 0 {
			o.Kind = Add
		}
		return
	}
	switch n := w.rnd.IntN(100); {
	case n < 50:
		o.Kind = Get
	case n < 70:
		o.Kind, o.Written = Put, fmt.Sprint("v", w.counter)
	case n < 75 && w.deletes:
		o.Kind = Delete
	case n < 80 && w.told && w.deletes && w.known[o.Client][o.Key].Exists:
		o.Kind, o.Expect = CompareDelete, w.known[o.Client][o.Key]
	default:
		o.Kind, o.Written = CAS, fmt.Sprint("v", w.counter)
		o.Expect = w.known[o.Client][o.Key]
		if !o.Expect.Exists {
			o.Expect = State{}
		}
	}
}
