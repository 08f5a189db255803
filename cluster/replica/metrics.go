package replica

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api/observe"
)

// meters are the counters of a replica.
type meters struct {
	entries, commands, rounds, stuck, changes func(n float64, values ...string)
	propose, fsync                            func(seconds float64, values ...string)
}

func newMeters(m observe.Metrics) meters {
	return meters{
		entries:  m.Counter("edgehold_replica_entries_total", "Log entries proposed by this replica."),
		commands: m.Counter("edgehold_replica_commands_total", "Commands applied by this replica's machine."),
		rounds:   m.Counter("edgehold_replica_confirm_rounds_total", "Rounds in which this leader asked the voters for their term."),
		stuck:    m.Counter("edgehold_replica_disk_stuck_total", "Appends to the log that took so long that this member let another one lead."),
		changes:  m.Counter("edgehold_replica_member_changes_total", "Changes of the group's members that this leader has made."),
		propose:  m.Histogram("edgehold_replica_propose_seconds", "From proposing a command to its result."),
		fsync:    m.Histogram("edgehold_disk_fsync_seconds", "How long an append to the log took, until it was on the disk."),
	}
}

func (m *meters) appended(d time.Duration) { m.fsync(d.Seconds()) }

// measure registers the gauges, which are read at each scrape.
func (r *Replica[R]) measure() {
	m := r.cfg.Metrics
	m.Gauge("edgehold_replica_leader", "1 if this replica leads its group.", func() float64 { return oneIf(r.IsLeader()) })
	m.Gauge("edgehold_replica_term", "The newest Raft term known.", func() float64 { return float64(r.CurrentTerm()) })
	m.Gauge("edgehold_replica_applied_index", "The last log entry applied.", func() float64 { return float64(r.Applied()) })
	m.Gauge("edgehold_replica_queue_commands", "Commands that wait for a place in an entry.", func() float64 {
		return float64(len(r.packer.queue))
	})
	m.Gauge("edgehold_replica_disk_stuck_seconds", "How long the append under way is overdue.", func() float64 {
		return r.watchdog.StuckFor().Seconds()
	})
	m.Gauge("edgehold_replica_log_failing", "1 while the log fails, and from then until this member has caught up.", func() float64 {
		return oneIf(r.Health() != nil)
	})
	m.Gauge("edgehold_replica_voters", "Voters of the group, counted at its leader; 0 elsewhere.", func() float64 {
		voters, _ := r.voters()
		return float64(voters)
	})
	m.Gauge("edgehold_replica_voters_heard", "Those of them that have answered the leader in the last 5 s; 0 elsewhere.", func() float64 {
		_, heard := r.voters()
		return float64(heard)
	})
	m.Gauge("edgehold_replica_follower_lag_entries",
		"Entries that the follower furthest behind lacks; all of them if it has not answered this leader yet.", r.worstLag)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// voters counts the voters at their leader, and those that it hears.
func (r *Replica[R]) voters() (all, heard int) {
	if !r.IsLeader() {
		return 0, 0
	}
	members, _ := r.Members()
	for _, m := range members {
		if !m.Voter {
			continue
		}
		all++
		if _, ok := r.Silent(m.Node); ok {
			heard++
		}
	}
	return all, heard
}

func (r *Replica[R]) worstLag() float64 {
	if !r.IsLeader() {
		return 0
	}
	worst := uint64(0)
	for _, s := range r.raft.GetConfiguration().Configuration().Servers {
		if s.ID == raft.ServerID(r.cfg.Node) {
			continue
		}
		lag, ok := r.lag(s.ID)
		if !ok {
			lag = r.raft.LastIndex()
		}
		worst = max(worst, lag)
	}
	return float64(worst)
}
