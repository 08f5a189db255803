package cluster

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/group"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/fsm"
)

// watched shows what the machine applies to the observer of a test, if there is one.
func (n *replicas) watched(g api.GroupID, m *fsm.Machine, inner *group.Machine) replica.Machine[fsm.Result] {
	if n.cfg.Watch == nil {
		return inner
	}
	return &watchedMachine{Machine: inner, watch: n.cfg.Watch, applied: Applied{Group: g, Node: n.cfg.ID, Machine: m}}
}

// Applied is what a machine has just applied at one node.
type Applied struct {
	Group   api.GroupID
	Node    api.NodeID
	Term    uint64
	Results []fsm.Result
	// Machine is the state right after.
	Machine *fsm.Machine
}

type watchedMachine struct {
	*group.Machine
	watch   func(Applied)
	applied Applied
}

func (w *watchedMachine) Apply(index, term uint64, commands [][]byte) ([]fsm.Result, error) {
	results, err := w.Machine.Apply(index, term, commands)
	if err != nil {
		return nil, err
	}
	a := w.applied
	a.Term, a.Results = term, results
	w.watch(a)
	return results, nil
}
