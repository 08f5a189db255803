package history

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Separator divides the elements of a list that Appends write.
const Separator = ","

// Lists judges lists that are only ever appended to, one element a transaction and no element twice: of two lists that
// were seen, by version, the older is the beginning of the newer; each element stands in it once and was appended by a
// transaction that can have happened; what was acknowledged before a read was called stands in it. It returns how many
// lists were seen, and nil or an *[Anomaly].
func Lists(txns []Txn, keys []api.Key) (seen int, err error) {
	for _, key := range keys {
		appends, reads := touches(txns, key, Append)
		l := list{txns, map[string]*Txn{}, appends}
		for _, a := range appends {
			if txns[a.txn].Outcome != Failed {
				l.by[a.step.Arg] = &txns[a.txn]
			}
		}
		byVersion(reads)
		for i, r := range reads {
			seen++
			if a := l.judge(r); a != nil {
				return seen, a
			}
			if i > 0 && !isPrefix(reads[i-1].step.State.Value, r.step.State.Value) {
				return seen, anomaly("list", fmt.Sprintf("a list at %q is not the beginning of a newer one", string(key)), &txns[reads[i-1].txn], &txns[r.txn])
			}
		}
	}
	return seen, nil
}

func isPrefix(old, list string) bool {
	return old == list || old == "" || strings.HasPrefix(list, old+Separator)
}

// list is what was appended to one key.
type list struct {
	txns    []Txn
	by      map[string]*Txn // by element: the transaction that can have appended it
	appends []access
}

// judge looks at one list that was seen.
func (l *list) judge(r access) *Anomaly {
	reader := &l.txns[r.txn]
	in := map[string]bool{}
	if r.step.State.Exists {
		for e := range strings.SplitSeq(r.step.State.Value, Separator) {
			by := l.by[e]
			switch {
			case by == nil || by.Call > reader.Return:
				return anomaly("list", fmt.Sprintf("%q holds %q, which no transaction can have appended by then", string(r.step.Key), e), reader)
			case in[e]:
				return anomaly("list", fmt.Sprintf("%q was appended to %q twice", e, string(r.step.Key)), by, reader)
			}
			in[e] = true
		}
	}
	for _, a := range l.appends {
		if w := &l.txns[a.txn]; w.Outcome == OK && w.Return < reader.Call && !in[a.step.Arg] {
			return anomaly("list", fmt.Sprintf("%q, appended to %q and acknowledged, is lost", a.step.Arg, string(r.step.Key)), w, reader)
		}
	}
	return nil
}

// touches are the steps of one kind on the key, and the reads from outside of transactions that happened.
func touches(txns []Txn, key api.Key, kind Kind) (steps, reads []access) {
	for i := range txns {
		for j := range txns[i].Steps {
			s := &txns[i].Steps[j]
			switch {
			case s.Key != key:
			case s.Kind == kind:
				steps = append(steps, access{int32(i), s})
			case s.Kind == Get && txns[i].Outcome == OK && txns[i].ownBefore(j) == nil:
				reads = append(reads, access{int32(i), s})
			}
		}
	}
	return steps, reads
}

// Counters judges counters that begin absent and only Adds of more than 0 write, one a transaction: every read sees the
// sum of the adds that are not newer than its version, and of some with an unknown outcome that were called before it
// returned. So an add that was carried out twice, or never, shows. It believes the versions. It returns how many reads
// there were, and nil or an *[Anomaly].
func Counters(txns []Txn, keys []api.Key) (reads int, err error) {
	for _, key := range keys {
		adds, seen := touches(txns, key, Add)
		c, a := newCounter(txns, adds)
		if a != nil {
			return reads, a
		}
		for _, r := range seen {
			reads++
			if a := c.judge(r); a != nil {
				return reads, a
			}
		}
	}
	return reads, nil
}

// counter holds sums over the adds to one key.
type counter struct {
	txns    []Txn
	known   []access // acknowledged, by version
	sums    []int64  // of the first n known
	unknown []called // by call
	calls   []int64  // sums of the first n unknown
}

type called struct {
	at time.Duration
	n  int64
}

func newCounter(txns []Txn, adds []access) (*counter, *Anomaly) {
	c := &counter{txns: txns, sums: []int64{0}, calls: []int64{0}}
	byVersion(adds)
	for _, a := range adds {
		t := &txns[a.txn]
		n, err := strconv.ParseInt(a.step.Arg, 10, 64)
		if err != nil || n <= 0 {
			return nil, anomaly("unusable history", fmt.Sprintf("%q is nothing that a counter is judged by", a.step.Arg), t)
		}
		switch t.Outcome {
		case OK:
			c.known = append(c.known, a)
			c.sums = append(c.sums, c.sums[len(c.sums)-1]+n)
		case Unknown:
			c.unknown = append(c.unknown, called{t.Call, n})
		}
	}
	slices.SortFunc(c.unknown, func(a, b called) int { return cmp.Compare(a.at, b.at) })
	for _, u := range c.unknown {
		c.calls = append(c.calls, c.calls[len(c.calls)-1]+u.n)
	}
	return c, nil
}

func (c *counter) judge(r access) *Anomaly {
	reader := &c.txns[r.txn]
	saw, ok := number(r.step.State)
	if !ok {
		return anomaly("counter", fmt.Sprintf("%q is not a number", string(r.step.Key)), reader)
	}
	n, _ := slices.BinarySearchFunc(c.known, r.step.State.Version, func(a access, v api.Version) int {
		if a.step.State.Version.Compare(v) <= 0 {
			return -1
		}
		return 1
	})
	u, _ := slices.BinarySearchFunc(c.unknown, reader.Return, func(u called, at time.Duration) int {
		if u.at <= at {
			return -1
		}
		return 1
	})
	least, most := c.sums[n], c.sums[n]+c.calls[u]
	if saw < least || saw > most {
		return anomaly("counter", fmt.Sprintf("%q was seen as %d at version %v; the adds up to there make %d, and %d with those of unknown outcome",
			string(r.step.Key), saw, r.step.State.Version, least, most), reader)
	}
	return nil
}
