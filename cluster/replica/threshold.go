package replica

import "time"

// A snapshot is due by the number of entries (Limits.SnapshotEntries), but an entry may pack a thousand commands or hold
// one: under load the log would grow to gigabytes before it is cut, and to replay it would take longer than to fetch a
// snapshot. So the number follows the mean size of late entries.

const (
	// minThreshold and minTrailing bound how small the numbers get, however great the entries are.
	minThreshold = 64
	minTrailing  = 16
	// sampleEntries is how many entries must have applied to judge by.
	sampleEntries = 16
)

// due is how many entries of a mean size since the last snapshot make another due, and how many stay behind it.
func (l *Limits) due(mean uint64) (snapshot, trailing uint64) {
	fit := l.SnapshotBytes / max(mean, 1)
	return min(l.SnapshotEntries, max(fit, minThreshold)), min(l.TrailingEntries, max(fit/4, minTrailing))
}

// adaptThreshold keeps Raft's numbers of entries to the size of late ones, until the replica closes.
func (r *Replica[R]) adaptThreshold() {
	ticker := time.NewTicker(r.cfg.Limits.SnapshotInterval / 2)
	defer ticker.Stop()
	var entries, bytes uint64 // as last seen
	for {
		select {
		case <-ticker.C:
		case <-r.closing:
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
