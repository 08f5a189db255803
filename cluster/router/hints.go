package router

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
)

// hints is what the router has learned about which nodes lead. Any hint may be wrong; a wrong one costs a detour.
type hints struct {
	mu     sync.Mutex
	groups map[api.GroupID]*hint
}

// hint is about one group.
type hint struct {
	node api.NodeID
	met  bool     // node was known once
	term api.Term // of the newest announcement
	// since is when this node first had to do with the group. heard is when the group's leader last answered.
	since, heard time.Time
	// underWay holds the attempts that may be repeated. They end when another node is known to lead.
	underWay []*watch
}

// watch is an attempt at a node that ends when another node is known to lead.
type watch struct {
	node   api.NodeID
	cancel context.CancelFunc
	at     int // its place among those under way; guarded by the hints' mutex
}

func (h *hints) init() { h.groups = map[api.GroupID]*hint{} }

func (h *hints) group(g api.GroupID) *hint {
	x := h.groups[g]
	if x == nil {
		x = &hint{since: time.Now()}
		h.groups[g] = x
	}
	return x
}

func (h *hints) leader(g api.GroupID) api.NodeID {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.groups[g]; x != nil {
		return x.node
	}
	return ""
}

func (h *hints) met(g api.GroupID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.groups[g]
	return x != nil && x.met
}

// announced notes a node's announcement that it leads in a term. An announcement older than the newest is ignored.
// Attempts at another node that may be repeated end.
func (h *hints) announced(l words.Leads) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.group(l.Group)
	if l.Term < x.term || l.Term == x.term && x.node != "" {
		return
	}
	x.node, x.met, x.term = l.Node, true, l.Term
	for _, w := range x.underWay {
		if w.node != l.Node {
			w.cancel()
		}
	}
}

// answered notes that the node has answered as the leader.
func (h *hints) answered(g api.GroupID, node api.NodeID) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.group(g)
	x.node, x.met, x.heard = node, true, now
}

func (h *hints) set(g api.GroupID, node api.NodeID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.group(g)
	x.node, x.met = node, true
}

// forget drops the hint if it still names the node.
func (h *hints) forget(g api.GroupID, node api.NodeID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.group(g); x.node == node {
		x.node = ""
	}
}

// watch registers the attempt, until unwatch, to be ended when another node announces that it leads.
func (h *hints) watch(g api.GroupID, w *watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.group(g)
	w.at = len(x.underWay)
	x.underWay = append(x.underWay, w)
}

func (h *hints) unwatch(g api.GroupID, w *watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.group(g)
	last := len(x.underWay) - 1
	x.underWay[w.at] = x.underWay[last]
	x.underWay[w.at].at = w.at
	x.underWay[last] = nil
	x.underWay = x.underWay[:last]
}

// candidates yields the voters of a group in the order in which one call asks them: first the leader as hinted, then
// this node, then its region, then the others. Each is asked once a round.
type candidates struct {
	r     *Router
	group api.GroupID
	tried []api.NodeID // in this round
	waits int          // how often one node has asked to wait in this round
}

func (r *Router) candidates(g api.GroupID) *candidates { return &candidates{r: r, group: g} }

// begin starts another round.
func (w *candidates) begin() { w.tried, w.waits = w.tried[:0], 0 }

// next returns the node to ask now, or false if all have been asked in this round.
func (w *candidates) next() (api.NodeID, bool) {
	if n := w.r.hints.leader(w.group); n != "" && !slices.Contains(w.tried, n) {
		return n, true
	}
	voters := w.voters()
	for _, n := range voters {
		if !slices.Contains(w.tried, n) {
			return n, true
		}
	}
	return "", false
}

// size returns how many voters the map knows.
func (w *candidates) size() int { return len(w.voters()) }

func (w *candidates) voters() []api.NodeID {
	m := w.r.cfg.Map()
	if m == nil {
		return nil
	}
	g, ok := m.Group(w.group)
	if !ok {
		return nil
	}
	near := func(id api.NodeID) int {
		n, _ := m.Node(id)
		switch {
		case id == w.r.cfg.Self:
			return 0
		case n.Region == w.r.cfg.Region:
			return 1
		}
		return 2
	}
	voters := slices.Clone(g.Voters)
	slices.SortStableFunc(voters, func(a, b api.NodeID) int { return near(a) - near(b) })
	return voters
}

// refused notes that the node does not lead or cannot be reached. The node may have said which node leads.
func (w *candidates) refused(node api.NodeID, e *api.Error) {
	w.failed(node)
	if e.Leader != "" && e.Leader != node {
		w.r.hints.set(w.group, e.Leader)
	}
}

// failed notes that the node is not to be asked again in this round.
func (w *candidates) failed(node api.NodeID) {
	w.tried = append(w.tried, node)
	w.r.hints.forget(w.group, node)
}

// busy notes that the node has asked to wait. It is asked once more; after that, other nodes are asked.
func (w *candidates) busy(node api.NodeID) {
	if w.waits++; w.waits > 1 {
		w.waits = 0
		w.failed(node)
	}
}
