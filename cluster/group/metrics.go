package group

import (
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
)

// metrics are the metrics of an authority. The number of node labels is bounded: after maxNodeLabels, further nodes
// get the label "other".
type metrics struct {
	nodes                           *nodeLabels
	tally                           *tally
	grants                          func(float64, ...string)
	renewals                        func(float64, ...string)
	revoked                         func(float64, ...string)
	suspects                        func(float64, ...string)
	expiries                        func(float64, ...string)
	clocks                          func(float64, ...string)
	delays                          func(float64, ...string)
	revoke                          func(float64, ...string)
	commit                          func(float64, ...string)
	intents                         func(float64, ...string)
	gaveWay                         func(float64, ...string)
	pushes                          func(float64, ...string)
	resolves                        func(float64, ...string)
	feedEvents, feedScans, feedGaps func(float64, ...string)
	overdue                         func(float64, ...string)
}

func newMetrics(m observe.Metrics, r *Authority) metrics {
	m.Gauge("edgehold_region_waiting_writes", "Writes that wait for lease holders.", func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.lead == nil {
			return 0
		}
		return float64(r.lead.waiting)
	})
	m.Gauge("edgehold_region_sessions", "Live lease sessions of the group, as this replica knows.", func() float64 {
		return float64(r.cfg.Machine.Meta().Sessions)
	})
	m.Gauge("edgehold_region_holders_barred", "Nodes whose leases writes have twice had to wait out lately: edges among them get none.", func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return float64(r.bars.count(time.Now()))
	})
	m.Gauge("edgehold_region_leases", "Live leases of the group, as this replica knows.", func() float64 {
		return float64(r.cfg.Machine.Meta().Leases)
	})
	m.Gauge("edgehold_region_prepared_transactions", "Transactions that have prepared in the group and are not resolved.", func() float64 {
		return float64(r.cfg.Machine.Meta().Prepared)
	})
	m.Gauge("edgehold_region_unresolved_commits", "Commits decided by the group that participants have not all resolved.", func() float64 {
		return float64(r.cfg.Machine.Meta().Unresolved)
	})
	m.Gauge("edgehold_region_oldest_prepared_seconds", "Since when the leader has seen the oldest of them, looking every 5 s.", func() float64 {
		return r.oldestSeconds(r.cfg.Machine.Meta().Prepared)
	})
	m.Gauge("edgehold_region_feeds", "Feeds of changes that the group serves here.", func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.lead == nil || r.lead.hub == nil {
			return 0
		}
		return float64(r.lead.hub.count())
	})
	m.Gauge("edgehold_region_history_bytes", "Size of the group's history of changes.", func() float64 {
		return float64(r.cfg.Machine.Position().Bytes)
	})
	m.Gauge("edgehold_region_history_max_bytes", "Size that the group's history of changes may have.", func() float64 {
		return float64(r.cfg.Machine.Position().Max)
	})
	m.Gauge("edgehold_region_history_seconds", "How far back the group's history reaches, as far as this replica has seen it.", r.historySeconds)
	m.Gauge("edgehold_region_keys_with_deadline", "Keys of the group that have a deadline, as this replica knows.", func() float64 {
		return float64(r.cfg.Machine.Meta().Deadlines)
	})
	return metrics{
		nodes:    &nodeLabels{known: map[api.NodeID]bool{}},
		tally:    &tally{all: map[api.NodeID]*Holder{}},
		grants:   m.Counter("edgehold_region_grants_total", "Leases given."),
		renewals: m.Counter("edgehold_region_keepalives_total", "Keep-alives answered, by answer.", "answer"),
		revoked:  m.Counter("edgehold_region_revocations_total", "Leases asked back."),
		suspects: m.Counter("edgehold_region_suspects_total", "Sessions no longer renewed because the holder did not answer.", "node"),
		expiries: m.Counter("edgehold_region_expiries_total", "Sessions judged expired.", "node"),
		clocks:   m.Counter("edgehold_region_clock_alarms_total", "Holders whose clock rate is off.", "node"),
		delays:   m.Histogram("edgehold_region_write_delay_seconds", "How long a holder kept a write waiting.", "node"),
		revoke:   m.Histogram("edgehold_region_revoke_seconds", "How long writes to leased keys waited for holders."),
		commit:   m.Histogram("edgehold_region_commit_seconds", "How long writes took in the log."),
		intents:  m.Histogram("edgehold_region_intent_wait_seconds", "How long requests waited for a transaction that held their key."),
		gaveWay:  m.Counter("edgehold_region_transactions_gave_way_total", "Votes no because an older transaction held a key."),
		pushes:   m.Counter("edgehold_region_transaction_pushes_total", "Transactions that stayed too long and were pushed, by what became of them.", "outcome"),
		resolves: m.Histogram("edgehold_region_resolve_seconds", "How long a participant took to resolve a transaction, from when it learned the decision."),

		feedEvents: m.Counter("edgehold_region_feed_events_total", "Events delivered to feeds."),
		feedScans:  m.Counter("edgehold_region_feed_scans_total", "Pages of the history read for feeds that were behind."),
		feedGaps:   m.Counter("edgehold_region_feed_gaps_total", "Gaps delivered to feeds, by their reason.", "reason"),
		overdue:    m.Histogram("edgehold_region_key_overdue_seconds", "How long after their deadline keys have ended. Its count is that of the keys."),
	}
}

func (m *metrics) intentWait(d time.Duration) { m.intents(d.Seconds()) }
func (m *metrics) pushed(outcome string)      { m.pushes(1, outcome) }
func (m *metrics) resolved(d time.Duration)   { m.resolves(d.Seconds()) }

func (m *metrics) keyEnded(late time.Duration) { m.overdue(late.Seconds()) }

func (m *metrics) expired(n api.NodeID)   { m.expiries(1, m.nodes.label(n)) }
func (m *metrics) suspected(n api.NodeID) { m.suspects(1, m.nodes.label(n)) }
func (m *metrics) clockOff(n api.NodeID)  { m.clocks(1, m.nodes.label(n)) }

// wrote records how long the parts of a write took.
func (m *metrics) wrote(t api.Timing) {
	m.commit(t.Commit.Seconds())
	if t.Revoke > 0 {
		m.revoke(t.Revoke.Seconds())
	}
}

func (m *metrics) delayed(n api.NodeID, d time.Duration) {
	m.delays(d.Seconds(), m.nodes.label(n))
	m.tally.delayed(n, d)
}

const maxNodeLabels = 200

// nodeLabels bounds the number of node labels, since nodes come and go and a node chooses its own name.
type nodeLabels struct {
	mu    sync.Mutex
	known map[api.NodeID]bool
}

func (n *nodeLabels) label(node api.NodeID) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.known[node] {
		if len(n.known) >= maxNodeLabels {
			return "other"
		}
		n.known[node] = true
	}
	return string(node)
}
