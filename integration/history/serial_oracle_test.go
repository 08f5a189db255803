package history

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/edgehold/edgehold/api"
)

// TestAgainstEveryOrder compares the judge with one that tries every order: on small histories of any kind, good or bad,
// both must agree, and where outcomes are unknown the judge may find no fault with what some order explains.
func TestAgainstEveryOrder(t *testing.T) {
	good, bad, missed := 0, 0, 0
	for seed := range uint64(60_000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		unknown := seed%3 == 0
		txns := anyHistory(rnd, unknown)
		want := explained(txns)
		err := StrictlySerializable(txns)
		switch {
		case want && err != nil:
			t.Fatalf("seed %d: fault found with what an order explains: %v\n%v", seed, err, shown(txns))
		case !want && err == nil && !unknown:
			t.Fatalf("seed %d: overlooked that no order explains it\n%v", seed, shown(txns))
		case want:
			good++
		case err == nil:
			missed++
		default:
			bad++
		}
	}
	t.Logf("%d good, %d bad, %d with unknown outcomes overlooked", good, bad, missed)
	if good < 5000 || bad < 5000 || missed*20 > bad {
		t.Errorf("the histories do not test much: %d good, %d bad, %d overlooked", good, bad, missed)
	}
}

func shown(txns []Txn) (s string) {
	for i := range txns {
		s += "\n\t" + txns[i].String()
	}
	return s
}

// anyHistory is a few transactions over two keys, whose versions and reads are drawn at random.
func anyHistory(rnd *rand.Rand, unknown bool) []Txn {
	txns := make([]Txn, 2+rnd.IntN(4))
	var puts [2][]*Step // by key, in the order of their versions
	for i := range txns {
		call := rnd.IntN(20)
		txns[i] = tx(call, call+1+rnd.IntN(12))
		if unknown && rnd.IntN(3) == 0 {
			txns[i].Outcome = Unknown
		}
		txns[i].Steps = make([]Step, 0, 4) // puts points into it
		for _, k := range rnd.Perm(2)[:1+rnd.IntN(2)] {
			key := fmt.Sprint("k", k)
			if rnd.IntN(3) > 0 {
				txns[i].Steps = append(txns[i].Steps, Step{Kind: Get, Key: api.Key(key)})
			}
			if rnd.IntN(2) > 0 {
				txns[i].Steps = append(txns[i].Steps, sets(key, fmt.Sprint("v", i), 0))
				puts[k] = append(puts[k], &txns[i].Steps[len(txns[i].Steps)-1])
			}
		}
	}
	for k := range puts {
		rnd.Shuffle(len(puts[k]), func(i, j int) { puts[k][i], puts[k][j] = puts[k][j], puts[k][i] })
		for v, p := range puts[k] {
			p.State.Version = at(uint64(v + 1))
		}
	}
	for i := range txns {
		for j := range txns[i].Steps {
			s := &txns[i].Steps[j]
			if of := puts[s.Key[1]-'0']; s.Kind == Get && len(of) > 0 && rnd.IntN(len(of)+1) > 0 {
				s.State = of[rnd.IntN(len(of))].State
			}
		}
	}
	for i := range txns {
		for j := range txns[i].Steps {
			if s := &txns[i].Steps[j]; txns[i].Outcome == Unknown && s.writes() {
				s.State.Version = api.Version{}
			}
		}
	}
	return txns
}

// explained reports whether some order of the transactions, some of unknown outcome left out, explains all answers.
func explained(txns []Txn) bool {
	seen := map[string]api.Version{} // the version of a value, if it is known
	for i := range txns {
		for _, s := range txns[i].Steps {
			if s.State.Exists && !s.State.Version.IsZero() {
				seen[string(s.Key)+s.State.Value] = s.State.Version
			}
		}
	}
	o := &orders{txns: txns, seen: seen, done: make([]bool, len(txns))}
	return o.extend(map[api.Key]State{}, map[api.Key]api.Version{})
}

type orders struct {
	txns []Txn
	seen map[string]api.Version
	done []bool
}

// extend tries each transaction that may come next.
func (o *orders) extend(now map[api.Key]State, newest map[api.Key]api.Version) bool {
	complete, first := true, forever
	for i := range o.txns {
		if t := &o.txns[i]; !o.done[i] && t.Outcome == OK {
			complete, first = false, min(first, t.Return)
		}
	}
	if complete && o.answered() {
		return true
	}
	for i := range o.txns {
		if t := &o.txns[i]; !o.done[i] && t.Call <= first {
			after, versions, ok := o.take(t, now, newest)
			if !ok {
				continue
			}
			o.done[i] = true
			if o.extend(after, versions) {
				return true
			}
			o.done[i] = false
		}
	}
	return false
}

// answered reports whether what transactions that were left out had read was there at some time: it is enough that some
// transaction wrote it.
func (o *orders) answered() bool {
	for i := range o.txns {
		if o.done[i] || o.txns[i].Outcome == OK {
			continue
		}
		for _, s := range o.txns[i].Steps {
			if s.Kind == Get && s.State.Exists && !o.wrote(s) {
				return false
			}
		}
	}
	return true
}

func (o *orders) wrote(read Step) bool {
	for i := range o.txns {
		for _, s := range o.txns[i].Steps {
			if o.done[i] && s.writes() && s.Key == read.Key && s.State.Value == read.State.Value {
				return true
			}
		}
	}
	return false
}

// take lets t take effect, if its answers fit.
func (o *orders) take(t *Txn, now map[api.Key]State, newest map[api.Key]api.Version) (map[api.Key]State, map[api.Key]api.Version, bool) {
	after, versions := map[api.Key]State{}, map[api.Key]api.Version{}
	maps.Copy(after, now)
	maps.Copy(versions, newest)
	for _, s := range t.Steps {
		if s.Kind == Get {
			if after[s.Key].Exists != s.State.Exists || after[s.Key].Value != s.State.Value {
				return nil, nil, false
			}
			continue
		}
		after[s.Key] = State{Exists: true, Value: s.State.Value}
		if v, known := o.seen[string(s.Key)+s.State.Value]; known {
			if v.Compare(versions[s.Key]) <= 0 {
				return nil, nil, false
			}
			versions[s.Key] = v
		}
	}
	return after, versions, true
}
