// Package fsm is a group's state machine: keys and values, sessions and leases, at-most-once results and owned ranges, all in one
// ordered keyspace. It is pure: it has no clock, no randomness, no network, no goroutines and no log lines. Two machines that
// have applied the same commands hold the same state, byte for byte.
//
// A [Machine] changes only by [Machine.Apply]. Commands ([Write], [Grant], ...) come from the group's log in the form that
// [Encode] returns, several to one log entry. Index always means the machine's own command counter, which grows by one with each
// command, refused or not. It is never the log's index. Only [Meta] has the log's index, for the replica that applies the log.
//
// Leases and sessions end only by commands. A command with a leader's judgement names the term in which the judgement was made,
// and is refused in an entry of any other term.
package fsm
