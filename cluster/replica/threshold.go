package replica

import "time"

// Raft takes a snapshot after a number of entries (Limits.SnapshotEntries), but an entry may have one command or a thousand.
// Under load the log would grow to gigabytes before it is truncated, and replaying it would take longer than fetching a
// snapshot. So the number depends on the mean size of recent entries.

const (
	// minThreshold and minTrailing are the lower bounds of the numbers, however large the entries are.
	minThreshold = 64
	minTrailing  = 16
	// sampleEntries is the least number of applied entries for a mean size.
	sampleEntries = 16
)

// due returns how many entries of a mean size since the last snapshot make another one due, and how many the log keeps behind a
// snapshot.
func (l *Limits) due(mean uint64) (snapshot, trailing uint64) {
	fit := l.SnapshotBytes / max(mean, 1)
	return min(l.SnapshotEntries, max(fit, minThreshold)), min(l.TrailingEntries, max(fit/4, minTrailing))
}

// adaptThreshold adapts Raft's thresholds to the size of recent entries until the replica closes.
func (r *Replica[R]) adaptThreshold() {
	ticker := time.NewTicker(r.cfg.Limits.SnapshotInterval / 2)
	defer ticker.Stop()
	var entries, bytes uint64 // at the last change
	for {
		select {
		case <-ticker.C:
		case <-r.ctx.Done():
			return
		}
		e, b := r.driver.entries.Load(), r.driver.bytes.Load()
		if e-entries < sampleEntries {
			continue
		}
		rc := r.raft.ReloadableConfig()
		rc.SnapshotThreshold, rc.TrailingLogs = r.cfg.Limits.due((b - bytes) / (e - entries))
		entries, bytes = e, b
		if err := r.raft.ReloadConfig(rc); err != nil {
			r.log.Error("the log's limits could not be set", "group", r.cfg.Group, "error", err)
		}
	}
}
