package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/placement"
)

const (
	// liveEvery is the time between two events of a live stream. Each is what the nodes that answer within statusPatience have reported,
	// so that a node that has stopped is shown as such after the sum of both at the latest.
	liveEvery = time.Second
	// maxLiveStreams bounds the live streams of a node.
	maxLiveStreams = 256
)

// live gathers what the cluster does while a client streams it: once a second, whatever the number of streams. It is safe for
// concurrent use.
type live struct {
	self api.NodeID
	// view is the placement map; nil if there is none yet. ask asks its nodes for reports, within statusPatience.
	view func() *placement.Map
	ask  func(ctx context.Context, m *placement.Map) []*report
	*background

	mu       sync.Mutex
	streams  int
	end      context.CancelFunc // of the gathering; nil if there is none
	newest   *api.Live          // of this gathering; nil before the first
	changed  chan struct{}      // closed and replaced with each event
	gathered int                // how often; for tests
}

var _ api.Observer = (*live)(nil)

func (n *Node) openLive() (func() error, error) {
	n.live = newLive(n.cfg.ID, n.mirror.Map, func(ctx context.Context, m *placement.Map) []*report {
		return n.answers(ctx, m, reportQuestion{Activity: true})
	})
	return ending(n.live.close), nil
}

func newLive(self api.NodeID, view func() *placement.Map, ask func(context.Context, *placement.Map) []*report) *live {
	return &live{self: self, view: view, ask: ask, background: newBackground(), changed: make(chan struct{})}
}

// Live implements api.Observer.
func (x *live) Live(ctx context.Context, tell func(*api.Live) error) error {
	if x.view() == nil {
		return &api.Error{Code: api.CodeUnavailable, Op: "live", Hint: "this node has not reached its cluster yet; see --join", RetryAfter: time.Second}
	}
	if err := x.enter(); err != nil {
		return err
	}
	defer x.leave()
	for after := uint64(0); ; {
		l, err := x.next(ctx, after)
		if err != nil {
			return err
		}
		after = l.Seq
		if err := tell(l); err != nil {
			return err
		}
	}
}

// enter counts a stream. The first one begins the gathering.
func (x *live) enter() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.streams >= maxLiveStreams {
		return &api.Error{Code: api.CodeUnavailable, Op: "live", Hint: "too many live streams are open at this node: ask another one", RetryAfter: time.Second}
	}
	x.streams++
	if x.end == nil {
		ctx, cancel := context.WithCancel(x.ctx)
		x.end = cancel
		g := &gathering{live: x, heard: map[api.NodeID]*report{}, before: map[api.NodeID]*report{}}
		x.Go(func() { g.run(ctx) })
	}
	return nil
}

// leave ends a stream. The last one ends the gathering.
func (x *live) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.streams--; x.streams == 0 {
		x.end()
		x.end, x.newest = nil, nil
	}
}

// next waits for an event behind the one with the number.
func (x *live) next(ctx context.Context, after uint64) (*api.Live, error) {
	for {
		x.mu.Lock()
		l, changed := x.newest, x.changed
		x.mu.Unlock()
		if l != nil && l.Seq > after {
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-x.ctx.Done():
			return nil, api.Errorf(api.CodeUnavailable, "the node is closing: ask another one")
		}
	}
}

// publish gives an event to all streams, unless the gathering has ended.
func (x *live) publish(ctx context.Context, l *api.Live) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gathered++
	if ctx.Err() != nil {
		return
	}
	x.newest = l
	close(x.changed)
	x.changed = make(chan struct{})
}

// gathering is what is gathered between the first stream and the last. It belongs to one goroutine.
type gathering struct {
	*live
	seq uint64
	// heard is the newest report of each node, and before the one before it, as long as the node has answered each time.
	heard, before map[api.NodeID]*report
}

func (g *gathering) run(ctx context.Context) {
	t := time.NewTicker(liveEvery)
	defer t.Stop()
	for ctx.Err() == nil {
		g.once(ctx)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
}

// once gathers one event.
func (g *gathering) once(ctx context.Context) {
	m := g.view()
	reports := g.ask(ctx, m)
	for i, o := range m.Nodes {
		r := reports[i]
		switch last := g.heard[o.ID]; {
		case r == nil:
			delete(g.before, o.ID)
		case last != nil && last.at.Equal(r.at): // an edge without a port has sent nothing new
		default:
			g.heard[o.ID], g.before[o.ID] = r, last
		}
	}
	g.forget(m)
	g.seq++
	g.publish(ctx, g.event(m, statusOf(m, reports), reports, time.Now()))
}

// forget drops the nodes that have left the map.
func (g *gathering) forget(m *placement.Map) {
	for id := range g.heard {
		if _, ok := m.Node(id); !ok {
			delete(g.heard, id)
			delete(g.before, id)
		}
	}
}

// event is what all streams send.
func (g *gathering) event(m *placement.Map, s *api.Status, reports []*report, now time.Time) *api.Live {
	l := &api.Live{Status: s, Node: g.self, Seq: g.seq, UnixMs: now.UnixMilli(), Nodes: []api.NodeLive{}, Groups: []api.GroupLive{}}
	leads := map[api.GroupID]led{}
	for i, o := range m.Nodes {
		r, before := g.heard[o.ID], g.before[o.ID]
		l.Nodes = append(l.Nodes, nodeLive(o.ID, r, before, now))
		if reports[i] == nil || r.Activity == nil || o.Role != api.RoleServer {
			continue
		}
		for _, of := range r.Activity.Led {
			if have, ok := leads[of.Group]; !ok || have.Term < of.Term {
				leads[of.Group] = led{of, o.ID, r, before}
			}
		}
	}
	for _, x := range m.Groups {
		if of, ok := leads[x.ID]; ok {
			l.Groups = append(l.Groups, of.live(now))
		}
	}
	l.Alarms = alarms(l)
	return l
}
