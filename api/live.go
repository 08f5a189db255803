package api

import "context"

// Observer reports what a cluster does, as it happens.
type Observer interface {
	// Live calls tell with what the cluster does: at once, and then about once a second, until ctx ends or tell returns an error, which
	// it returns. Live returns CodeUnavailable if too many streams are open at this node. What tell gets is shared and must not be
	// changed.
	Live(ctx context.Context, tell func(*Live) error) error
}

// Live is what a cluster does, as one node has gathered it: an event of GET /v1/cluster/live.
type Live struct {
	// Status is what GET /v1/cluster says at that moment.
	Status *Status `json:"-"`
	// Node has gathered it. Seq numbers its events from 1. UnixMs is the time of its wall clock, in milliseconds.
	Node   NodeID      `json:"node"`
	Seq    uint64      `json:"seq"`
	UnixMs int64       `json:"unix_ms"`
	Nodes  []NodeLive  `json:"nodes"`
	Groups []GroupLive `json:"groups"`
	Alarms []Alarm     `json:"alarms"`
}

// NodeLive is what a node does. The counts are what it did within OverMs.
type NodeLive struct {
	Node NodeID `json:"node"`
	// AgeMs is how old all this is; -1 if nothing has been heard of the node since the gathering began, and all else is zero.
	AgeMs int64 `json:"age_ms"`
	// OverMs is the time that the counts are over; 0 if there are none: the node was heard once so far, or its program has none.
	OverMs int64 `json:"over_ms"`
	// ReadsLease counts keys read under a lease, ReadsOwner keys that their owner answered, and ReadsStale keys read as a cached copy
	// of some age. Revoked counts leases that the node was asked to give back.
	ReadsLease uint64 `json:"reads_lease"`
	ReadsOwner uint64 `json:"reads_owner"`
	ReadsStale uint64 `json:"reads_stale"`
	Revoked    uint64 `json:"revoked"`
	// TimedLease and TimedStale are samples of the reads that a lease, or a cached copy, answered at once, and TimedLeaseNs and TimedStaleNs
	// how long the reads of the sample took at the node, together, in nanoseconds.
	TimedLease   uint64 `json:"timed_lease"`
	TimedLeaseNs uint64 `json:"timed_lease_ns"`
	TimedStale   uint64 `json:"timed_stale"`
	TimedStaleNs uint64 `json:"timed_stale_ns"`
	// Flows are the requests that it has sent to groups.
	Flows []Flow `json:"flows"`
	// Sessions are those that the node has at groups, and Usable those of them under which it may read. Keys and Bytes are cached.
	Sessions int   `json:"sessions"`
	Usable   int   `json:"sessions_usable"`
	Keys     int   `json:"cached_keys"`
	Bytes    int64 `json:"cached_bytes"`
	// Requests are under way, and Watches and Streams are open, of clients.
	Requests int `json:"requests"`
	Watches  int `json:"watches"`
	// Links are to the servers that have answered the node.
	Links []Link `json:"links"`
	// CertificateEnds is when the node's certificate ends, in Unix seconds; 0 if it has none.
	CertificateEnds int64 `json:"certificate_ends,omitempty"`
	// DiskFree is what the node may still write, and DiskSize the size of its file system, in bytes; 0 if it has no disk.
	DiskFree uint64 `json:"disk_free,omitempty"`
	DiskSize uint64 `json:"disk_size,omitempty"`
}

// Flow is the requests of a node to a group.
type Flow struct {
	Group  GroupID `json:"group" cbor:"1,keyasint"`
	Reads  uint64  `json:"reads" cbor:"2,keyasint,omitempty"`
	Writes uint64  `json:"writes" cbor:"3,keyasint,omitempty"`
	// ReadUs and WriteUs are how long the node has waited for these reads and writes, together, in microseconds.
	ReadUs  uint64 `json:"read_us" cbor:"4,keyasint,omitempty"`
	WriteUs uint64 `json:"write_us" cbor:"5,keyasint,omitempty"`
}

// Link is what a node knows of its connection to a server.
type Link struct {
	Node NodeID `json:"node"`
	// RoundTripMs is the shortest of the last round trips of keep-alives, with the time that the server took to confirm that it leads.
	RoundTripMs float64 `json:"round_trip_ms"`
	// SilentMs is how long ago the server has answered. A server answers about the groups that it leads, about once a second.
	SilentMs int64 `json:"silent_ms"`
}

// GroupLive is a group as its leader sees it.
type GroupLive struct {
	Group GroupID `json:"group"`
	Node  NodeID  `json:"leader"`
	AgeMs int64   `json:"age_ms"`
	// Waiting is the writes that wait for lease holders.
	Waiting int           `json:"waiting_writes"`
	Members []MemberLive  `json:"members"`
	Holders []LeaseHolder `json:"holders"`
}

// MemberLive is a member of a group.
type MemberLive struct {
	Node     NodeID `json:"node"`
	Voter    bool   `json:"voter"`
	Heard    bool   `json:"heard"`
	CaughtUp bool   `json:"caught_up"`
	// SilentMs is how long the member has certainly not answered, and Lag how many entries of the log it lacks; -1 if that is unknown.
	SilentMs int64 `json:"silent_ms"`
	Lag      int64 `json:"lag"`
}

// LeaseHolder is a node that holds leases of a group, or has held some since its leader leads.
type LeaseHolder struct {
	Node NodeID `json:"node"`
	// Leases that it holds, and Standing of its session: "good", "suspected" or "expired"; "" if it has none.
	Leases   int    `json:"leases"`
	Standing string `json:"standing,omitempty"`
	// Owes is the leases that it was asked to give back and has not yet, the first of them OwesMs ago.
	Owes   int   `json:"owes,omitempty"`
	OwesMs int64 `json:"owes_ms,omitempty"`
	// Barred: writes have had to wait for its leases to expire again and again, so it gets none for a while.
	Barred bool `json:"barred,omitempty"`
	// Revoked counts the leases that it was asked to give back within the last second or so, Delayed the writes that have waited for it
	// then, and DelayMs how long they waited, together. The totals are since the process of the leader started.
	Revoked      uint64  `json:"revoked,omitempty"`
	Delayed      uint64  `json:"delayed,omitempty"`
	DelayMs      float64 `json:"delay_ms,omitempty"`
	RevokedTotal uint64  `json:"revoked_total,omitempty"`
	DelayedTotal uint64  `json:"delayed_total,omitempty"`
	DelayTotalMs float64 `json:"delay_total_ms,omitempty"`
}

// Alarm is a state that an operator has to act on.
type Alarm struct {
	// Text names the state, and Next what to do about it.
	Text string `json:"text"`
	Next string `json:"next"`
}
