package cluster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

const (
	// stewardEvery is how often the leader of the meta group looks whether something is due, and stewardTimeout bounds one look.
	stewardEvery   = 5 * time.Second
	stewardTimeout = 5 * time.Second
	// edgeHeardFor is how long after its last keep-alive an edge counts as heard.
	edgeHeardFor = 15 * time.Second
	// clockTolerance is how far the leader's wall clock may be from the median of the meta voters' for anything to end by it.
	clockTolerance = 5 * time.Minute
	// troubleAfter is how long a server must be unheard to be named in the status.
	troubleAfter = 30 * time.Second
)

// steward proposes what is due in the cluster, while its node leads the meta group. What it knows of nodes is its own: it begins anew
// with each term that it leads, so that nothing is concluded from what it did not see. Safe for concurrent use.
type steward struct {
	*background
	self api.NodeID
	meta func() metaGroup // of this node; nil if it has no voter of it
	ask  func(ctx context.Context, m *placement.Map) map[api.NodeID]*health
	log  hclog.Logger
	acts func(n float64, values ...string)
	// watch is called with the servers that are known, to measure them.
	watch func(servers []api.NodeID)

	mu       sync.Mutex
	term     api.Term // that is led; 0 for none
	since    time.Time
	servers  []api.NodeID
	heard    map[api.NodeID]time.Time // servers, and edges that some server has heard
	edges    time.Time                // since when a majority of the servers has always answered
	removed  []time.Time              // when edges were removed because they were unheard, in the last hour
	troubles []string
}

// openSteward begins to look what is due.
func (n *Node) openSteward() (func() error, error) {
	n.steward.every(stewardEvery, never, n.steward.look)
	return ending(n.steward.background.close), nil
}

func (n *Node) newSteward() *steward {
	s := &steward{
		background: newBackground(), self: n.cfg.ID, meta: n.members.metaGroup, log: n.log.Named("steward"),
		ask:  func(ctx context.Context, m *placement.Map) map[api.NodeID]*health { return healths(ctx, n.pool, m) },
		acts: n.metrics.Counter("edgehold_meta_steward_actions_total", "Commands that this node has proposed as leader of the meta group because they were due.", "command"),
	}
	watched := map[api.NodeID]bool{}
	s.watch = func(servers []api.NodeID) {
		for _, id := range servers {
			if watched[id] {
				continue
			}
			watched[id] = true
			n.metrics.with("node", string(id)).Gauge("edgehold_meta_node_heard_seconds",
				"How long ago the leader of the meta group has heard the server, or since when it has led and not heard it; 0 at other nodes.",
				func() float64 { return s.heardAgo(id).Seconds() })
		}
	}
	return s
}

// look proposes one command that is due, if this node leads the meta group.
func (s *steward) look() {
	ctx, cancel := context.WithTimeout(s.ctx, stewardTimeout)
	defer cancel()
	x := s.meta()
	if x == nil {
		s.rest()
		return
	}
	status := x.Status()
	m, err := x.Get(ctx) // and confirms that this node leads
	if err != nil || status.Leader != s.self {
		s.rest()
		return
	}
	h := s.note(m, status.Term, s.ask(ctx, m), time.Now())
	if m.Level < placement.LevelIdentity {
		return
	}
	p, ok := placement.Due(m, h)
	if !ok {
		return
	}
	if _, err := x.Propose(ctx, p.Command); err != nil {
		s.log.Warn("what is due could not be done; trying again", "due", p.Why, "error", err)
		return
	}
	s.log.Info(p.Why)
	s.acts(1, placement.Name(p.Command))
	if r, ok := p.Command.(placement.Retire); ok {
		s.retired(m, r.Node)
	}
}

// rest forgets everything: this node does not lead.
func (s *steward) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.term, s.heard, s.removed, s.troubles = 0, nil, nil, nil
}

// note records which nodes have answered at that instant, and returns what is known of all nodes.
func (s *steward) note(m *placement.Map, term api.Term, answers map[api.NodeID]*health, now time.Time) placement.Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.term != term {
		s.term, s.since, s.edges, s.heard, s.removed = term, now, now, map[api.NodeID]time.Time{}, nil
	}
	var servers []api.NodeID
	for _, n := range m.Nodes {
		if n.Role == api.RoleServer {
			servers = append(servers, n.ID)
		}
	}
	s.servers = servers
	s.watch(servers)
	s.hear(m, answers, now)
	if len(answers) <= len(servers)/2 {
		s.edges = now
	}
	h := placement.Health{Nodes: map[api.NodeID]placement.NodeHealth{}, Groups: map[api.GroupID]placement.GroupHealth{}}
	for id, g := range groupsOf(answers) {
		h.Groups[id] = g.placed()
	}
	for _, n := range m.Nodes {
		at, ok := s.heard[n.ID]
		if n.Role == api.RoleServer {
			h.Nodes[n.ID] = placement.NodeHealth{Heard: answers[n.ID] != nil, Unheard: now.Sub(later(at, s.since, ok))}
			continue
		}
		since := now.Sub(later(at, s.edges, ok))
		h.Nodes[n.ID] = placement.NodeHealth{Heard: ok && since < edgeHeardFor, Unheard: since, UnheardByAll: since}
	}
	if clockIsRight(m, answers, s.self) {
		h.Now = answers[s.self].Now
	}
	s.removed = slices.DeleteFunc(s.removed, func(at time.Time) bool { return now.Sub(at) >= time.Hour })
	h.EdgesRemoved = len(s.removed)
	s.troubles = placement.Troubles(m, h, troubleAfter)
	return h
}

// hear records the servers that have answered, and the edges that those hear.
func (s *steward) hear(m *placement.Map, answers map[api.NodeID]*health, now time.Time) {
	known := map[api.NodeID]api.Role{}
	for _, n := range m.Nodes {
		known[n.ID] = n.Role
	}
	maps.DeleteFunc(s.heard, func(id api.NodeID, _ time.Time) bool { return known[id] == "" })
	for id, h := range answers {
		s.heard[id] = now
		for _, e := range h.Holders {
			at := now.Add(-time.Duration(e.Ago) * time.Millisecond)
			if known[e.Node] == api.RoleEdge && at.After(s.heard[e.Node]) {
				s.heard[e.Node] = at
			}
		}
	}
}

// later is the later of two times, the first of which counts only if it is known.
func later(at, since time.Time, known bool) time.Time {
	if known && at.After(since) {
		return at
	}
	return since
}

// clockIsRight reports whether a majority of the meta group's voters has answered, and the node's wall clock is near their median.
func clockIsRight(m *placement.Map, answers map[api.NodeID]*health, self api.NodeID) bool {
	g, _ := m.Group(ident.MetaGroup)
	var clocks []int64
	for _, v := range g.Voters {
		if h := answers[v]; h != nil {
			clocks = append(clocks, h.Now)
		}
	}
	if len(clocks) <= len(g.Voters)/2 || answers[self] == nil {
		return false
	}
	slices.Sort(clocks)
	off := time.Duration(answers[self].Now-clocks[len(clocks)/2]) * time.Second
	return off.Abs() <= clockTolerance
}

// retired counts an edge that was removed because it was unheard.
func (s *steward) retired(m *placement.Map, id api.NodeID) {
	if n, ok := m.Node(id); !ok || n.Role != api.RoleEdge || n.State == placement.Leaving {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = append(s.removed, time.Now())
}

// heardAgo is how long ago the server was heard; 0 if this node does not lead the meta group, or the server was removed.
func (s *steward) heardAgo(id api.NodeID) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.term == 0 || !slices.Contains(s.servers, id) {
		return 0
	}
	at, ok := s.heard[id]
	return time.Since(later(at, s.since, ok))
}

// unheard are the servers that have not answered for two looks and more; none if this node does not lead the meta group.
func (s *steward) unheard() (all []heardNode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.term == 0 {
		return nil
	}
	for _, id := range s.servers {
		at, ok := s.heard[id]
		if ago := time.Since(later(at, s.since, ok)); ago > 2*stewardEvery+stewardTimeout {
			all = append(all, heardNode{id, ago.Milliseconds()})
		}
	}
	return all
}

// words are what an operator has to do something about; none if this node does not lead the meta group.
func (s *steward) words() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.troubles
}
