package replica

import (
	"cmp"
	"time"
)

// Timing has the timeouts between the members of a group.
type Timing struct {
	// Heartbeat is how long a follower waits to hear from a leader before it stands for election: 1 to 2 times that, at random.
	Heartbeat time.Duration
	// Election is how long a candidate waits for votes; at least Heartbeat.
	Election time.Duration
	// LeaderLease is how long a leader stays one without contact to a quorum; at most Heartbeat. No promise depends on it:
	// reads are confirmed.
	LeaderLease time.Duration
	// Commit is after how long an idle leader sends the newest commit index to followers: 1 to 2 times that.
	Commit time.Duration
	// Transport bounds each dial and each exchange between members.
	Transport time.Duration
	// DiskStuck is how long an append to the log may take before this member lets another one lead.
	DiskStuck time.Duration
	// DiskLost is how long an append may take before Config.OnStuck is called.
	DiskLost time.Duration
}

// RegionTiming is for a group whose voters are servers of one region. An unplanned failover takes about 2.3 s.
func RegionTiming() Timing {
	return Timing{
		Heartbeat: time.Second, Election: time.Second, LeaderLease: 500 * time.Millisecond,
		Commit: 250 * time.Millisecond, Transport: 5 * time.Second,
		DiskStuck: 2 * time.Second, DiskLost: 30 * time.Second,
	}
}

// WideTiming is for a group whose voters are in different regions.
func WideTiming() Timing {
	return Timing{
		Heartbeat: 3 * time.Second, Election: 3 * time.Second, LeaderLease: 1500 * time.Millisecond,
		Commit: 200 * time.Millisecond, Transport: 10 * time.Second,
		DiskStuck: 3 * time.Second, DiskLost: 30 * time.Second,
	}
}

func (t *Timing) setDefaults() {
	d := RegionTiming()
	t.Heartbeat = cmp.Or(t.Heartbeat, d.Heartbeat)
	t.Election = cmp.Or(t.Election, max(d.Election, t.Heartbeat))
	t.LeaderLease = cmp.Or(t.LeaderLease, min(d.LeaderLease, t.Heartbeat))
	t.Commit = cmp.Or(t.Commit, d.Commit)
	t.Transport = cmp.Or(t.Transport, d.Transport)
	t.DiskStuck = cmp.Or(t.DiskStuck, d.DiskStuck)
	t.DiskLost = cmp.Or(t.DiskLost, max(d.DiskLost, t.DiskStuck))
}

// Scale returns t with the timeouts of the network multiplied by f, within the bounds of Raft. It is for development and tests:
// on two busy cores a heartbeat of 300 ms loses leaders.
func (t Timing) Scale(f float64) Timing {
	by := func(d, least time.Duration) time.Duration { return max(least, time.Duration(float64(d)*f)) }
	t.Heartbeat = by(t.Heartbeat, 50*time.Millisecond)
	t.Election = max(t.Heartbeat, by(t.Election, 50*time.Millisecond))
	t.LeaderLease = min(t.Heartbeat, by(t.LeaderLease, 25*time.Millisecond))
	t.Commit = by(t.Commit, 5*time.Millisecond)
	t.Transport = by(t.Transport, time.Second)
	return t
}

// Limits bounds the queues, entries and logs of a replica. A zero field has its default.
type Limits struct {
	// EntryCommands and EntryBytes bound one log entry. A longer command has an entry of its own. Defaults: 1024, 512 KiB.
	EntryCommands int
	EntryBytes    int
	// InFlight bounds the entries that are proposed and not yet applied. Default 1.
	InFlight int
	// QueueCommands and QueueBytes bound the commands that wait for an entry. Defaults: 8192, 64 MiB.
	QueueCommands int
	QueueBytes    int64
	// AppendEntries bounds the entries in one request to a follower. Default 64: each may have EntryBytes or more.
	AppendEntries int
	// CacheBytes bounds the newest entries, which are kept in memory for followers. Default 16 MiB.
	CacheBytes int
	// SnapshotEntries is how many entries since the last snapshot make another one due. TrailingEntries is how many the log
	// keeps behind a snapshot. SnapshotInterval is the interval of the check: 1 to 2 times that. Defaults: 4096, 1024, 30 s.
	SnapshotEntries uint64
	TrailingEntries uint64
	// SnapshotBytes lowers SnapshotEntries and TrailingEntries if entries are large: a snapshot is due after about so many bytes,
	// and a quarter of them stays. Default 64 MiB.
	SnapshotBytes    uint64
	SnapshotInterval time.Duration
	// SnapshotRate bounds the bytes a second of all checkpoints that are sent to followers, which share the disk and the network
	// with writes. Default 64 MiB.
	SnapshotRate int64
	// CaughtUpEntries is how many entries a member may lack and count as caught up. Default 16.
	CaughtUpEntries uint64
}

// DefaultLimits returns the defaults.
func DefaultLimits() Limits {
	return Limits{
		EntryCommands:    1024,
		EntryBytes:       512 << 10,
		InFlight:         1,
		QueueCommands:    8192,
		QueueBytes:       64 << 20,
		AppendEntries:    64,
		CacheBytes:       16 << 20,
		SnapshotEntries:  4096,
		TrailingEntries:  1024,
		SnapshotBytes:    64 << 20,
		SnapshotInterval: 30 * time.Second,
		SnapshotRate:     64 << 20,
		CaughtUpEntries:  16,
	}
}

func (l *Limits) setDefaults() {
	d := DefaultLimits()
	l.EntryCommands = cmp.Or(l.EntryCommands, d.EntryCommands)
	l.EntryBytes = cmp.Or(l.EntryBytes, d.EntryBytes)
	l.InFlight = cmp.Or(l.InFlight, d.InFlight)
	l.QueueCommands = cmp.Or(l.QueueCommands, d.QueueCommands)
	l.QueueBytes = cmp.Or(l.QueueBytes, d.QueueBytes)
	l.AppendEntries = cmp.Or(l.AppendEntries, d.AppendEntries)
	l.CacheBytes = cmp.Or(l.CacheBytes, d.CacheBytes)
	l.SnapshotEntries = cmp.Or(l.SnapshotEntries, d.SnapshotEntries)
	l.TrailingEntries = cmp.Or(l.TrailingEntries, d.TrailingEntries)
	l.SnapshotBytes = cmp.Or(l.SnapshotBytes, d.SnapshotBytes)
	l.SnapshotInterval = cmp.Or(l.SnapshotInterval, d.SnapshotInterval)
	l.SnapshotRate = cmp.Or(l.SnapshotRate, d.SnapshotRate)
	l.CaughtUpEntries = cmp.Or(l.CaughtUpEntries, d.CaughtUpEntries)
}
