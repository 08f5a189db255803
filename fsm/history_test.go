package fsm

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// history is what transactions have read and written, by the versions in their results. Versions order the writes of a key, so
// that the order of the transactions on each key is exactly known.
type history struct{ did map[string]map[api.Key]access }

// access is what a transaction did to a key.
type access struct {
	read, wrote    api.Version
	reads, written bool
}

// saw takes note of a part that was carried out or prepared, for the case that it commits.
func (h *history) saw(c Command, res Result) {
	if res.Err != nil || res.Txn == nil || res.Txn.Replayed {
		return
	}
	switch c := c.(type) {
	case Write:
		h.add(fmt.Sprintf("write %x.%d", c.Txn.ID.Client[0], c.Txn.ID.Seq), nil, c.Txn.Then, res.Txn)
	case Prepare:
		h.add(c.Txn.ID.String(), c.If, c.Then, res.Txn)
	case CommitLast:
		h.add(c.Txn.ID.String(), c.If, c.Then, res.Txn)
	}
}

func (h *history) add(name string, conds []api.Cond, ops []api.Op, res *api.TxnResult) {
	if h.did == nil {
		h.did = map[string]map[api.Key]access{}
	}
	if h.did[name] == nil {
		h.did[name] = map[api.Key]access{}
	}
	for i, op := range ops {
		a := h.did[name][op.Key]
		switch e := res.Entries[i]; {
		case op.Writes() && e.Version == res.Version:
			a.wrote, a.written = e.Version, true
		case !a.written: // an append that was not needed has read
			a.read, a.reads = e.Version, true
		}
		h.did[name][op.Key] = a
	}
	for _, c := range conds {
		a := h.did[name][c.Key]
		a.read, a.reads = c.Version, true
		h.did[name][c.Key] = a
	}
}

// judge requires that the committed transactions have one order: the relations "wrote before", "read what the other wrote" and
// "read what the other wrote over" together have no cycle.
func (h *history) judge(t *testing.T, outcomes map[ident.TxnID]ident.TxnOutcome) {
	t.Helper()
	for id, o := range outcomes {
		if o != ident.TxnCommitted {
			delete(h.did, id.String())
		}
	}
	undecided := func(name string, _ map[api.Key]access) bool {
		for id := range outcomes {
			if id.String() == name {
				return false
			}
		}
		return name[:5] != "write"
	}
	maps.DeleteFunc(h.did, undecided)
	after := h.edges()
	state := map[string]int{} // 1 on the way, 2 done
	var visit func(string, []string)
	visit = func(name string, path []string) {
		switch state[name] {
		case 1:
			t.Fatalf("LockPoint: a circle: %v", path[slices.Index(path, name):])
		case 2:
			return
		}
		state[name] = 1
		for _, next := range after[name] {
			visit(next, append(path, name))
		}
		state[name] = 2
	}
	for name := range h.did {
		visit(name, nil)
	}
}

// edges returns which transactions come after which.
func (h *history) edges() map[string][]string {
	type write struct {
		at api.Version
		by string
	}
	writes := map[api.Key][]write{}
	for name, keys := range h.did {
		for k, a := range keys {
			if a.written {
				writes[k] = append(writes[k], write{a.wrote, name})
			}
		}
	}
	after := map[string][]string{}
	for k, ws := range writes {
		slices.SortFunc(ws, func(a, b write) int { return a.at.Compare(b.at) })
		for i := 1; i < len(ws); i++ {
			after[ws[i-1].by] = append(after[ws[i-1].by], ws[i].by)
		}
		for name, keys := range h.did {
			a, ok := keys[k]
			if !ok || !a.reads {
				continue
			}
			for _, w := range ws {
				switch {
				case w.by == name:
				case w.at == a.read:
					after[w.by] = append(after[w.by], name)
				case w.at.Compare(a.read) > 0:
					after[name] = append(after[name], w.by)
				}
			}
		}
	}
	return after
}
