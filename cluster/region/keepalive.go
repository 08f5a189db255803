package region

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// maxPending bounds the revocations repeated in one status; the next status brings the next ones.
const maxPending = 1024

// KeepAlive renews one session of a keep-alive, as of its arrival here. The answer leaves only once it is certain that no
// other leader had been elected when the keep-alive arrived. false: there is no answer, since this node does not lead
// the group or cannot know it in time.
func (r *Region) KeepAlive(ctx context.Context, k *api.KeepAlive, s api.SessionKeepAlive) (api.SessionStatus, bool) {
	status := api.SessionStatus{Group: s.Group, Session: s.Session, Seq: k.Seq}
	received := r.cfg.Clock.Now()
	r.mu.Lock()
	l := r.lead
	r.mu.Unlock()
	if l == nil || s.Group != r.cfg.Group {
		return status, false
	}
	r.observe(k, received)
	if err := r.proveLead(ctx, l, k, s.Session); err != nil {
		return status, false
	}
	status.DedupEpoch = uint64(r.cfg.Machine.Meta().DedupEpoch)
	if counted, ok := r.cfg.Machine.Session(s.Session); ok {
		status.Leases = counted.Leases
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lead != l {
		return status, false
	}
	r.answerLocked(l, k, s, received, &status)
	return status, true
}

// proveLead makes sure that this node led the group at some instant after the keep-alive's arrival. Where the session is
// SUSPECT and its holder is back, the Unsuspect that it then gets is the proof as well.
func (r *Region) proveLead(ctx context.Context, l *lead, k *api.KeepAlive, sid api.SessionID) error {
	if h := r.returning(l, k, sid); h != nil {
		_, err := r.propose(ctx, fsm.Unsuspect{Term: l.term, Session: sid})
		r.mu.Lock()
		defer r.mu.Unlock()
		if err == nil { // it has applied, and no Suspect was proposed after it
			h.happens(unsuspectApplied)
		} else {
			h.happens(unsuspectFailed)
		}
		return err
	}
	if guardConfirmBeforeRenewal {
		return r.log().QuorumConfirm(ctx, uint64(l.term))
	}
	return nil
}

// returning takes a session whose holder is back, for which an Unsuspect is to be proposed; nil if there is nothing to do.
func (r *Region) returning(l *lead, k *api.KeepAlive, sid api.SessionID) *holder {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, _ := r.holderLocked(l, sid)
	if r.lead != l || h == nil || h.nonce != k.Nonce || r.clockOffLocked(k.Nonce) || !h.isBack(r.cfg.SuspectAfter) {
		return nil
	}
	if !h.happens(answers) {
		return nil
	}
	return h
}

// answerLocked decides the answer, last of all, under the mutex: a session judged while its keep-alive was being
// confirmed is not renewed.
func (r *Region) answerLocked(l *lead, k *api.KeepAlive, s api.SessionKeepAlive, received api.ClockSample, status *api.SessionStatus) {
	h, suspect := r.holderLocked(l, s.Session)
	if h == nil || h.nonce != k.Nonce {
		status.Dead = true
		r.metrics.renewals(1, "dead")
		return
	}
	h.unreachable, h.heard = false, time.Now()
	for key, p := range h.pending {
		if len(status.Pending) == maxPending {
			break
		}
		status.Pending = append(status.Pending, api.RevokedLease{Key: key, Lease: p.lease})
	}
	if !r.renewableLocked(h, suspect) {
		r.metrics.renewals(1, "refused")
		return
	}
	r.extendLocked(l, s.Session, received)
	status.Extended = true
	r.metrics.renewals(1, "extended")
}
