package history

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/edgehold/edgehold/api"
)

// view is what one transaction saw of several keys at once.
type view struct {
	txn *Txn
	saw []State // by key
}

// views are those of the transactions that happened and saw all the keys before they wrote them.
func views(txns []Txn, keys []api.Key) []view {
	var all []view
	for i := range txns {
		t := &txns[i]
		if t.Outcome != OK {
			continue
		}
		v := view{txn: t}
		for _, k := range keys {
			s, ok := t.sees(k)
			if !ok {
				break
			}
			v.saw = append(v.saw, s)
		}
		if len(v.saw) == len(keys) {
			all = append(all, v)
		}
	}
	return all
}

// number is what a state stands for in a count; absence is 0.
func number(s State) (int64, bool) {
	if !s.Exists {
		return 0, true
	}
	n, err := strconv.ParseInt(s.Value, 10, 64)
	return n, err == nil
}

// Bank reports whether every transaction that saw all the accounts, as decimal numbers, saw that sum: transfers between them
// leave it as it is. It returns how many did, so that the caller can see that there was something to judge, and nil or an
// *[Anomaly].
func Bank(txns []Txn, accounts []api.Key, sum int64) (seen int, err error) {
	for _, v := range views(txns, accounts) {
		seen++
		var total int64
		for i, s := range v.saw {
			n, ok := number(s)
			if !ok {
				return seen, anomaly("bank", fmt.Sprintf("%q is not a number", string(accounts[i])), v.txn)
			}
			total += n
		}
		if total != sum {
			return seen, anomaly("bank", fmt.Sprintf("a transaction saw a sum of %d; it is always %d", total, sum), v.txn)
		}
	}
	return seen, nil
}

// WriteSkew judges pairs of keys of which a transaction sets one to "0" only if it has seen the other as "1": a transaction that sees
// both must see a "1". It returns how many did, and nil or an *[Anomaly].
func WriteSkew(txns []Txn, pairs [][2]api.Key) (seen int, err error) {
	for _, p := range pairs {
		for _, v := range views(txns, p[:]) {
			seen++
			if !isOne(v.saw[0]) && !isOne(v.saw[1]) {
				return seen, anomaly("write skew", fmt.Sprintf("both of %q and %q were seen given up", string(p[0]), string(p[1])), v.txn)
			}
		}
	}
	return seen, nil
}

func isOne(s State) bool { return s.Exists && s.Value == "1" }

// Phantoms judges sets of keys of which a transaction creates one only if it has seen all of them absent, and none is
// deleted: at most one of them is ever there, and at most one creator succeeded. It returns how many transactions saw a
// whole set, and nil or an *[Anomaly].
func Phantoms(txns []Txn, sets [][]api.Key) (seen int, err error) {
	for _, set := range sets {
		var creator *Txn
		for _, v := range views(txns, set) {
			seen++
			there := 0
			for _, s := range v.saw {
				if s.Exists {
					there++
				}
			}
			if there > 1 {
				return seen, anomaly("phantom", fmt.Sprintf("%d keys of a set are there that at most one may be of", there), v.txn)
			}
			if !v.txn.creates(set) {
				continue
			}
			if creator != nil {
				return seen, anomaly("phantom", "two transactions saw a set of keys absent and created one", creator, v.txn)
			}
			creator = v.txn
		}
	}
	return seen, nil
}

func (t *Txn) creates(set []api.Key) bool {
	return slices.ContainsFunc(t.Steps, func(s Step) bool {
		return s.writes() && s.leavesValue() && slices.Contains(set, s.Key)
	})
}

// LongFork judges groups of keys that writers write one at a time, without reading, and readers read whole: of two
// readers one saw everything at least as new as the other did. It believes the versions. It returns how many read a whole
// group, and nil or an *[Anomaly].
func LongFork(txns []Txn, groups [][]api.Key) (seen int, err error) {
	for _, group := range groups {
		all := views(txns, group)
		seen += len(all)
		slices.SortStableFunc(all, func(a, b view) int {
			return slices.CompareFunc(a.saw, b.saw, func(x, y State) int { return x.Version.Compare(y.Version) })
		})
		for i := 1; i < len(all); i++ {
			for j := range group {
				if all[i].saw[j].Version.Compare(all[i-1].saw[j].Version) < 0 {
					what := fmt.Sprintf("two transactions saw the writes of different keys in different orders (%q newer in T1)", string(group[j]))
					return seen, anomaly("long fork", what, all[i-1].txn, all[i].txn)
				}
			}
		}
	}
	return seen, nil
}

// byVersion sorts accesses of one key.
func byVersion(as []access) {
	slices.SortStableFunc(as, func(a, b access) int {
		return cmp.Or(a.step.State.Version.Compare(b.step.State.Version), cmp.Compare(a.txn, b.txn))
	})
}
