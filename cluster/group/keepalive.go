package group

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// maxPending bounds the revocations repeated in one status. The next status repeats the next ones.
const maxPending = 1024

// KeepAlive renews one session of a keep-alive, as of its arrival here. The answer is sent only once it is certain
// that no other leader had been elected when the keep-alive arrived. If KeepAlive returns false, there is no answer,
// because this node does not lead the group or cannot know it in time.
func (a *Authority) KeepAlive(ctx context.Context, k *words.KeepAlive, s words.SessionKeepAlive) (words.SessionStatus, bool) {
	status := words.SessionStatus{Group: s.Group, Session: s.Session, Seq: k.Seq}
	received := a.cfg.Clock.Now()
	a.mu.Lock()
	l := a.lead
	a.mu.Unlock()
	if l == nil || s.Group != a.cfg.Group {
		return status, false
	}
	if s, ok := a.cfg.Machine.Session(s.Session); ok && (s.Node == k.Node || !guardSessionOwner) {
		a.observe(k, received)
	}
	if err := a.proveLead(ctx, l, k, s.Session); err != nil {
		return status, false
	}
	a.narrow(words.CallerFrom(ctx), l, k, s.Session)
	meta := a.cfg.Machine.Meta()
	status.DedupEpoch, status.Index, status.Now = uint64(meta.DedupEpoch), meta.Counter, a.now(l)
	if counted, ok := a.cfg.Machine.Session(s.Session); ok {
		status.Leases = counted.Leases
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lead != l {
		return status, false
	}
	a.answerLocked(l, k, s, received, &status)
	return status, true
}

// proveLead returns nil if this node led the group at some instant after the keep-alive's arrival. If the session is
// SUSPECT and its holder answers again, proveLead proposes an Unsuspect, which also serves as the proof.
func (a *Authority) proveLead(ctx context.Context, l *lead, k *words.KeepAlive, sid ident.SessionID) error {
	if h := a.returning(l, k, sid); h != nil {
		_, err := a.propose(ctx, fsm.Unsuspect{Term: l.term, Session: sid})
		a.mu.Lock()
		defer a.mu.Unlock()
		if err == nil { // the Unsuspect has applied, and no Suspect was proposed after it
			h.happens(unsuspectApplied)
		} else {
			h.happens(unsuspectFailed)
		}
		return err
	}
	if guardConfirmBeforeRenewal {
		return a.log().QuorumConfirm(ctx, uint64(l.term))
	}
	return nil
}

// returning returns the session if its holder answers again and an Unsuspect must be proposed for it. It returns nil
// if there is nothing to do.
func (a *Authority) returning(l *lead, k *words.KeepAlive, sid ident.SessionID) *holder {
	a.mu.Lock()
	defer a.mu.Unlock()
	h, _ := a.holderLocked(l, sid)
	if a.lead != l || h == nil || h.foreign(k) || a.clockOffLocked(h.process()) || a.cfg.Removed(h.node) || !h.isBack(a.cfg.SuspectAfter) {
		return nil
	}
	if !h.happens(answers) {
		return nil
	}
	return h
}

// answerLocked decides the answer. It runs last, under the mutex, so that a session judged while its keep-alive was
// being confirmed is not renewed.
func (a *Authority) answerLocked(l *lead, k *words.KeepAlive, s words.SessionKeepAlive, received words.ClockSample, status *words.SessionStatus) {
	h, suspect := a.holderLocked(l, s.Session)
	if h == nil || h.foreign(k) {
		status.Dead = true
		a.metrics.renewals(1, "dead")
		return
	}
	h.unreachable, h.heard = false, time.Now()
	for key, p := range h.pending {
		if len(status.Pending) == maxPending {
			break
		}
		status.Pending = append(status.Pending, words.RevokedLease{Key: key, Lease: p.lease})
	}
	if !a.renewableLocked(h, suspect) {
		a.metrics.renewals(1, "refused")
		return
	}
	a.extendLocked(l, s.Session, received)
	status.Extended = true
	a.metrics.renewals(1, "extended")
}
