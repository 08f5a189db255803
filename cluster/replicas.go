package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/group"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/remote"
	"github.com/edgehold/edgehold/cluster/replica"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
	"github.com/edgehold/edgehold/cluster/router"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
	"github.com/edgehold/edgehold/transport"
)

// replicas opens this node's replicas of groups, changes them as the map does, and looks after them.
type replicas struct {
	*membership
	*background
	open    *members
	metrics metrics
	port    *transport.Port
	leases  *remote.Leases
	pool    *peer.Pool
	router  *router.Router
	cache   *engine.Cache         // of the states on disk, which share it; nil if there are none
	failed  atomic.Pointer[error] // why a group has no state to go on with
}

// start opens the replicas that this node must have, and the tasks that look after them.
func (n *replicas) start() error {
	if err := n.openMembers(n.durable()...); err != nil {
		return err
	}
	n.every(reconcileEvery, n.view.Changed, n.reconcile)
	n.every(stepEvery, never, n.askInStep)
	n.every(raiseEvery, never, n.raise)
	n.every(findEvery, never, n.findOthers)
	return nil
}

func (n *replicas) close() error {
	n.background.close()
	err := n.open.close()
	if n.cache != nil {
		n.cache.Close()
	}
	return err
}

// durable returns the groups of which this node has a log, whether or not the map names the node for them: their members may
// depend on its vote.
func (n *replicas) durable() []api.GroupID {
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

// openMembers opens the replicas that the map names this node for, and also those given, unless they are open.
func (n *replicas) openMembers(also ...api.GroupID) error {
	m := n.view.Map()
	if m == nil || !n.admitted.Load() {
		return nil
	}
	for _, id := range append(m.VotersAt(n.cfg.ID), also...) {
		g, known := m.Group(id)
		if !known || n.open.get(id) != nil {
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
		if !n.open.add(x) {
			return x.close()
		}
	}
	return nil
}

func (n *replicas) openMember(g placement.Group, m *placement.Map) (*member, error) {
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

func (n *replicas) openGroup(cfg replica.Config, g placement.Group, m *placement.Map, state engine.Engine) (*member, error) {
	machine, err := fsm.Open(state)
	if err != nil {
		return nil, err
	}
	machine.OnFailure(func(err error) { n.fail(g.ID, err) })
	rc := group.Config{
		Group: g.ID, Node: n.cfg.ID, Machine: machine, Clock: n.cfg.Clock, Revoker: n.leases, Groups: n.router, Lost: n.router.Lost, OnLead: n.leases.Announce, Removed: n.removed,
		EdgeLimits: n.edgeLimits, History: n.historyLimits(machine),
		Metrics: n.metrics.forGroup(g.ID), Logger: n.log.Named(string(g.ID)),
	}
	if n.founds(g) {
		rc.Level = groupLevel(m)
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

func (n *replicas) openMeta(cfg replica.Config, g placement.Group, m *placement.Map) (*member, error) {
	mc := meta.Config{Node: n.cfg.ID}
	if n.founds(g) {
		mc.Init, mc.Vault = m, n.foundVault
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

// edgeLimits are the settings that bound the sessions of edges.
func (n *replicas) edgeLimits() (term, pause time.Duration) {
	m := n.view.Map()
	if m == nil {
		return words.DefaultEdgeLeaseMax, words.DefaultEdgePauseMax
	}
	return m.Duration(placement.SettingEdgeLeaseMax), m.Duration(placement.SettingEdgePauseMax)
}

// historyLimits returns the function that says what history the machine keeps, by the settings. A machine in memory keeps less.
func (n *replicas) historyLimits(machine *fsm.Machine) func() (bytes uint64, age time.Duration) {
	less := uint64(1)
	if !machine.OnDisk() {
		less = 8
	}
	return func() (uint64, time.Duration) {
		m := n.view.Map()
		if m == nil {
			return machine.Position().Max, 24 * time.Hour
		}
		return uint64(m.Bytes(placement.SettingHistoryMax)) / less, m.Duration(placement.SettingHistoryAge)
	}
}

// founds reports whether this node is one of those that found the group's log, if it has none.
func (n *replicas) founds(g placement.Group) bool {
	return n.cfg.Static != nil && slices.Contains(g.Voters, n.cfg.ID) || n.cfg.Static == nil && g.Founder == n.cfg.ID
}

func shards(owned []placement.Owned) []fsm.Shard {
	var list []fsm.Shard
	for _, o := range owned {
		list = append(list, fsm.Shard{Range: o.Range, Epoch: o.Epoch, Index: o.Index, Of: o.Of})
	}
	return list
}

func (n *replicas) groupDir(g api.GroupID) string {
	return filepath.Join(n.cfg.Dir, "groups", string(g))
}

func (n *replicas) replicaConfig(g placement.Group, m *placement.Map) replica.Config {
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
			return confirm(ctx, n.pool.Remote(api.NodeID(node)), g.ID, term)
		},
		OnStuck: func(d time.Duration) {
			n.log.Error("the disk has not finished an append; this node serves nothing until it does", "group", g.ID, "since", d)
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

func (n *replicas) lane(cluster string, g api.GroupID) *lane {
	return &lane{Lane: n.port.Raft(laneName(cluster, n.cfg.ID, g)), ctx: n.ctx, network: n.network, cluster: cluster, group: g}
}
