package group

import (
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// holder is what a lead knows of one session. The authority's mutex guards it.
type holder struct {
	sid   ident.SessionID
	node  api.NodeID
	nonce ident.Nonce
	wait  time.Duration // W of its term and pause

	standing  standing  // changed by happens alone
	refusedAt time.Time // when it was judged expired
	tried     time.Time // when it was last suspected; of one that an earlier leader suspected: when this lead first met it
	acked     time.Time // when it last gave a lease up that it was asked for
	// unreachable: the last revocation could not be sent, and nothing has come from the holder since.
	unreachable bool
	heard       time.Time // when the newest message of it came

	waiting int // writes that wait for it
	pending map[api.Key]*revocation
	oldest  time.Time // at or before the asking of every pending revocation
	unsent  []words.RevokedLease
}

// standing is whether a session may be renewed by this lead.
type standing uint8

const (
	// good: it may be renewed, and may get leases.
	good standing = iota
	// suspecting: a Suspect is on its way. From before it is proposed the session is not renewed.
	suspecting
	// suspected: a Suspect has been proposed, now or by an earlier leader, and may have applied. Other replicas may count from
	// it; so the session is not renewed before an Unsuspect that was proposed after it is known to have applied.
	suspected
	// returning: that Unsuspect is on its way. While it is, no Suspect is proposed, so that their order is known.
	returning
	// refused: judged expired. It is never renewed again in this term; a write or the sweeper ends it.
	refused
	standings
)

// event is what happens to a session.
type event uint8

const (
	silent           event = iota // it cannot be reached, or has left a revocation unanswered for too long
	suspectEnded                  // the Suspect has applied, or has failed, or its outcome is unknown
	answers                       // it is back: it answers what it is asked
	unsuspectApplied              // the Unsuspect has applied
	unsuspectFailed               // it has failed, or its outcome is unknown
	expires                       // its term has certainly ended
	events
)

// transitions is where a session's standing goes with an event. An event that cannot happen in a standing leaves it.
//
// One goes into suspecting or returning only with a proposal, and leaves it only with what became of that.
var transitions = [standings][events]standing{
	//           silent      suspectEnded answers     unsuspectApplied unsuspectFailed expires
	good:       {suspecting, good, good, good, good, refused},
	suspecting: {suspecting, suspected, suspecting, suspecting, suspecting, refused},
	suspected:  {suspecting, suspected, returning, suspected, suspected, refused},
	returning:  {returning, returning, returning, good, suspected, refused},
	refused:    {refused, refused, refused, refused, refused, refused},
}

// happens changes the session's standing. begun reports whether it has just become another one: if that is suspecting or
// returning, the caller is to make the proposal.
func (h *holder) happens(e event) (begun bool) {
	was := h.standing
	h.standing = transitions[was][e]
	return h.standing != was
}

// standingOf is that of a session as a new lead finds it in the machine.
func standingOf(suspect bool) standing {
	if suspect {
		return suspected
	}
	return good
}

// holderLocked is the lead's record of a session; nil if the machine does not know the session (DEAD). suspect is what the
// machine says. It asks the machine under the mutex: a session that is found alive here cannot have been judged and
// forgotten.
func (a *Authority) holderLocked(l *lead, sid ident.SessionID) (h *holder, suspect bool) {
	s, ok := a.cfg.Machine.Session(sid)
	if !ok {
		return nil, false
	}
	h = l.holders[sid]
	if h == nil {
		h = &holder{sid: sid, node: s.Node, nonce: s.Nonce, wait: words.GrantorWait(s.Term, s.Pause)}
		h.standing, h.tried = standingOf(s.Suspect), time.Now()
		h.pending = map[api.Key]*revocation{}
		l.holders[sid] = h
	}
	return h, s.Suspect
}

// renewableLocked reports whether the session may be renewed now. suspect is what the machine says of it.
func (a *Authority) renewableLocked(h *holder, suspect bool) bool {
	return h.standing == good && !suspect && !a.clockOffLocked(h.nonce)
}

// isBack reports whether a suspected holder answers again: it owes nothing, or it has given leases up since it was suspected
// and is late with none. To wait for a holder that owes nothing at all would be to wait for the writers.
func (h *holder) isBack(patience time.Duration) bool {
	if len(h.pending) == 0 {
		return true
	}
	return guardHolderReturns && h.acked.After(h.tried) && !h.overdue(patience)
}

// overdue reports whether a revocation has been unanswered for longer than patience.
func (h *holder) overdue(patience time.Duration) bool {
	now := time.Now()
	if now.Sub(h.oldest) < patience {
		return false
	}
	h.oldest = now
	for _, p := range h.pending {
		if p.since.Before(h.oldest) {
			h.oldest = p.since
		}
	}
	return now.Sub(h.oldest) >= patience
}

// evades reports whether the holder owes an answer and could be reached: it was heard from when the answer was late. One that
// was cut off meanwhile is no offender.
func (h *holder) evades(patience time.Duration) bool {
	return !h.unreachable && len(h.pending) > 0 && h.heard.Sub(h.oldest) >= patience
}

// elapsedLocked is how long ago, at least, the holder may have last been renewed, by any leader.
func (a *Authority) elapsedLocked(l *lead, sid ident.SessionID, now words.ClockSample) time.Duration {
	base, ok := l.extended[sid]
	switch {
	case ok:
	case sid.Index < l.start:
		base = l.began // by an earlier leader, but not after this one was elected
	default:
		// Opened in this term, and its opening is just being noted: counts from now.
		l.extended[sid] = now
		base = now
	}
	elapsed := now.GrantorElapsed(base)
	if s, ok := a.suspected[sid]; ok {
		// No leader has renewed it since this replica applied its Suspect.
		elapsed = max(elapsed, now.GrantorElapsed(s))
	}
	return elapsed
}

// expiredLocked judges whether the session's holder has certainly stopped using its leases, beyond patience: then, in the
// same step under the mutex, it is refused, so that no renewal comes between the judgement and the log.
func (a *Authority) expiredLocked(l *lead, h *holder, now words.ClockSample, beyond time.Duration) bool {
	if h.standing != refused && a.elapsedLocked(l, h.sid, now) >= a.waitLocked(h)+beyond {
		h.happens(expires)
		h.refusedAt = time.Now()
		a.metrics.expired(h.node)
		if h.evades(a.cfg.SuspectAfter) {
			a.offenders.offends(h.nonce, sessionOffence, time.Now())
		}
	}
	return h.standing == refused
}

// extendLocked records a renewal as of its receipt.
func (a *Authority) extendLocked(l *lead, sid ident.SessionID, received words.ClockSample) {
	last, ok := l.extended[sid]
	if ok { // answers may overtake each other
		received.Boottime = max(received.Boottime, last.Boottime)
		received.Raw = max(received.Raw, last.Raw)
	}
	l.extended[sid] = received
	delete(a.suspected, sid) // renewed after its Unsuspect had applied: the old count is void
}

// gone forgets a session that has ended in the log. What waits for it waits no more: its leases have vanished.
func (l *lead) gone(sid ident.SessionID) {
	delete(l.extended, sid)
	h := l.holders[sid]
	if h == nil {
		return
	}
	for key, p := range h.pending {
		delete(h.pending, key)
		p.settle(h, key, (*wait).nothing)
	}
	delete(l.owing, sid)
	delete(l.holders, sid)
}
