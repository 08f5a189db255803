package leasecache

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// maintain follows the cluster's servers and flushes the counters, once a KeepAlive.
func (c *Cache) maintain() {
	every := time.NewTicker(c.cfg.KeepAlive)
	defer every.Stop()
	for {
		c.followPeers()
		c.watchLapses()
		c.meter.flush()
		select {
		case <-every.C:
		case <-c.ctx.Done():
			return
		}
	}
}

// followPeers holds a stream to every current server, and a session in every group.
func (c *Cache) followPeers() {
	now := c.cfg.Peers()
	there := make(map[api.NodeID]bool, len(now))
	for _, pg := range now {
		there[pg.Node] = true
		c.follow(pg)
		for _, id := range pg.Groups {
			c.meet(id)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for node, p := range c.peers {
		if !there[node] {
			p.stop()
			delete(c.peers, node)
		}
	}
}

func (c *Cache) follow(pg PeerGroups) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.peers[pg.Node]; p != nil {
		p.groups.Store(&pg.Groups)
		return
	}
	ctx, stop := context.WithCancel(c.ctx)
	p := &peer{edge: c, node: pg.Node, stop: stop, kick: make(chan struct{}, 1)}
	p.groups.Store(&pg.Groups)
	c.peers[pg.Node] = p
	c.running.Go(func() { p.run(ctx) })
}

// watchLapses counts the sessions whose term has run out since its last call.
func (c *Cache) watchLapses() {
	now := c.cfg.Clock.Now()
	for _, g := range c.allGroups() {
		s := g.live()
		if s == nil {
			continue
		}
		lapsed := !s.usable(now)
		if s.lapsed.Swap(lapsed) != lapsed && lapsed {
			c.meter.sessions[sessionLapsed].Add(1)
		}
	}
}
