package group

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// revocation is a lease that its holder has been asked to give up. It lasts until the holder acknowledges or its
// session ends. It outlives the writes that asked for it, so a holder cannot evade it by waiting until the writers
// have given up.
type revocation struct {
	lease ident.LeaseID
	since time.Time
	waits []*wait
}

// wait is one write's wait for the holders of its keys. The authority's mutex guards it until done is closed.
type wait struct {
	since   time.Time
	left    map[claim]*revocation // what is not settled yet
	done    chan struct{}         // closed when nothing is left
	holders []*holder             // the holders that count this wait in waiting
	trace   []byte                // of the write; nil if it is not traced
	clearance
}

// claim is one lease that a write waits for.
type claim struct {
	sid ident.SessionID
	key api.Key
}

// clearance is what a write has gained by waiting, and how long that took.
type clearance struct {
	cleared []ident.DroppedLease
	killed  []ident.SessionID
	delays  []api.Delay // longest first, one a node, at most words.MaxDelays
	err     error
}

// add merges what a further round gained.
func (c *clearance) add(o clearance) {
	known := make(map[claim]int, len(c.cleared))
	for i, d := range c.cleared {
		known[claim{d.Session, d.Key}] = i
	}
	for _, d := range o.cleared {
		if i, ok := known[claim{d.Session, d.Key}]; ok {
			c.cleared[i].Lease = max(c.cleared[i].Lease, d.Lease)
		} else {
			c.cleared = append(c.cleared, d)
		}
	}
	for _, sid := range o.killed {
		c.kill(sid)
	}
	for _, d := range o.delays {
		c.delay(d)
	}
}

func (c *clearance) kill(sid ident.SessionID) {
	if !slices.Contains(c.killed, sid) {
		c.killed = append(c.killed, sid)
	}
}

func (c *clearance) delay(d api.Delay) {
	if i := slices.IndexFunc(c.delays, func(o api.Delay) bool { return o.Node == d.Node }); i >= 0 {
		c.delays[i].Wait = max(c.delays[i].Wait, d.Wait)
	} else {
		c.delays = append(c.delays, d)
	}
	slices.SortStableFunc(c.delays, func(a, b api.Delay) int { return cmp.Compare(b.Wait, a.Wait) })
	c.delays = c.delays[:min(len(c.delays), words.MaxDelays)]
}

// nothing, ended and given are the ways in which a claim is settled.
func (w *wait) nothing(*holder, api.Key, ident.LeaseID) {}
func (w *wait) ended(h *holder, _ api.Key, _ ident.LeaseID) {
	w.kill(h.sid)
}
func (w *wait) given(h *holder, k api.Key, lid ident.LeaseID) {
	w.cleared = append(w.cleared, ident.DroppedLease{Session: h.sid, Key: k, Lease: lid})
}

// settle reports to all waits for the revocation how it ended. The caller has already removed it from h.pending.
func (p *revocation) settle(h *holder, key api.Key, how func(*wait, *holder, api.Key, ident.LeaseID)) {
	now := time.Now()
	for _, w := range p.waits {
		how(w, h, key, p.lease)
		w.delay(api.Delay{Node: h.node, Wait: now.Sub(w.since)})
		if delete(w.left, claim{h.sid, key}); len(w.left) == 0 {
			close(w.done)
		}
	}
	p.waits = nil
}

// clear revokes the leases and waits until each holder has given its lease up or has certainly expired, or its
// session has ended. Leases in dropped are given up already by the caller; CodeDenied if one is another node's. clear
// returns early with an error if ctx or the term ends.
func (a *Authority) clear(ctx context.Context, l *lead, holders []fsm.Holder, dropped []ident.DroppedLease) (clearance, error) {
	ctx, span := a.revokeSpan(ctx, holders)
	defer span.End()
	w := &wait{since: time.Now(), left: map[claim]*revocation{}, done: make(chan struct{}), trace: trace.Bytes(ctx)}
	if err := a.claim(words.CallerFrom(ctx), l, w, holders, dropped); err != nil {
		return clearance{}, err
	}
	var err error
	select {
	case <-w.done:
		a.settled(l, w)
		holderSpans(ctx, w)
		return w.clearance, w.err
	case <-l.ended:
		err = notLeader("")
	case <-a.ctx.Done():
		err = unavailable("the node is shutting down")
	case <-ctx.Done():
		err = a.unanswered(l, w)
	}
	a.settled(l, w)
	holderSpans(ctx, w)
	span.Fail(string(api.CodeOf(err)))
	return clearance{}, err
}

// claim asks for all the leases and registers w with each revocation.
func (a *Authority) claim(c *words.Caller, l *lead, w *wait, holders []fsm.Holder, dropped []ident.DroppedLease) error {
	now := a.cfg.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if l.waiting >= a.cfg.MaxWaiting {
		return unavailable("too many writes wait for lease holders")
	}
	own := make(map[claim]ident.LeaseID, len(dropped))
	for _, d := range dropped {
		if d.Group != a.cfg.Group { // given by the previous owner; a session of this group may have the same id
			continue
		}
		if alive, err := a.ownedBy(c, d.Session); err != nil {
			return err
		} else if !alive { // it holds nothing that is in the way
			continue
		}
		own[claim{d.Session, d.Key}] = max(own[claim{d.Session, d.Key}], d.Lease)
	}
	for _, x := range holders {
		h := l.holders[x.Session]
		if guardPerHolder && h != nil && h.waiting >= a.cfg.MaxPerHolder && own[claim{x.Session, x.Key}] < x.Lease && !a.expiredLocked(l, h, now, 0) {
			return crowded(x.Key, h)
		}
	}
	for _, x := range holders {
		if lid := own[claim{x.Session, x.Key}]; lid >= x.Lease {
			w.cleared = append(w.cleared, ident.DroppedLease{Session: x.Session, Key: x.Key, Lease: lid})
			continue
		}
		h, _ := a.holderLocked(l, x.Session)
		switch {
		case h == nil: // the session has ended meanwhile
		case a.expiredLocked(l, h, now, 0):
			a.settleExpiredLocked(l, h)
			w.kill(h.sid)
		default:
			if !slices.Contains(w.holders, h) {
				w.holders = append(w.holders, h)
				h.waiting++
			}
			p := l.revoke(h, x.Key, x.Lease, w.since, w.trace)
			if w.left[claim{h.sid, x.Key}] == nil {
				w.left[claim{h.sid, x.Key}] = p
				p.waits = append(p.waits, w)
			}
		}
	}
	if len(w.left) == 0 {
		close(w.done)
	}
	l.waiting++
	if len(l.unsent) > 0 {
		a.signal()
	}
	return nil
}

// revoke ensures that the lease, or a later one on the same key, is revoked. of is the trace of the write that needs it, or nil.
func (l *lead) revoke(h *holder, key api.Key, lid ident.LeaseID, now time.Time, of []byte) *revocation {
	p := h.pending[key]
	if p == nil {
		p = &revocation{since: now}
		if len(h.pending) == 0 {
			h.oldest = now
		}
		h.pending[key] = p
		l.owing[h.sid] = h
	}
	if lid > p.lease {
		p.lease = lid
		if len(h.unsent) == 0 {
			l.unsent = append(l.unsent, h)
		}
		h.unsent = append(h.unsent, words.RevokedLease{Key: key, Lease: lid})
		if n := len(h.traces); of != nil && n < words.MaxTraces && (n == 0 || &h.traces[n-1][0] != &of[0]) { // once a write
			h.traces = append(h.traces, of)
		}
	}
	return p
}

// crowded returns the refusal of a write of the key for which one more write would have to wait for the holder.
func crowded(k api.Key, h *holder) error {
	return &api.Error{Code: words.Crowded, Key: k, RetryAfter: time.Second,
		Hint: fmt.Sprintf("too many writes wait already for node %s, which holds a lease on the key; nothing was written", h.node)}
}

// settled removes w from the lead's state, whatever its outcome.
func (a *Authority) settled(l *lead, w *wait) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l.waiting--
	l.withdraw(w)
}

// withdraw removes w from the holders and revocations that it waits for.
func (l *lead) withdraw(w *wait) {
	for _, h := range w.holders {
		h.waiting--
	}
	w.holders = nil
	for c, p := range w.left {
		p.waits = slices.DeleteFunc(p.waits, func(o *wait) bool { return o == w })
		delete(w.left, c)
	}
}

// unanswered returns an error that names some of the holders that did not answer before the caller's time was up.
func (a *Authority) unanswered(l *lead, w *wait) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var nodes []string
	named := map[api.NodeID]bool{}
	for c := range w.left {
		if h := l.holders[c.sid]; h != nil && !named[h.node] {
			named[h.node] = true
			w.delay(api.Delay{Node: h.node, Wait: time.Since(w.since)})
			nodes = append(nodes, string(h.node))
			a.metrics.delayed(h.node, time.Since(w.since))
		}
	}
	slices.Sort(nodes)
	nodes = nodes[:min(len(nodes), words.MaxDelays)]
	return unavailable(fmt.Sprintf("the time was up while waiting for lease holders %v; nothing was written", nodes))
}

// Acked records that a holder has given up leases. Only the process that opened the session may acknowledge for it: the
// connection shows its node, and the message its nonce.
func (a *Authority) Acked(ack words.RevokeAck) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.lead
	if l == nil || ack.Group != a.cfg.Group || l.holders[ack.Session] == nil {
		return
	}
	h := l.holders[ack.Session]
	if h.nonce != ack.Nonce || h.node != ack.Node && guardSessionOwner {
		return
	}
	h.unreachable, h.heard = false, time.Now()
	for _, x := range ack.Leases {
		l.acked(h, x.Key, x.Lease, true)
	}
}

// maxReturned bounds the acknowledged leases that await release. A lease over the bound stays in the machine until
// the next write.
const maxReturned = 4096

// acked settles the revocation of a lease at or below lid.
func (l *lead) acked(h *holder, key api.Key, lid ident.LeaseID, release bool) {
	p := h.pending[key]
	if p == nil || p.lease > lid {
		return
	}
	if release && len(p.waits) == 0 && len(l.returned) < maxReturned {
		l.returned = append(l.returned, ident.DroppedLease{Session: h.sid, Key: key, Lease: p.lease})
	}
	h.acked = time.Now()
	if delete(h.pending, key); len(h.pending) == 0 {
		delete(l.owing, h.sid)
	}
	p.settle(h, key, (*wait).given)
}

// settleExpiredLocked settles all that the holder owes, because it has expired. If a write has waited for that, it counts
// against the holder's node, once a session.
func (a *Authority) settleExpiredLocked(l *lead, h *holder) {
	if waited := len(h.pending) > 0; waited && !h.counted {
		h.counted = true
		if a.bars.expired(h.node, time.Now()) {
			a.cfg.Logger.Warn("writes have waited again for the leases of a node to expire: if it is an edge, it gets none for a while",
				"group", a.cfg.Group, "node", h.node, "for", barWithin)
		}
	}
	l.settleExpired(h)
}

// settleExpired settles all that the holder owes, because it has expired.
func (l *lead) settleExpired(h *holder) {
	for key, p := range h.pending {
		delete(h.pending, key)
		p.settle(h, key, (*wait).ended)
	}
	h.unsent, h.traces = nil, nil
	delete(l.owing, h.sid)
}

// abandon ends all waits, because this node no longer leads.
func (l *lead) abandon(err error) {
	for _, h := range l.owing {
		for key, p := range h.pending {
			for _, w := range p.waits {
				w.err = err
			}
			p.settle(h, key, (*wait).nothing)
		}
	}
}
