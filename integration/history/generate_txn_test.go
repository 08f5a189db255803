package history

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/api"
)

// txnWorld is a correct store of two groups with clients, in virtual time: each transaction takes effect as a whole at one
// instant between its call and its return, some answers are lost, some transactions fail. Each group counts its versions
// by itself, and changes its epoch now and then. The keys of a kind are used in one way: k* are put and deleted, n* added
// to, l* appended to.
type txnWorld struct {
	rnd     *rand.Rand
	keys    int // of each kind
	steps   int // at most, of a transaction
	lost    int // of a hundred: answers that never came; half of them to transactions that did not happen either
	deletes bool

	counter [2]uint64
	epoch   [2]uint64
	states  map[api.Key]State
	unique  int
	txns    []Txn
}

func newTxnWorld(seed uint64) *txnWorld {
	return &txnWorld{rnd: rand.New(rand.NewPCG(seed, 11)), keys: 3, steps: 4, lost: 10, deletes: true,
		epoch: [2]uint64{1, 1}, states: map[api.Key]State{}}
}

// run lets the clients do n transactions each.
func (w *txnWorld) run(clients, n int) []Txn {
	type event struct {
		at  time.Duration
		txn Txn
	}
	var events []event
	for c := range clients {
		at := time.Duration(w.rnd.IntN(50)) * time.Microsecond
		for range n {
			t := Txn{Client: c, Call: at, Outcome: OK}
			took := time.Duration(1 + w.rnd.IntN(100_000))
			effect := at + time.Duration(w.rnd.IntN(int(took)))
			switch p := w.rnd.IntN(100); {
			case p < w.lost:
				t.Outcome = Unknown
				effect += time.Duration(w.rnd.IntN(300_000))
			case p < w.lost+3:
				t.Outcome = Failed
			}
			t.Return = at + took
			at = t.Return + 1 + time.Duration(w.rnd.IntN(20_000))
			events = append(events, event{effect, t})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	for _, e := range events {
		w.take(e.txn)
	}
	return w.txns
}

func (w *txnWorld) group(k api.Key) int { return int(k[len(k)-1]) % 2 }

// take lets t take effect now, as steps of the world's choice.
func (w *txnWorld) take(t Txn) {
	for g := range w.counter {
		w.counter[g] += uint64(1 + w.rnd.IntN(3))
		if w.rnd.IntN(200) == 0 {
			w.epoch[g]++
			w.counter[g] = uint64(w.rnd.IntN(5)) // another owner counts by itself
			w.floors(g, w.counter[g])
			w.counter[g]++
		}
	}
	if w.rnd.IntN(10) == 0 {
		g := w.rnd.IntN(2)
		w.floors(g, w.counter[g]-1)
	}
	happens := t.Outcome == OK || t.Outcome == Unknown && w.rnd.IntN(2) == 0
	own := map[api.Key]State{}
	for range 1 + w.rnd.IntN(w.steps) {
		t.Steps = append(t.Steps, w.step(own))
	}
	if happens {
		maps.Copy(w.states, own)
	}
	w.observe(&t)
	w.txns = append(w.txns, t)
}

// floors lets some absences of a group grow older: their tombstones are trimmed.
func (w *txnWorld) floors(g int, index uint64) {
	v := api.Version{Epoch: w.epoch[g], Index: index}
	for k, s := range w.states {
		if w.group(k) == g && !s.Exists && s.Version.Compare(v) < 0 && w.rnd.IntN(2) == 0 {
			w.states[k] = State{Version: v}
		}
	}
}

// step chooses a step and carries it out on what the transaction has written so far.
func (w *txnWorld) step(own map[api.Key]State) Step {
	kind, n := w.rnd.IntN(5), w.rnd.IntN(w.keys)
	s := Step{Kind: Get, Key: api.Key(fmt.Sprint([...]string{"k", "k", "k", "n", "l"}[kind], n))}
	now, isOwn := own[s.Key]
	if !isOwn {
		now = w.states[s.Key]
	}
	g := w.group(s.Key)
	made := api.Version{Epoch: w.epoch[g], Index: w.counter[g]}
	w.unique++
	switch {
	case w.rnd.IntN(2) == 0:
		s.State = now
		if isOwn {
			s.State.Version = api.Version{}
		}
		return s
	case kind == 3:
		was, _ := number(now)
		s.Kind, s.Arg = Add, strconv.Itoa(1+w.rnd.IntN(3))
		add, _ := strconv.ParseInt(s.Arg, 10, 64)
		s.State = State{Exists: true, Value: strconv.FormatInt(was+add, 10), Version: made}
	case kind == 4:
		s.Kind, s.Arg = Append, fmt.Sprint("e", w.unique, ".")
		s.State = State{Exists: true, Value: s.Arg, Version: made}
		if now.Exists {
			s.State.Value = now.Value + Separator + s.Arg
		}
	case w.deletes && w.rnd.IntN(4) == 0:
		s.Kind, s.State = Delete, State{Version: made}
		if !now.Exists && !now.Version.IsZero() {
			s.State.Version = now.Version
		}
	default:
		s.Kind, s.State = Put, State{Exists: true, Value: fmt.Sprint("v", w.unique), Version: made}
	}
	own[s.Key] = s.State
	return s
}

// observe leaves in t what the client can know.
func (w *txnWorld) observe(t *Txn) {
	for i := range t.Steps {
		s := &t.Steps[i]
		if s.function() && w.rnd.IntN(2) == 0 {
			s.State.Value = ""
		}
		if t.Outcome == OK || !s.writes() {
			continue
		}
		if s.State.Version = (api.Version{}); s.function() {
			s.State.Value = ""
		}
	}
	if t.Outcome == Unknown {
		t.Return = 0
	}
}
