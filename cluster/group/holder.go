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

	standing  standing  // changed only by happens
	refusedAt time.Time // when it was judged expired
	tried     time.Time // when it was last suspected; if by an earlier leader, when this lead first met it
	acked     time.Time // when it last gave up a lease after a revocation
	// unreachable reports whether the last revocation could not be sent and no message has come from the holder
	// since.
	unreachable bool
	heard       time.Time // when its newest message arrived

	counted bool // in bars

	scope       []api.Key // of the node, as its newest keep-alive had it
	scopedSince time.Time // when this lead first saw that scope

	waiting int // writes that wait for it
	pending map[api.Key]*revocation
	oldest  time.Time // no pending revocation was asked for before this
	unsent  []words.RevokedLease
	traces  [][]byte // of the writes that wait for what is unsent, as words.Revocation has them
}

// process returns the process that has the session.
func (h *holder) process() process { return process{h.node, h.nonce} }

// foreign reports whether the keep-alive comes from another process than the session's. Its Node is that of the
// connection.
func (h *holder) foreign(k *words.KeepAlive) bool {
	return h.nonce != k.Nonce || h.node != k.Node && guardSessionOwner
}

// standing says whether this lead may renew a session.
type standing uint8

const (
	// good means that the session may be renewed and may get leases.
	good standing = iota
	// suspecting means that a Suspect is in flight. The session is not renewed from before the Suspect is proposed.
	suspecting
	// suspected means that a Suspect has been proposed, by this leader or an earlier one, and may have applied. Other
	// replicas may count from it. So the session is not renewed until an Unsuspect that was proposed after it is
	// known to have applied.
	suspected
	// returning means that this Unsuspect is in flight. Meanwhile no Suspect is proposed, so that their order is
	// known.
	returning
	// refused means that the session was judged expired. It is never renewed again in this term. A write or the
	// sweeper ends it.
	refused
	standings
)

// event is something that happens to a session.
type event uint8

const (
	silent           event = iota // the holder cannot be reached, or has left a revocation unanswered for too long
	suspectEnded                  // the Suspect has applied, or has failed, or its outcome is unknown
	answers                       // the holder answers revocations again
	unsuspectApplied              // the Unsuspect has applied
	unsuspectFailed               // the Unsuspect has failed, or its outcome is unknown
	expires                       // its term has certainly ended
	events
)

// transitions maps a session's standing and an event to its next standing. An event that cannot happen in a standing
// does not change it.
//
// A session enters suspecting or returning only with a proposal, and leaves it only with that proposal's outcome or
// by expiring.
var transitions = [standings][events]standing{
	//           silent      suspectEnded answers     unsuspectApplied unsuspectFailed expires
	good:       {suspecting, good, good, good, good, refused},
	suspecting: {suspecting, suspected, suspecting, suspecting, suspecting, refused},
	suspected:  {suspecting, suspected, returning, suspected, suspected, refused},
	returning:  {returning, returning, returning, good, suspected, refused},
	refused:    {refused, refused, refused, refused, refused, refused},
}

// happens applies the event to the session's standing. begun reports whether the standing has changed. If the new
// standing is suspecting or returning, the caller must make the proposal.
func (h *holder) happens(e event) (begun bool) {
	was := h.standing
	h.standing = transitions[was][e]
	return h.standing != was
}

// standingOf returns the standing of a session as a new lead finds it in the machine.
func standingOf(suspect bool) standing {
	if suspect {
		return suspected
	}
	return good
}

// holderLocked returns the lead's record of a session, or nil if the machine does not know the session (DEAD).
// suspect is what the machine says. holderLocked reads the machine under the mutex, so a session that it finds alive
// cannot have been judged and forgotten.
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
	return h.standing == good && !suspect && !a.clockOffLocked(h.process()) && !a.cfg.Removed(h.node)
}

// isBack reports whether a suspected holder answers again: either it owes nothing, or it has given up leases since it
// was suspected and is not late with any. Requiring that it owes nothing at all would make its return depend on the
// writers.
func (h *holder) isBack(patience time.Duration) bool {
	if len(h.pending) == 0 {
		return true
	}
	return guardHolderReturns && h.acked.After(h.tried) && !h.overdue(patience)
}

// overdue reports whether a revocation has been unanswered for at least patience.
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

// evades reports whether the holder owes an answer and could be reached, that is, a message came from it when the
// answer was late. A holder that was cut off meanwhile is no offender.
func (h *holder) evades(patience time.Duration) bool {
	return !h.unreachable && len(h.pending) > 0 && h.heard.Sub(h.oldest) >= patience
}

// elapsedLocked returns a lower bound of the time since any leader last renewed the holder.
func (a *Authority) elapsedLocked(l *lead, sid ident.SessionID, now words.ClockSample) time.Duration {
	base, ok := l.extended[sid]
	switch {
	case ok:
	case sid.Index < l.start:
		base = l.began // renewed by an earlier leader, but not after this one was elected
	default:
		// The session was opened in this term, and its opening is just being recorded. It counts from now.
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

// expiredLocked reports whether the session's holder has certainly stopped using its leases, at least the duration
// beyond ago. If so, it refuses the session in the same step under the mutex, so that no renewal comes between the
// judgement and the log.
func (a *Authority) expiredLocked(l *lead, h *holder, now words.ClockSample, beyond time.Duration) bool {
	over := a.elapsedLocked(l, h.sid, now) >= a.waitLocked(h)+beyond
	if !guardAwaitRemoved { // the mutant: a removed holder is taken for one that has stopped
		over = over || a.cfg.Removed(h.node)
	}
	if h.standing != refused && over {
		h.happens(expires)
		h.refusedAt = time.Now()
		a.metrics.expired(h.node)
		if h.evades(a.cfg.SuspectAfter) {
			a.offenders.offends(h.process(), sessionOffence, time.Now())
		}
	}
	return h.standing == refused
}

// extendLocked records a renewal as of its receipt.
func (a *Authority) extendLocked(l *lead, sid ident.SessionID, received words.ClockSample) {
	last, ok := l.extended[sid]
	if ok { // answers may arrive out of order
		received.Boottime = max(received.Boottime, last.Boottime)
		received.Raw = max(received.Raw, last.Raw)
	}
	l.extended[sid] = received
	delete(a.suspected, sid) // renewed after its Unsuspect applied, so the old count is void
}

// gone forgets a session that has ended in the log. It ends the waits for the session, because its leases no longer
// exist.
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
