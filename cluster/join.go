package cluster

import (
	"context"
	"errors"
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

// is reports whether the map's description of this node has its present addresses and process.
func (n *joining) is(have placement.Node) bool {
	self := n.self()
	if m := n.view.Map(); n.keepsNonce(m) && have.Nonce != n.nonce {
		return false
	}
	return have.Region == self.Region && have.Role == self.Role && have.Address == self.Address && have.URL == self.URL
}

// keepsNonce reports whether the map is to have the nonce of this node's process, so that two processes do not run under one name. A
// map that was given has none.
func (n *joining) keepsNonce(m *placement.Map) bool {
	return m.Level >= placement.LevelIdentity && n.cfg.Static == nil
}

// run ends when the map names this node at its present addresses, and then no other process takes its name.
func (n *joining) run() {
	if !n.begun() {
		return
	}
	for n.ctx.Err() == nil {
		changed, retry := n.view.Changed(), joinRetry
		if m := n.view.Map(); m != nil {
			if have, ok := m.Node(n.cfg.ID); ok && n.is(have) && n.admitted.Load() {
				n.alone(have)
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

// begun founds the cluster, or joins it by a token, if either is left to this node. It returns false if the node is to end.
func (n *joining) begun() bool {
	founding, _, _ := n.found.state()
	if founding {
		n.foundFirst()
	}
	enters := n.enters() && (!founding || n.view.Map() == nil)
	if enters {
		switch err := n.enter(); {
		case n.ctx.Err() != nil:
			return false
		case err != nil:
			n.cfg.OnFailed(final(err))
			return false
		}
	}
	if founding || enters {
		n.mirror.Start()
	}
	return true
}

// finalError is why a node ends, as one line for people.
type finalError struct{ err error }

func (e finalError) Unwrap() error { return e.err }
func (e finalError) Error() string {
	if a, ok := errors.AsType[*api.Error](e.err); ok && a.Hint != "" {
		return a.Hint
	}
	return e.err.Error()
}

func final(err error) error { return finalError{err} }

// alone ends the node if another process starts under its name: the map then has the nonce of that one.
func (n *joining) alone(have placement.Node) {
	if have.Nonce != n.nonce {
		return // the cluster keeps no nonces, or the map was given
	}
	for n.ctx.Err() == nil {
		changed := n.view.Changed()
		if now, ok := n.view.Map().Node(n.cfg.ID); ok && now.Nonce != n.nonce {
			n.cfg.OnFailed(final(api.Errorf(api.CodeConflict, "another process runs as %s", n.cfg.ID)))
			return
		}
		select {
		case <-n.ctx.Done():
		case <-changed:
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
			return forgotten(n.cfg.ID)
		}
		if err := n.identity.claim(n.self()); err != nil {
			return err
		}
		n.admitted.Store(true)
	}
	self := n.self()
	if n.keepsNonce(m) {
		self.Nonce, self.Ephemeral = n.nonce, n.cfg.Ephemeral
	}
	_, err := n.changes.Join(ctx, self)
	return err
}
