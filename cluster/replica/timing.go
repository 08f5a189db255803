package replica

import (
	"cmp"
	"time"
)

// Timing is how patient the members of a group are with each other.
type Timing struct {
	// Heartbeat is how long a follower hears nothing before it stands for election (1-2 times that, at random).
	Heartbeat time.Duration
	// Election is how long a candidate waits for votes; at least Heartbeat.
	Election time.Duration
	// LeaderLease is how long a leader leads on without contact to a quorum; at most Heartbeat. Nothing relies on it:
	// reads are confirmed.
	LeaderLease time.Duration
	// Commit is how long, at most twice that, an idle leader keeps the newest commit index from followers.
	Commit time.Duration
	// Transport bounds dialling, and each exchange between members.
	Transport time.Duration
	// DiskStuck is how long an append to the log may take before this member makes room for another leader.
	DiskStuck time.Duration
	// DiskLost is how long before Config.OnStuck hears of it.
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

// Scale returns t with everything that concerns the network multiplied by f, within what Raft accepts. It is for
// development and tests: on two busy cores heartbeats of 300 ms lose leaders.
func (t Timing) Scale(f float64) Timing {
	by := func(d, least time.Duration) time.Duration { return max(least, time.Duration(float64(d)*f)) }
	t.Heartbeat = by(t.Heartbeat, 50*time.Millisecond)
	t.Election = max(t.Heartbeat, by(t.Election, 50*time.Millisecond))
	t.LeaderLease = min(t.Heartbeat, by(t.LeaderLease, 25*time.Millisecond))
	t.Commit = by(t.Commit, 5*time.Millisecond)
	t.Transport = by(t.Transport, time.Second)
	return t
}

// Limits bounds what a replica queues, packs and keeps. A zero field is its default.
type Limits struct {
	// EntryCommands and EntryBytes bound one log entry; a longer command goes alone. Defaults: 1024, 512 KiB.
	EntryCommands int
	EntryBytes    int
	// InFlight is how many entries may be proposed and not yet applied. Default 1.
	InFlight int
	// QueueCommands and QueueBytes bound the commands that wait for a place in an entry. Defaults: 8192, 64 MiB.
	QueueCommands int
	QueueBytes    int64
	// AppendEntries bounds the entries that go to a follower at once. Default 64: each may hold EntryBytes or more.
	AppendEntries int
	// CacheBytes bounds the newest entries that are kept in memory for followers. Default 16 MiB.
	CacheBytes int
	// SnapshotEntries is how many entries since the last snapshot make another due, TrailingEntries how many stay in
	// the log behind one, SnapshotInterval how often (1-2 times that) it is looked at. Defaults: 4096, 1024, 30 s.
	SnapshotEntries uint64
	TrailingEntries uint64
	// SnapshotBytes makes a snapshot due after fewer entries where they are great, and fewer stay. Default 64 MiB.
	SnapshotBytes    uint64
	SnapshotInterval time.Duration
	// SnapshotRate bounds how many bytes a second of checkpoints go to followers, all together: they share disk and
	// network with the writes. Default 64 MiB.
	SnapshotRate int64
	// CaughtUpEntries is how many entries a member may lack that counts as caught up. Default 16.
	CaughtUpEntries uint64
}

func (l *Limits) setDefaults() {
	l.EntryCommands = cmp.Or(l.EntryCommands, 1024)
	l.EntryBytes = cmp.Or(l.EntryBytes, 512<<10)
	l.InFlight = cmp.Or(l.InFlight, 1)
	l.QueueCommands = cmp.Or(l.QueueCommands, 8192)
	l.QueueBytes = cmp.Or(l.QueueBytes, 64<<20)
	l.AppendEntries = cmp.Or(l.AppendEntries, 64)
	l.CacheBytes = cmp.Or(l.CacheBytes, 16<<20)
	l.SnapshotEntries = cmp.Or(l.SnapshotEntries, 4096)
	l.TrailingEntries = cmp.Or(l.TrailingEntries, 1024)
	l.SnapshotBytes = cmp.Or(l.SnapshotBytes, 64<<20)
	l.SnapshotInterval = cmp.Or(l.SnapshotInterval, 30*time.Second)
	l.SnapshotRate = cmp.Or(l.SnapshotRate, 64<<20)
	l.CaughtUpEntries = cmp.Or(l.CaughtUpEntries, 16)
}
