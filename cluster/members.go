package cluster

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/group"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// members are the replicas at this node.
type members struct {
	mu     sync.Mutex
	open   map[api.GroupID]*member
	closed bool
}

// member is one replica with what stands on it: a region, or the meta group.
type member struct {
	group api.GroupID
	raft  interface {
		roster
		CurrentTerm() uint64
		// IsMember tells whether the newest members that the replica has heard of include it.
		IsMember() bool
		// Configured names the nodes of the newest configuration, committed or not.
		Configured() []string
		// Halted says why the replica applies nothing any more.
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

func (m *members) authority(g api.GroupID) (peer.Group, bool) {
	if x := m.get(g); x != nil && x.authority != nil {
		return x.authority, true
	}
	return nil, false
}

func (m *members) authorities() []api.GroupID {
	var ids []api.GroupID
	for _, x := range m.all() {
		if x.authority != nil {
			ids = append(ids, x.group)
		}
	}
	return ids
}

// term is what this node answers to those who confirm their lead. A replica that closes has nothing to say: its term
// stands still.
func (m *members) term(g api.GroupID) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if x := m.open[g]; x != nil && !m.closed {
		return x.raft.CurrentTerm(), true
	}
	return 0, false
}

func (m *members) metaGroup() peer.Meta {
	if x := m.get(ident.MetaGroup); x != nil {
		return x.meta
	}
	return nil
}

// remove takes the member out; false where it is gone, or the node is closing, which then closes it.
func (m *members) remove(x *member) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.open[x.group] != x {
		return false
	}
	delete(m.open, x.group)
	return true
}

// add takes the member in; false where the node is closing.
func (m *members) add(x *member) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
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

// durable names the groups of which this node has a log, whatever the map says: while their members count on its vote, it
// must not fail them.
func (n *Node) durable() []api.GroupID {
	if n.cfg.Dir == "" {
		return nil
	}
	var ids []api.GroupID
	folders, _ := os.ReadDir(n.groupDir("")) // none is there before the first group is
	for _, f := range folders {
		ids = append(ids, api.GroupID(f.Name()))
	}
	return ids
}

// openMembers opens the replicas that the map names this node for, and those named, where they are not open yet.
func (n *Node) openMembers(also ...api.GroupID) error {
	m := n.mirror.Map()
	if m == nil || !n.admitted.Load() {
		return nil
	}
	for _, id := range append(m.VotersAt(n.cfg.ID), also...) {
		g, known := m.Group(id)
		if !known || n.members.get(id) != nil {
			continue
		}
		var x *member
		err := n.opening(n.groupDir(id), func() (err error) {
			x, err = n.openMember(g, m)
			return err
		})
		if err != nil {
			return &api.Error{Code: api.CodeInternal, Op: "open group " + string(id), Err: err}
		}
		if !n.members.add(x) {
			return x.close()
		}
	}
	return nil
}

func (n *Node) openMember(g placement.Group, m *placement.Map) (*member, error) {
	cfg := n.replicaConfig(g, m)
	if g.ID == ident.MetaGroup {
		return n.openMeta(cfg, g, m)
	}
	state, err := n.openState(g.ID)
	if err != nil {
		return nil, err
	}
	x, err := n.openGroup(cfg, g, m, state)
	if err != nil {
		return nil, errors.Join(err, state.Close())
	}
	return x, nil
}

func (n *Node) openGroup(cfg replica.Config, g placement.Group, m *placement.Map, state engine.Engine) (*member, error) {
	machine, err := fsm.Open(state)
	if err != nil {
		return nil, err
	}
	machine.OnFailure(func(err error) { n.fail(g.ID, err) })
	rc := group.Config{
		Group: g.ID, Node: n.cfg.ID, Machine: machine, Clock: n.cfg.Clock, Revoker: n.peers, Groups: n.router, Lost: n.router.Lost, OnLead: n.peers.Announce,
		Metrics: n.metrics.forGroup(g.ID), Logger: n.log.Named(string(g.ID)),
	}
	if n.founds(g) {
		rc.Init = &fsm.Init{Group: g.ID, Incarnation: ident.FirstIncarnation, Shards: shards(m.Owned(g.ID)), MaxTerm: words.MaxLeaseTerm, MaxPause: words.MaxPause}
	}
	a, err := group.New(rc)
	if err != nil {
		return nil, err
	}
	cfg.OnLeadership = a.OnLeadership
	if _, ok := state.(engine.Durable); ok {
		cfg.State = a.Machine()
	}
	raft, err := replica.Open(cfg, n.watched(g.ID, machine, a.Machine()))
	if err != nil {
		a.Close()
		return nil, err
	}
	a.Attach(raft)
	return &member{group: g.ID, raft: raft, authority: a, machine: machine, state: state}, nil
}

func (n *Node) openMeta(cfg replica.Config, g placement.Group, m *placement.Map) (*member, error) {
	mc := meta.Config{Node: n.cfg.ID}
	if n.founds(g) {
		mc.Init = m
	}
	x, err := meta.New(mc)
	if err != nil {
		return nil, err
	}
	cfg.OnLeadership = x.OnLeadership
	raft, err := replica.Open(cfg, x.Machine())
	if err != nil {
		return nil, err
	}
	x.Attach(raft)
	return &member{group: g.ID, raft: raft, meta: x}, nil
}

// founds tells whether this node is one of those that found the group's log, if it has none.
func (n *Node) founds(g placement.Group) bool {
	return n.cfg.Static != nil && slices.Contains(g.Voters, n.cfg.ID) || n.cfg.Static == nil && g.Founder == n.cfg.ID
}

func shards(owned []placement.Owned) []fsm.Shard {
	var list []fsm.Shard
	for _, o := range owned {
		list = append(list, fsm.Shard{Range: o.Range, Epoch: o.Epoch, Index: o.Index, Of: o.Of})
	}
	return list
}

func (n *Node) groupDir(g api.GroupID) string { return filepath.Join(n.cfg.Dir, "groups", string(g)) }

func (n *Node) replicaConfig(g placement.Group, m *placement.Map) replica.Config {
	timing := n.cfg.RegionTiming
	if g.ID == ident.MetaGroup {
		timing = n.cfg.WideTiming
		if timing == (replica.Timing{}) {
			timing = replica.WideTiming()
		}
	}
	cfg := replica.Config{
		Group: string(g.ID), Node: string(n.cfg.ID), Timing: timing, Address: n.address,
		Streams: n.lane(m.ClusterID, g.ID),
		Confirm: func(ctx context.Context, node string, term uint64) (bool, error) {
			return n.pool.Remote(api.NodeID(node)).Confirm(ctx, g.ID, term)
		},
		OnStuck: func(d time.Duration) {
			n.log.Error("the disk has not finished an append; this node is of no use until it does", "group", g.ID, "since", d)
		},
		OnFailed: func(err error) { n.fail(g.ID, err) },
		Limits:   n.cfg.Limits,
		Logger:   n.log.Named("raft").Named(string(g.ID)), Metrics: n.metrics.forGroup(g.ID),
	}
	if n.founds(g) {
		cfg.Members = founders(g, m, n.cfg.Static != nil)
	}
	if n.cfg.Stores != nil {
		cfg.Stores = func() (logstore.Stores, error) { return n.cfg.Stores(g.ID) }
	} else {
		cfg.Dir, cfg.Log = n.groupDir(g.ID), n.cfg.Log
	}
	return cfg
}
