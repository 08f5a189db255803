package history

import (
	"slices"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
)

// TestCorrectTransactionsPass feeds the judges what a correct store gave its clients, with lost answers.
func TestCorrectTransactionsPass(t *testing.T) {
	for seed := range uint64(400) {
		w := newTxnWorld(seed)
		w.lost = int(seed % 4 * 10)
		w.deletes = seed%3 != 0
		w.keys = 1 + int(seed%5)
		txns := w.run(6, 60)
		if err := StrictlySerializable(txns); err != nil {
			t.Fatalf("seed %d: fault found with a correct history: %v", seed, err)
		}
		for _, k := range keysOf(txns) {
			var err error
			switch k[0] {
			case 'n':
				if !onePerTxn(txns, k) {
					continue
				}
				_, err = Counters(txns, []api.Key{k})
			case 'l':
				if !onePerTxn(txns, k) {
					continue
				}
				_, err = Lists(txns, []api.Key{k})
			}
			if err != nil {
				t.Fatalf("seed %d: fault found with a correct history: %v", seed, err)
			}
		}
	}
}

func keysOf(txns []Txn) []api.Key {
	var keys []api.Key
	for i := range txns {
		for _, s := range txns[i].Steps {
			keys = append(keys, s.Key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// onePerTxn reports whether no transaction writes the key twice.
func onePerTxn(txns []Txn, k api.Key) bool {
	for i := range txns {
		for j := range txns[i].Steps {
			if s := &txns[i].Steps[j]; s.Key == k && s.writes() && txns[i].overwrites(j) {
				return false
			}
		}
	}
	return true
}

// spoilers are ways to make a correct history wrong. Each reports whether it could.
var spoilers = map[string]func(txns []Txn) bool{
	"stale read": func(txns []Txn) bool {
		return replaceRead(txns, func(old, next, reader *Txn) bool { return next.Return < reader.Call })
	},
	"half seen": func(txns []Txn) bool {
		return replaceRead(txns, func(_, next, reader *Txn) bool { return seesOther(txns, next, reader) })
	},
	"versions exchanged": func(txns []Txn) bool {
		return pairs(txns, func(a, b *Txn, i, j int) bool {
			x, y := &a.Steps[i].State, &b.Steps[j].State
			if a.Return >= b.Call || !x.Exists || !y.Exists {
				return false
			}
			x.Version, y.Version = y.Version, x.Version
			return true
		})
	},
	"one version twice": func(txns []Txn) bool {
		return pairs(txns, func(a, b *Txn, i, j int) bool {
			x, y := &a.Steps[i].State, &b.Steps[j].State
			if !x.Exists || !y.Exists {
				return false
			}
			x.Version = y.Version
			return true
		})
	},
	"failed": func(txns []Txn) bool {
		return eachSeen(txns, func(w, _ *Txn, _, _ int) bool { w.Outcome = Failed; return true })
	},
	"write forgotten": func(txns []Txn) bool {
		return eachSeen(txns, func(w, _ *Txn, i, _ int) bool { w.Steps = slices.Delete(slices.Clone(w.Steps), i, i+1); return true })
	},
	"another value": func(txns []Txn) bool {
		return eachSeen(txns, func(_, r *Txn, _, j int) bool { r.Steps[j].State.Value = "another"; return true })
	},
	"called later": func(txns []Txn) bool {
		return eachSeen(txns, func(w, r *Txn, _, _ int) bool { w.Call = r.Return + 1; w.Return = w.Call + 1; return true })
	},
	"own write unseen": func(txns []Txn) bool {
		for i := range txns {
			for j := range txns[i].Steps {
				if own := txns[i].ownBefore(j); txns[i].Outcome == OK && own != nil && txns[i].Steps[j].Kind == Get {
					s := &txns[i].Steps[j].State
					s.Exists = !s.Exists
					return true
				}
			}
		}
		return false
	},
}

// pairs calls f with two acknowledged Puts of one key that left versions, until f has done something.
func pairs(txns []Txn, f func(a, b *Txn, i, j int) bool) bool {
	for a := range txns {
		for i := range txns[a].Steps {
			if !puts(&txns[a], i) {
				continue
			}
			for b := range txns {
				for j := range txns[b].Steps {
					if a != b && puts(&txns[b], j) && txns[a].Steps[i].Key == txns[b].Steps[j].Key && f(&txns[a], &txns[b], i, j) {
						return true
					}
				}
			}
		}
	}
	return false
}

func puts(t *Txn, i int) bool {
	return t.Outcome == OK && t.Steps[i].Kind == Put && !t.overwrites(i)
}

// eachSeen calls f with an acknowledged Put and a later transaction that saw it, until f has done something.
func eachSeen(txns []Txn, f func(w, r *Txn, i, j int) bool) bool {
	for w := range txns {
		for i := range txns[w].Steps {
			if !puts(&txns[w], i) {
				continue
			}
			for r := range txns {
				for j := range txns[r].Steps {
					if w != r && sawIt(&txns[r], j, &txns[w].Steps[i]) && f(&txns[w], &txns[r], i, j) {
						return true
					}
				}
			}
		}
	}
	return false
}

func sawIt(t *Txn, j int, w *Step) bool {
	s := &t.Steps[j]
	return t.Outcome == OK && s.Kind == Get && s.Key == w.Key && s.State.Exists && s.State.Version == w.State.Version && t.ownBefore(j) == nil
}

// replaceRead lets a transaction that saw what next wrote see what old had written instead, which next replaced.
func replaceRead(txns []Txn, ok func(old, next, reader *Txn) bool) bool {
	return eachSeen(txns, func(w, r *Txn, i, j int) bool {
		key, version := w.Steps[i].Key, w.Steps[i].State.Version
		for o := range txns {
			for n := range txns[o].Steps {
				s := &txns[o].Steps[n]
				if s.Key == key && puts(&txns[o], n) && s.State.Version.Compare(version) < 0 && &txns[o] != r && ok(&txns[o], w, r) {
					r.Steps[j].State = s.State
					return true
				}
			}
		}
		return false
	})
}

// seesOther reports whether the reader saw two writes of w.
func seesOther(txns []Txn, w, reader *Txn) bool {
	n := 0
	for i := range w.Steps {
		for j := range reader.Steps {
			if puts(w, i) && sawIt(reader, j, &w.Steps[i]) {
				n++
				break
			}
		}
	}
	return n > 1
}

// TestSpoiltTransactionsAreCaught makes one thing of a correct history wrong: whatever else goes on, it must be found.
func TestSpoiltTransactionsAreCaught(t *testing.T) {
	for name, spoil := range spoilers {
		spoilt := 0
		for seed := range uint64(150) {
			w := newTxnWorld(seed)
			w.lost = 0 // an unknown write explains much
			w.deletes = seed%2 == 0
			txns := w.run(5, 40)
			if !spoil(txns) {
				continue
			}
			spoilt++
			if StrictlySerializable(txns) == nil {
				t.Errorf("%s, seed %d: overlooked", name, seed)
			}
		}
		if spoilt < 50 {
			t.Errorf("%s: only %d histories could be spoilt", name, spoilt)
		}
	}
}

// TestHalvesAreCaught lets an acknowledged answer be lost, and the one write of it unseen, with others of that
// transaction seen: the reader of what stood there before gives it away.
func TestHalvesAreCaught(t *testing.T) {
	spoilt := 0
	for seed := range uint64(300) {
		w := newTxnWorld(seed)
		w.lost, w.deletes, w.steps = 0, false, 6
		txns := w.run(5, 40)
		if !halve(txns) {
			continue
		}
		spoilt++
		if StrictlySerializable(txns) == nil {
			t.Errorf("seed %d: overlooked", seed)
		}
	}
	if spoilt < 50 {
		t.Fatalf("only %d histories could be spoilt", spoilt)
	}
}

// halve makes a transaction's outcome unknown, and takes one of its writes back for all transactions that saw it or a later one.
func halve(txns []Txn) bool {
	return eachSeen(txns, func(w, r *Txn, i, _ int) bool {
		for j := range w.Steps {
			if j == i || !puts(w, j) {
				continue
			}
			lost := &w.Steps[j]
			var readers []*State
			before, after, late := State{}, false, false
			for k := range txns {
				for n := range txns[k].Steps {
					s := &txns[k].Steps[n]
					switch {
					case s.Key != lost.Key || &txns[k] == w || txns[k].Outcome != OK:
					case sawIt(&txns[k], n, lost):
						readers = append(readers, &s.State)
						late = late || &txns[k] == r || r.Return < txns[k].Call
					case s.writes() && s.State.Version.Compare(lost.State.Version) < 0 && s.State.Version.Compare(before.Version) > 0:
						before, after = s.State, txns[k].Return >= w.Call
					}
				}
			}
			if !late || after { // else what was seen in its place may have replaced it
				continue
			}
			for _, s := range readers {
				*s = before
			}
			w.Outcome, w.Return = Unknown, 0
			for k := range w.Steps {
				if w.Steps[k].writes() {
					w.Steps[k].State.Version = api.Version{}
				}
			}
			return true
		}
		return false
	})
}

func BenchmarkStrictlySerializable(b *testing.B) {
	w := newTxnWorld(1)
	w.keys, w.lost = 300, 2
	txns := w.run(50, 2000)
	b.ResetTimer()
	for b.Loop() {
		if err := StrictlySerializable(txns); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(txns))*float64(b.N)/b.Elapsed().Seconds(), "txns/s")
}

// TestHistoryOfAHundredThousand is held to a few seconds: planets are to be judged by the thousand.
func TestHistoryOfAHundredThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	w := newTxnWorld(1)
	w.keys, w.lost = 300, 2
	txns := w.run(50, 2000)
	start := time.Now()
	if err := StrictlySerializable(txns); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}
