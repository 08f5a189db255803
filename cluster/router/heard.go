package router

import (
	"time"

	"github.com/edgehold/edgehold/api"
)

// Heard notes that the group's leader has answered this node. It has answered a keep-alive, which it does only while it
// has a quorum, or a request. Heard does not block.
func (r *Router) Heard(g api.GroupID) { r.hints.heardFrom(g, time.Now()) }

// Well reports whether the group's leader has answered this node recently, and so is likely to answer now. It does not
// block.
func (r *Router) Well(g api.GroupID) bool {
	silent, met := r.hints.silence(g, time.Now())
	return met && silent <= r.cfg.WellWithin
}

// Lost reports whether the group's leader has not answered this node for longer than an election takes, although it is
// asked all the time. Such a group has no quorum, or cannot be reached from here. Lost does not block.
func (r *Router) Lost(g api.GroupID) bool {
	silent, _ := r.hints.silence(g, time.Now())
	return silent > r.cfg.LostAfter
}

// heardFrom notes when the group's leader answered.
func (h *hints) heardFrom(g api.GroupID, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.group(g)
	x.heard = now
}

// silence returns the time since the group's leader last answered. If the leader has never answered, met is false and
// the time counts from when this node first asked about the group.
func (h *hints) silence(g api.GroupID, now time.Time) (silent time.Duration, met bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.group(g)
	if x.heard.IsZero() {
		return now.Sub(x.since), false
	}
	return now.Sub(x.heard), true
}
