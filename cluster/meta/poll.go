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

// poll asks for newer maps and rolls until Close.
func (m *Mirror) poll() {
	failures := 0
	for m.ctx.Err() == nil {
		began, before, roll := time.Now(), m.Map(), m.Roll()
		answered := m.round()
		if _, known := m.RollAge(); answered && known {
			failures = 0
		} else {
			failures++ // also while none can say how old the roll is: it asks without waiting for news
		}
		if m.Map() != before || m.Roll() != roll || failures == 0 && time.Since(began) > m.cfg.MaxBackoff {
			continue // news, or a poll that has waited for some
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
	var voters, others []api.NodeID
	if now := m.Map(); now != nil {
		voters, others = m.targets(now)
	}
	for _, n := range voters {
		if m.take(n, "") {
			return true
		}
	}
	for _, a := range m.shuffled(len(m.cfg.Seeds)) {
		if m.take("", m.cfg.Seeds[a]) {
			return true
		}
	}
	for _, n := range others {
		if m.take(n, "") {
			return true
		}
	}
	return false
}

// seen is what a poll need not bring.
func (m *Mirror) seen() Seen {
	_, known := m.RollAge()
	seen := Seen{Roll: m.Roll().Revision, Ageless: !known}
	if now := m.Map(); now != nil {
		seen.Map = now.Version
	}
	return seen
}

// take polls one node, or the node at an address that is a seed, and reports whether that answered with what can be taken.
func (m *Mirror) take(n api.NodeID, seed string) bool {
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.PollTimeout)
	defer cancel()
	began := time.Now()
	var news News
	var err error
	if seed != "" {
		news, err = m.cfg.Source.PollAddress(ctx, seed, m.seen())
	} else {
		news, err = m.cfg.Source.Poll(ctx, n, m.seen())
	}
	if err == nil {
		err = m.learn(news, began)
	}
	if m.ctx.Err() == nil {
		m.note(n, seed, err)
	}
	return err == nil
}

// learn takes the answer to a poll that began then.
func (m *Mirror) learn(news News, began time.Time) error {
	if news.Map != nil {
		if err := m.Update(news.Map); err != nil {
			return err
		}
	}
	var fresh time.Time
	if news.Known {
		fresh = began.Add(news.Fresh) // the poll arrived after it had begun, so the roll is no older than that
	}
	return m.UpdateRoll(news.Roll, fresh)
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
		began := time.Now()
		got, err := m.cfg.Source.PollAddress(ctx, m.cfg.Seeds[i], Seen{})
		if err == nil && got.Map != nil {
			return m.learn(got, began)
		}
		last = err
	}
	return &api.Error{Code: api.CodeUnavailable, Op: "refresh", Hint: "no node of the cluster has given a placement map yet", Err: last}
}
