package region

import (
	"time"

	"github.com/edgehold/edgehold/api"
)

// lead is the volatile state of one term that this node leads in: made by applying its TermStart, ended by any higher
// term. Nothing of it outlives the term. The region's mutex guards it, except for ended.
type lead struct {
	term  api.Term
	start uint64          // index of the TermStart: sessions below it were opened before this term
	began api.ClockSample // when the TermStart applied here
	ended chan struct{}   // closed when the term is over here

	extended  map[api.SessionID]api.ClockSample // newest extension in this term, or the opening
	holders   map[api.SessionID]*holder
	owing     map[api.SessionID]*holder // the holders with pending revocations
	unsent    []*holder                 // those with revocations to send
	latches   map[api.Key]int           // writes under way, by written key: no grants meanwhile
	frozen    []api.Range               // ranges being ceded: no grants
	waiting   int                       // writes that wait for holders
	blockers  map[api.TxnID]*blocker    // transactions whose intents are waited for
	blocked   int                       // requests that wait for them
	queue     queue                     // the turns of those that wait for them
	committed []api.TxnID               // decided here: their participants are to be told
	driven    map[api.TxnID]bool        // their participants are being told

	cooling  *coolDowns
	returned []api.DroppedLease // acknowledged after the writes that had asked for it had gone: to be released
}

func newLead(cfg *Config, term api.Term, start uint64, now api.ClockSample) *lead {
	return &lead{
		term:     term,
		start:    start,
		began:    now,
		ended:    make(chan struct{}),
		extended: map[api.SessionID]api.ClockSample{},
		holders:  map[api.SessionID]*holder{},
		owing:    map[api.SessionID]*holder{},
		latches:  map[api.Key]int{},
		blockers: map[api.TxnID]*blocker{},
		queue:    newQueue(),
		driven:   map[api.TxnID]bool{},
		cooling:  newCoolDowns(cfg.CoolDown),
	}
}

// holder is what a lead knows of one session.
type holder struct {
	sid   api.SessionID
	node  api.NodeID
	nonce api.Nonce
	wait  time.Duration // W of its term and pause

	// refused: judged expired. It is never renewed again in this term; a write or the sweeper ends it.
	refused   bool
	refusedAt time.Time
	// noRenew: from before a Suspect is proposed until an Unsuspect proposed after it is known to have applied. That one
	// applied is not enough: it may be an older one, and then other replicas count already from the Suspect.
	noRenew bool
	// judging: a Suspect or Unsuspect of it is on its way; one at a time, so that their order is known.
	judging bool
	tried   time.Time // when Suspect was last proposed
	// unreachable: the last revocation could not be sent, and nothing has come from the holder since.
	unreachable bool

	pending map[api.Key]*revocation
	oldest  time.Time // at or before the asking of every pending revocation
	unsent  []api.RevokedLease

	offences  int       // times in this term that it could be reached and did not answer
	probation time.Time // no grants before
}

// holderLocked is the lead's record of a session; nil where the machine does not know the session (DEAD). suspect is
// what the machine says. It asks the machine under the mutex: a session that is found alive here cannot have been judged
// and forgotten.
func (r *Region) holderLocked(l *lead, sid api.SessionID) (h *holder, suspect bool) {
	s, ok := r.cfg.Machine.Session(sid)
	if !ok {
		return nil, false
	}
	h = l.holders[sid]
	if h == nil {
		h = &holder{sid: sid, node: s.Node, nonce: s.Nonce, wait: api.GrantorWait(s.Term, s.Pause)}
		h.pending = map[api.Key]*revocation{}
		l.holders[sid] = h
	}
	return h, s.Suspect
}

// elapsedLocked is how long ago, at least, the holder may have last been renewed, by any leader.
func (r *Region) elapsedLocked(l *lead, sid api.SessionID, now api.ClockSample) time.Duration {
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
	if s, ok := r.suspected[sid]; ok {
		// No leader has renewed it since this replica applied its Suspect.
		elapsed = max(elapsed, now.GrantorElapsed(s))
	}
	return elapsed
}

// expiredLocked judges whether the session's holder has certainly stopped using its leases, beyond patience: then, in
// the same step under the mutex, it is refused, so that no renewal comes between the judgement and the log.
func (r *Region) expiredLocked(l *lead, h *holder, now api.ClockSample, beyond time.Duration) bool {
	if !h.refused && r.elapsedLocked(l, h.sid, now) >= h.wait+beyond {
		h.refused, h.refusedAt = true, time.Now()
		r.metrics.expired(h.node)
	}
	return h.refused
}

// extendLocked records a renewal as of its receipt.
func (r *Region) extendLocked(l *lead, sid api.SessionID, received api.ClockSample) {
	last, ok := l.extended[sid]
	if ok { // answers may overtake each other
		received.Boottime = max(received.Boottime, last.Boottime)
		received.Raw = max(received.Raw, last.Raw)
	}
	l.extended[sid] = received
	delete(r.suspected, sid) // renewed after its Unsuspect had applied: the old count is void
}

// gone forgets a session that has ended in the log. Whoever waits for it waits no more: its leases have vanished.
func (l *lead) gone(sid api.SessionID) {
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

// latch keeps new leases off the keys until unlatch. Latches are shared: the log orders the writes.
func (l *lead) latch(keys []api.Key) {
	for _, k := range keys {
		l.latches[k]++
	}
}

func (l *lead) unlatch(keys []api.Key) {
	for _, k := range keys {
		if l.latches[k]--; l.latches[k] <= 0 {
			delete(l.latches, k)
		}
	}
}

// grants tells whether leases on the key may be given now.
func (l *lead) grants(k api.Key) bool {
	if l.latches[k] > 0 {
		return false
	}
	for _, f := range l.frozen {
		if f.Contains(k) {
			return false
		}
	}
	return true
}
