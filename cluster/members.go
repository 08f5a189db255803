package cluster

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/group"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

// members are the replicas at this node.
type members struct {
	mu     sync.Mutex
	open   map[api.GroupID]*member
	closed bool
}

// member is one replica with what is built on it: the authority over a group, or the meta group.
type member struct {
	group api.GroupID
	raft  interface {
		roster
		CurrentTerm() uint64
		// IsMember reports whether the newest members that the replica knows include it.
		IsMember() bool
		// Configured names the nodes of the newest configuration, committed or not.
		Configured() []string
		// Halted returns why the replica applies nothing any more; nil if it applies.
		Halted() error
		// Health returns why the group cannot count on the replica; nil if it can.
		Health() error
		Close() error
	}
	authority *group.Authority
	machine   *fsm.Machine
	state     engine.Engine // the machine's
	meta      *meta.Meta
}

func (m *members) get(g api.GroupID) *member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open[g]
}

func (m *members) all() []*member {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*member, 0, len(m.open))
	for _, x := range m.open {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *member) int { return cmp.Compare(a.group, b.group) })
	return list
}

func (m *members) authority(g api.GroupID) (remote.Group, bool) {
	if x := m.get(g); x != nil && x.authority != nil {
		return x.authority, true
	}
	return nil, false
}

// term is the Raft term of the group's replica here, for a leader that confirms its own; false if there is none. A replica that
// closes has none: its term does not advance any more.
func (m *members) term(g api.GroupID) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if x := m.open[g]; x != nil && !m.closed {
		return x.raft.CurrentTerm(), true
	}
	return 0, false
}

// configured names the members of the group by its newest configuration here; none if it has no replica here.
func (m *members) configured(g api.GroupID) []string {
	if x := m.get(g); x != nil {
		return x.raft.Configured()
	}
	return nil
}

func (m *members) metaGroup() metaGroup {
	if x := m.get(ident.MetaGroup); x != nil {
		return x.meta
	}
	return nil
}

// vaultGroup is the meta group at this node; nil if it has no voter of it.
func (m *members) vaultGroup() vaultGroup {
	if x := m.get(ident.MetaGroup); x != nil && x.meta != nil {
		return x.meta
	}
	return nil
}

// remove takes the member out. False: it is gone, or the node is closing, which then closes it.
func (m *members) remove(x *member) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.open[x.group] != x {
		return false
	}
	delete(m.open, x.group)
	return true
}

// add takes the member in; false if the node is closing.
func (m *members) add(x *member) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		if m.open == nil {
			m.open = map[api.GroupID]*member{}
		}
		m.open[x.group] = x
	}
	return !m.closed
}

func (x *member) close() error {
	if x.authority == nil {
		return x.raft.Close()
	}
	x.authority.Close()
	err := x.raft.Close()
	x.machine.Close()
	return errors.Join(err, x.state.Close())
}

// close ends all replicas, side by side: each may wait for what is under way.
func (m *members) close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	list := m.all()
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i, x := range list {
		wg.Go(func() { errs[i] = x.close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
