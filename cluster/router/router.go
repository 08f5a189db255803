// Package router sends each request to the leader of the group that owns its keys. It finds the group of a key by the
// placement map, and the leader of a group by what it has learned. It is the only package that tries again: if a node
// is not the leader, does not answer, or no longer owns the key. A write whose outcome is unknown is sent again only if
// its RequestID makes that harmless.
package router

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// Router is safe for concurrent use. It starts nothing that outlives a call.
type Router struct {
	cfg     Config
	hints   hints
	limits  limits
	paused  atomic.Int64 // requests that wait because a node asked them to
	metrics metrics
	flows   flows
}

var (
	_ words.Store  = (*Router)(nil)
	_ words.Lister = (*Router)(nil)
	_ words.Lessor = (*Router)(nil)
	_ words.Feeder = (*Router)(nil)
)

// New returns a new router.
func New(cfg Config) (*Router, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	r := &Router{cfg: cfg, metrics: newMetrics(cfg.Metrics)}
	r.hints.init()
	return r, nil
}

// Locate returns the group that owns the key, as far as this node knows, or false if it does not know. It does not
// block.
func (r *Router) Locate(k api.Key) (api.GroupID, bool) {
	m := r.cfg.Map()
	if m == nil {
		return "", false
	}
	g, _, ok := m.Locate(k)
	return g, ok
}

// Full returns the refusal of a call for the key's owner if that owner is known to be overloaded, or nil if the call
// may be sent. begun is the number of other calls that have begun at this node. Those of them that are not yet under
// way to a group may be under way to this one. The error is shared, and the caller must not change it. Full does not
// block.
func (r *Router) Full(k api.Key, begun int) *api.Error {
	m := r.cfg.Map()
	if m == nil {
		return nil
	}
	return r.limits.refusal(m, k, begun)
}

// Leader returns the node that is taken for the group's leader, or "" if there is none. It does not block.
func (r *Router) Leader(g api.GroupID) api.NodeID { return r.hints.leader(g) }

// Met reports whether a leader of the group has ever been known here. It does not block.
func (r *Router) Met(g api.GroupID) bool { return r.hints.met(g) }

// Leads notes an announcement that a node leads a group. It does not block.
func (r *Router) Leads(l words.Leads) { r.hints.announced(l) }

// OnLeader runs call for the leader of the group, as the router does with every request: it runs call again, for
// another node if need be, while call returns CodeNotLeader or CodeUnavailable and ctx allows. It returns any other
// result of call, including CodeWrongGroup. If again is set, an attempt of unknown outcome may be followed by another.
func (r *Router) OnLeader(ctx context.Context, g api.GroupID, op string, again bool, call func(ctx context.Context, node api.NodeID) error) error {
	ctx, cancel := bound(ctx)
	defer cancel()
	c := r.call(op, again)
	c.send = call
	err := r.toGroup(ctx, c, g)
	if api.CodeOf(err) == api.CodeWrongGroup && !c.unknown {
		return err
	}
	return c.end(err)
}

// bound gives a request without a deadline the default one, so that every wait ends.
func bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, api.DefaultTimeout)
}

// placement returns the map. If there is none yet, it waits for one.
func (r *Router) placement(ctx context.Context, c *call) (*placement.Map, error) {
	for {
		if m := r.cfg.Map(); m != nil {
			return m, nil
		}
		c.last = r.cfg.Refresh(ctx)
		if r.cfg.Map() != nil {
			continue
		}
		if c.last == nil {
			c.last = &api.Error{Code: api.CodeUnavailable, Hint: "this node has no placement map yet"}
		}
		if err := r.pause(ctx, c, 0); err != nil {
			return nil, err
		}
	}
}

// relocate prepares another try after a group has answered that it does not own the keys that old assigned to it. It
// ensures that the map is newer than old, or as new as it can be. It pauses if that changed nothing.
func (r *Router) relocate(ctx context.Context, c *call, old *placement.Map, cause error) error {
	c.last = cause
	if m := r.cfg.Map(); m != nil && old != nil && m.Version > old.Version {
		return nil
	}
	if err := r.cfg.Refresh(ctx); err != nil {
		c.last = err
	}
	if m := r.cfg.Map(); m != nil && old != nil && m.Version > old.Version {
		return nil
	}
	return r.pause(ctx, c, 0)
}

// route returns the time of a request that its owner does not account for.
func route(began time.Time, t api.Timing) time.Duration {
	return max(0, time.Since(began)-t.Revoke-t.Commit)
}
