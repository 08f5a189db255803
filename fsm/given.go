package fsm

import (
	"cmp"
	"slices"
	"sort"

	"github.com/edgehold/edgehold/api"
)

// given is what a row of tableMoved says of a range that the group gave up, without the records.
type given struct {
	left   Left
	since  uint64   // see left
	epoch  uint64   // at which the group owned it; 0 if it kept no history
	shards []Source // the group's own
}

// receipts are the rows of tableMoved, by the start of their ranges: those of a range are found without a look at the others. They
// do not change.
type receipts struct {
	all  []given
	ends []api.Key // ends[i] is the greatest end of all[:i+1]; "" is behind every key
}

// each visits those whose ranges overlap r.
func (x *receipts) each(r api.Range, visit func(*given)) {
	n := len(x.all)
	if r.End != "" {
		n = sort.Search(n, func(i int) bool { return x.all[i].left.Range.Start >= r.End })
	}
	for i := n - 1; i >= 0 && (x.ends[i] == "" || x.ends[i] > r.Start); i-- {
		if g := &x.all[i]; g.left.Range.Overlaps(r) {
			visit(g)
		}
	}
}

// receiptsOf reads all of them.
func receiptsOf(v *view) *receipts {
	x := &receipts{}
	v.scan([]byte{tableMoved}, []byte{tableMoved + 1}, func(_, row []byte) bool {
		r := parse(row, readLeft)
		g := given{left: Left{Range: r.Range, Epoch: r.Epoch, To: r.To, At: r.at}, since: r.since, epoch: r.epoch}
		for _, s := range r.From {
			if s.Group == v.meta.Group {
				g.shards = append(g.shards, s)
			}
		}
		x.all = append(x.all, g)
		return true
	})
	slices.SortStableFunc(x.all, func(a, b given) int { return cmp.Compare(a.left.Range.Start, b.left.Range.Start) })
	for i := range x.all {
		end := x.all[i].left.Range.End
		if i > 0 && end != "" && (x.ends[i-1] == "" || x.ends[i-1] > end) {
			end = x.ends[i-1]
		}
		x.ends = append(x.ends, end)
	}
	return x
}

// given returns the machine's receipts, which it keeps until the next one. The caller holds at least the read lock of mu.
func (m *Machine) given(v *view) *receipts {
	m.reading.Lock()
	defer m.reading.Unlock()
	if m.receipts == nil {
		m.receipts = receiptsOf(v)
	}
	return m.receipts
}

// forgetReceipts has them read again. The caller holds mu.
func (m *Machine) forgetReceipts() {
	m.reading.Lock()
	defer m.reading.Unlock()
	m.receipts = nil
}
