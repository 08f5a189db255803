package group

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// lead is the volatile state of one term in which this node leads. Applying the term's TermStart creates it, and any
// higher term ends it. None of it outlives the term. The authority's mutex guards it, except for ended.
type lead struct {
	term  api.Term
	start uint64            // index of the TermStart: sessions below it were opened before this term
	began words.ClockSample // when the TermStart applied here
	time  uint64            // of the group, as its log had it then
	timed words.ClockSample // what passes since then counts: began
	ended chan struct{}     // closed when the term is over here

	extended  map[ident.SessionID]words.ClockSample // newest extension in this term, or the opening
	holders   map[ident.SessionID]*holder
	owing     map[ident.SessionID]*holder // the holders with pending revocations
	unsent    []*holder                   // the holders with revocations to send
	latches   map[api.Key]int             // number of writes under way by written key; such keys get no grants
	frozen    []api.Range                 // ranges being ceded: no grants
	waiting   int                         // writes that wait for holders
	blockers  map[ident.TxnID]*blocker    // transactions whose intents are waited for
	blocked   int                         // requests that wait for those transactions
	queue     queue                       // the positions of those requests
	committed []ident.TxnID               // commits decided here, participants not yet notified
	hub       *hub                        // nil until the first feed
	notices   errands                     // to the participants of commits decided here
	hints     errands                     // to the decision groups of transactions that are said to be over
	pushes    errands                     // to the decision groups of transactions prepared here for too long

	cooling  *coolDowns
	expired  chan struct{}        // closed and replaced when keys have ended because of their deadlines
	returned []ident.DroppedLease // acknowledged after the writes that asked for them ended; to be released
}

func newLead(cfg *Config, term api.Term, start uint64, now words.ClockSample) *lead {
	return &lead{
		term:     term,
		start:    start,
		began:    now,
		time:     cfg.Machine.Now(),
		timed:    now,
		expired:  make(chan struct{}),
		ended:    make(chan struct{}),
		extended: map[ident.SessionID]words.ClockSample{},
		holders:  map[ident.SessionID]*holder{},
		owing:    map[ident.SessionID]*holder{},
		latches:  map[api.Key]int{},
		blockers: map[ident.TxnID]*blocker{},
		queue:    newQueue(),
		notices:  newErrands(notifyAtOnce),
		hints:    newErrands(pushedAtOnce),
		pushes:   newErrands(pushedAtOnce),
		cooling:  newCoolDowns(cfg.CoolDown),
	}
}

// latch prevents new leases on the keys until unlatch. Latches are shared, since the log orders the writes.
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

// grants reports whether leases on the key may be given now.
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
