package edge

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// maintain follows the cluster's servers and hands over what was counted, once a KeepAlive.
func (e *Edge) maintain() {
	every := time.NewTicker(e.cfg.KeepAlive)
	defer every.Stop()
	for {
		e.followPeers()
		e.watchLapses()
		e.meter.flush()
		select {
		case <-every.C:
		case <-e.ctx.Done():
			return
		}
	}
}

// followPeers holds a stream to every server there is now, and a session in every group.
func (e *Edge) followPeers() {
	now := e.cfg.Peers()
	there := make(map[api.NodeID]bool, len(now))
	for _, pg := range now {
		there[pg.Node] = true
		e.follow(pg)
		for _, id := range pg.Groups {
			e.meet(id)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for node, p := range e.peers {
		if !there[node] {
			p.stop()
			delete(e.peers, node)
		}
	}
}

func (e *Edge) follow(pg PeerGroups) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.peers[pg.Node]; p != nil {
		p.groups.Store(&pg.Groups)
		return
	}
	ctx, stop := context.WithCancel(e.ctx)
	p := &peer{edge: e, node: pg.Node, stop: stop, kick: make(chan struct{}, 1)}
	p.groups.Store(&pg.Groups)
	e.peers[pg.Node] = p
	e.running.Go(func() { p.run(ctx) })
}

// watchLapses counts sessions whose term has run out since the last look.
func (e *Edge) watchLapses() {
	now := e.cfg.Clock.Now()
	for _, g := range e.allGroups() {
		s := g.live()
		if s == nil {
			continue
		}
		lapsed := !s.usable(now)
		if s.lapsed.Swap(lapsed) != lapsed && lapsed {
			e.meter.sessions[sessionLapsed].Add(1)
		}
	}
}
