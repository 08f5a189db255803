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

// joining is the task that brings this node into its cluster: it founds that if it is to, and then makes the map name the node at
// its present addresses.
type joining struct {
	*membership
	*background
	pool    *peer.Pool
	mirror  *meta.Mirror
	changes *meta.Client[*fsm.Receipt]
}

// The pauses after nobody could be asked to let this node in, and after it was refused.
const (
	joinRetry   = 300 * time.Millisecond
	joinRefused = 10 * time.Second
)

// run makes the map name this node at its present addresses. It goes on until that is so, and then ends.
func (n *joining) run() {
	if founding, _, _ := n.found.state(); founding {
		n.foundFirst()
		n.mirror.Start()
	}
	for n.ctx.Err() == nil {
		changed, retry := n.view.Changed(), joinRetry
		if m := n.view.Map(); m != nil {
			if have, ok := m.Node(n.cfg.ID); ok && have == n.cfg.self() && n.admitted.Load() {
				return
			}
			if err := n.register(); err == nil {
				continue
			} else if api.CodeOf(err) == api.CodeConflict || api.CodeOf(err) == api.CodeInvalid {
				if write, _ := n.said.Say("register", err.Error()); write {
					n.log.Error("the cluster does not let this node in", "error", err)
				}
				changed, retry = nil, joinRefused // a change of the map is no reason to hurry
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

// admit registers this node with the cluster, and lets it open the replicas that the map names it for. m is the map as it
// is now. A folder that is claimed before the cluster hears of the node is never taken for one that was lost.
func (n *joining) admit(ctx context.Context, m *placement.Map) error {
	if !n.admitted.Load() {
		if _, known := m.Node(n.cfg.ID); known && n.cfg.Role == api.RoleServer {
			return api.Errorf(api.CodeConflict,
				"the cluster knows a node %s, but this data folder is new; start it with its old folder, or under a new id", n.cfg.ID)
		}
		if err := n.identity.claim(n.cfg.self()); err != nil {
			return err
		}
		n.admitted.Store(true)
	}
	_, err := n.changes.Join(ctx, n.cfg.self())
	return err
}
