package meta

import (
	"context"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// minBackoff is the least pause between two polls that have brought no map.
const minBackoff = 50 * time.Millisecond

// someOthers bounds the nodes, beside voters and seeds, that one round polls.
const someOthers = 3

// poll asks for newer maps until Close.
func (m *Mirror) poll() {
	failures := 0
	for m.ctx.Err() == nil {
		began, before := time.Now(), m.Map()
		if m.round() {
			failures = 0
		} else {
			failures++
		}
		if m.Map() != before || failures == 0 && time.Since(began) > m.cfg.MaxBackoff {
			continue // a new map, or a poll that has waited for one
		}
		m.pause(min(minBackoff<<min(failures, 10), m.cfg.MaxBackoff))
	}
}

// pause waits for half of d to d, or the end.
func (m *Mirror) pause(d time.Duration) {
	t := time.NewTimer(d/2 + time.Duration(m.cfg.Rand()*float64(d/2)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.ctx.Done():
	}
}

// round polls one node after the other until one has answered. The meta group's voters come first, in random order, so
// that the next round begins with another one if this one lags or is cut off; then seeds, then nodes with mirrors.
func (m *Mirror) round() bool {
	now := m.Map()
	var since uint64
	var voters, others []api.NodeID
	if now != nil {
		since = now.Version
		voters, others = m.targets(now)
	}
	for _, n := range voters {
		if m.take(m.cfg.Source.Poll, n, "", since) {
			return true
		}
	}
	for _, a := range m.shuffled(len(m.cfg.Seeds)) {
		if m.take(func(ctx context.Context, _ api.NodeID, since uint64) (*placement.Map, error) {
			return m.cfg.Source.PollAddress(ctx, m.cfg.Seeds[a], since)
		}, "", m.cfg.Seeds[a], since) {
			return true
		}
	}
	for _, n := range others {
		if m.take(m.cfg.Source.Poll, n, "", since) {
			return true
		}
	}
	return false
}

// take polls one node, or the node at an address that is a seed, and reports whether that answered.
func (m *Mirror) take(poll func(context.Context, api.NodeID, uint64) (*placement.Map, error), n api.NodeID, seed string, since uint64) bool {
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.PollTimeout)
	defer cancel()
	now, err := poll(ctx, n, since)
	if err == nil && now != nil {
		err = m.Update(now)
	}
	if m.ctx.Err() == nil {
		m.note(n, seed, err)
	}
	return err == nil
}

// note logs that a node of another cluster answers, or that an address of --join does not answer while no map is known: at
// once when that begins, and then seldom.
func (m *Mirror) note(n api.NodeID, seed string, err error) {
	subject := string(n) + " " + seed
	switch {
	case err == nil:
		m.said.Clear(subject)
	case api.CodeOf(err) == api.CodeConflict:
		if write, _ := m.said.Say(subject, "another cluster"); write {
			m.cfg.Logger.Warn("a node of another cluster answers", "node", n, "address", seed, "error", api.AsError(err).Hint)
		}
	case m.Map() == nil && seed != "":
		if write, _ := m.said.Say(subject, "silent"); write {
			m.cfg.Logger.Warn("no cluster has been reached yet by this address of --join; trying again", "address", seed, "cause", api.AsError(err).Hint)
		}
	default:
		m.cfg.Logger.Debug("no placement map", "node", n, "address", seed, "error", err)
	}
}

// targets returns the meta group's voters and a few other servers, each in random order.
func (m *Mirror) targets(now *placement.Map) (voters, others []api.NodeID) {
	g, _ := now.Group(ident.MetaGroup)
	for _, i := range m.shuffled(len(g.Voters)) {
		voters = append(voters, g.Voters[i])
	}
	for _, i := range m.shuffled(len(now.Nodes)) {
		n := now.Nodes[i]
		if n.Role == api.RoleServer && !slices.Contains(voters, n.ID) && len(others) < someOthers {
			others = append(others, n.ID)
		}
	}
	return voters, others
}

// shuffled returns 0..n-1 in random order.
func (m *Mirror) shuffled(n int) []int {
	p := make([]int, n)
	for i := range p {
		j := int(m.cfg.Rand() * float64(i+1))
		p[i], p[j] = p[j], i
	}
	return p
}

// Refresh makes the map at least as new as the call. Callers share a fetch only if it begins after they call.
// CodeUnavailable if the meta group does not answer in time.
func (m *Mirror) Refresh(ctx context.Context) error {
	r := m.join()
	if r == nil {
		return unavailable("the node is shutting down")
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return unavailable("the placement map was not fetched in time")
	}
}

// join returns the next fetch to begin, and begins it if none is under way; nil after Close.
func (m *Mirror) join() *refresh {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	if m.next == nil {
		m.next = &refresh{done: make(chan struct{})}
		if m.running == nil {
			m.running, m.next = m.next, nil
			m.wg.Go(m.refresh)
			return m.running
		}
	}
	return m.next
}

// refresh fetches until no caller waits.
func (m *Mirror) refresh() {
	m.mu.Lock()
	r := m.running
	m.mu.Unlock()
	for r != nil {
		r.err = m.fetch()
		close(r.done)
		m.mu.Lock()
		m.running, m.next = m.next, nil
		r = m.running
		m.mu.Unlock()
	}
}

// fetch gets the map from the meta group's leader, or from the seeds if no map is known.
func (m *Mirror) fetch() error {
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.GetTimeout)
	defer cancel()
	now := m.Map()
	if now == nil {
		return m.fetchFirst(ctx)
	}
	queue, _ := m.targets(now)
	var last error = unavailable("the placement map names no voter of the meta group")
	for asked := map[api.NodeID]bool{}; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		if asked[n] {
			continue
		}
		asked[n] = true
		got, err := m.cfg.Source.Get(ctx, n)
		if err == nil {
			return m.Update(got)
		}
		last = err
		if leader := api.AsError(err).Leader; leader != "" && !asked[leader] {
			queue = slices.Insert(queue, 1, leader)
		}
	}
	return &api.Error{Code: api.CodeUnavailable, Op: "refresh", Hint: "the meta group did not answer", Err: last}
}

func (m *Mirror) fetchFirst(ctx context.Context) error {
	var last error
	for _, i := range m.shuffled(len(m.cfg.Seeds)) {
		got, err := m.cfg.Source.PollAddress(ctx, m.cfg.Seeds[i], 0)
		if err == nil && got != nil {
			return m.Update(got)
		}
		last = err
	}
	return &api.Error{Code: api.CodeUnavailable, Op: "refresh", Hint: "no node of the cluster has given a placement map yet", Err: last}
}
