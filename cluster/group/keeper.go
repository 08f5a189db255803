package group

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
)

const (
	tick       = 10 * time.Millisecond // how often holders that owe an answer are checked
	idle       = time.Second           // the same if none owes an answer
	retry      = time.Second           // between two tries of a judgement that could not be proposed
	judgeTime  = 10 * time.Second      // bounds one of the authority's own proposals
	maxRevoked = 1024                  // leases in one message
)

// keep runs the keeper. The keeper announces the lead, founds the group, sends revocations, and judges holders that
// owe an answer.
func (a *Authority) keep() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	k := keeper{Authority: a}
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-a.wake:
		case <-timer.C:
		}
		timer.Reset(k.pass())
	}
}

// keeper is the state that only the keeper's goroutine uses.
type keeper struct {
	*Authority
	announced api.Term
	foundedAt time.Time
	sentAt    time.Time // when revocations last went out
	judgedAt  time.Time
}

// pass does what is due and returns when to run again. However many writes wake the keeper, revocations go out at
// most once per Config.Gather, and the first one at once, so that a burst of writes makes few messages. Holders are
// checked once a tick, so that the cost of a write does not grow with the number of holders that owe other writes an
// answer.
func (k *keeper) pass() time.Duration {
	k.begin()
	k.drive()
	unreachable := false
	if time.Since(k.sentAt) >= k.cfg.Gather {
		var sent bool
		if sent, unreachable = k.send(); sent {
			k.sentAt = time.Now()
		}
	}
	if unreachable || time.Since(k.judgedAt) >= tick {
		k.judge()
		k.judgedAt = time.Now()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch l := k.lead; {
	case l == nil:
		return idle
	case len(l.unsent) > 0:
		return min(k.cfg.Gather-time.Since(k.sentAt), tick)
	case len(l.owing) > 0:
		return tick - time.Since(k.judgedAt)
	}
	return idle
}

// begin announces a new lead and founds the group, once each.
func (k *keeper) begin() {
	k.mu.Lock()
	l, ready := k.lead, k.ready
	k.mu.Unlock()
	if l == nil {
		return
	}
	if node, term := k.log().Leader(); node != string(k.cfg.Node) || api.Term(term) != l.term {
		return // the term is from before a restart, or is over
	}
	if !ready && time.Since(k.foundedAt) >= retry {
		k.foundedAt = time.Now()
		k.wg.Go(func() {
			if err := k.judgement(*k.cfg.Init); err != nil {
				k.cfg.Logger.Warn("cannot found the group yet", "group", k.cfg.Group, "error", err)
			}
		})
	}
	if k.announced != l.term {
		k.announced = l.term
		k.cfg.OnLead(words.Leads{Group: k.cfg.Group, Term: l.term, Node: k.cfg.Node})
		k.requeue(l) // decisions of the previous leader that not all participants know
	}
}

// judgement proposes one of the group's own commands, with a timeout of its own.
func (a *Authority) judgement(c fsm.Command) error {
	ctx, cancel := context.WithTimeout(a.ctx, judgeTime)
	defer cancel()
	_, err := a.propose(ctx, c)
	return err
}

// send sends the revocations that were asked for since the last call, in one message a session. sent reports whether
// there were any, unreachable whether a holder could not be reached.
func (a *Authority) send() (sent, unreachable bool) {
	a.mu.Lock()
	l := a.lead
	if l == nil {
		a.mu.Unlock()
		return false, false
	}
	type message struct {
		h *holder
		r words.Revocation
	}
	var messages []message
	for _, h := range l.unsent {
		for len(h.unsent) > 0 {
			n := min(len(h.unsent), maxRevoked)
			batch := words.Revocation{Group: a.cfg.Group, Session: h.sid, Leases: h.unsent[:n:n], Traces: h.traces}
			messages = append(messages, message{h, batch})
			h.unsent = h.unsent[n:]
		}
		h.unsent, h.traces = nil, nil
	}
	l.unsent = nil
	a.mu.Unlock()
	for _, m := range messages {
		a.metrics.revoked(float64(len(m.r.Leases)))
		a.metrics.tally.revoked(m.h.node, len(m.r.Leases))
		if a.cfg.Revoker != nil && a.cfg.Revoker.Revoke(m.h.nonce, m.h.node, m.r) == nil {
			continue
		}
		unreachable = true
		a.mu.Lock()
		m.h.unreachable = true
		a.mu.Unlock()
	}
	return len(messages) > 0, unreachable
}

// judge checks the holders that owe an answer. A holder that has expired is no longer waited for. A holder that
// cannot be reached or has not answered in time is suspected.
func (a *Authority) judge() {
	a.mu.Lock()
	l := a.lead
	if l == nil || len(l.owing) == 0 {
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	node, _ := a.log().Leader()
	now := a.cfg.Clock.Now()

	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lead != l {
		return
	}
	if node != string(a.cfg.Node) {
		l.abandon(notLeader(node))
		return
	}
	for sid := range l.owing {
		h, suspect := a.holderLocked(l, sid)
		switch {
		case h == nil:
			l.gone(sid)
		case a.expiredLocked(l, h, now, 0):
			a.settleExpiredLocked(l, h)
		case h.unreachable || h.standing != good || h.overdue(a.cfg.SuspectAfter):
			a.suspectLocked(l, h, suspect)
		}
	}
}

// suspectLocked stops renewing the session at once and proposes a Suspect. Once the Suspect is in the log, no later
// leader renews the session, and each replica can count from when it applied the Suspect. suspect is what the machine
// says.
func (a *Authority) suspectLocked(l *lead, h *holder, suspect bool) {
	first := h.standing == good
	if !first && (suspect || time.Since(h.tried) < retry) || !h.happens(silent) {
		return
	}
	h.tried = time.Now()
	if first {
		if !h.unreachable {
			a.offenders.offends(h.process(), revocationOffence, h.tried)
		}
		a.metrics.suspected(h.node)
		a.cfg.Logger.Warn("a lease holder does not answer and is renewed no more",
			"group", a.cfg.Group, "node", h.node, "session", h.sid, "pending", len(h.pending))
	}
	a.wg.Go(func() {
		err := a.judgement(fsm.Suspect{Term: l.term, Session: h.sid})
		a.mu.Lock()
		defer a.mu.Unlock()
		h.happens(suspectEnded)
		if err != nil {
			a.cfg.Logger.Debug("cannot record that a lease holder is suspect", "node", h.node, "error", err)
		}
	})
}
