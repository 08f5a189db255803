package cluster

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/meta"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/placement"
)

// joining is the task that brings this node into its cluster. It founds the cluster if that is left to it, and then makes the map
// name the node at its present addresses.
type joining struct {
	*membership
	*background
	pool    *peer.Pool
	mirror  *meta.Mirror
	changes *meta.Client[*fsm.Receipt]
}

// The pauses after no node could be asked to admit this one, and after the cluster refused it.
const (
	joinRetry   = 300 * time.Millisecond
	joinRefused = 10 * time.Second
)

// is reports whether the map's description of this node has its present addresses.
func (n *joining) is(have placement.Node) bool {
	self := n.self()
	return have.Region == self.Region && have.Role == self.Role && have.Address == self.Address && have.URL == self.URL
}

// run ends when the map names this node at its present addresses.
func (n *joining) run() {
	if founding, _, _ := n.found.state(); founding {
		n.foundFirst()
		n.mirror.Start()
	}
	for n.ctx.Err() == nil {
		changed, retry := n.view.Changed(), joinRetry
		if m := n.view.Map(); m != nil {
			if have, ok := m.Node(n.cfg.ID); ok && n.is(have) && n.admitted.Load() {
				return
			}
			if err := n.register(); err == nil {
				n.refuse("")
				continue
			} else if api.CodeOf(err) == api.CodeConflict || api.CodeOf(err) == api.CodeInvalid {
				n.refuse(api.AsError(err).Hint)
				if write, _ := n.said.Say("register", err.Error()); write {
					n.log.Error("the cluster does not admit this node", "error", err)
				}
				changed, retry = nil, joinRefused // a change of the map does not shorten the pause
			} else if write, _ := n.said.Say("register", "unavailable"); write {
				n.log.Warn("could not register with the cluster; trying again", "error", err)
			}
		}
		select {
		case <-n.ctx.Done():
		case <-changed:
		case <-time.After(retry):
		}
	}
}

func (n *joining) register() error {
	ctx, cancel := context.WithTimeout(n.ctx, api.DefaultTimeout)
	defer cancel()
	m, err := n.changes.Get(ctx)
	if err != nil {
		return err
	}
	return n.admit(ctx, m)
}

// admit registers this node with the cluster, and allows it to open the replicas that the map names it for. m is the newest map.
// A folder that is claimed before the cluster knows the node is never taken for one that was lost.
func (n *joining) admit(ctx context.Context, m *placement.Map) error {
	if !n.admitted.Load() {
		if _, known := m.Node(n.cfg.ID); known && n.cfg.Role == api.RoleServer {
			return api.Errorf(api.CodeConflict,
				"the cluster knows a node %s, but this data folder is new; start it with its old folder, or under a new id", n.cfg.ID)
		}
		if err := n.identity.claim(n.self()); err != nil {
			return err
		}
		n.admitted.Store(true)
	}
	_, err := n.changes.Join(ctx, n.self())
	return err
}
