// Package fsm is a group's state machine: keys and values, sessions and leases, at-most-once results and owned ranges, all
// in one ordered keyspace. It is pure: no clock, no randomness, no network, no goroutine, no log lines. Two machines that
// applied the same commands hold the same state, byte for byte.
//
// A [Machine] changes by [Machine.Apply] alone. Commands ([Write], [Grant], ...) come out of the group's log as [Encode]
// wrote them, several to one log entry. Index everywhere is the machine's own command counter, one more with each command
// whatever became of it, and never the log's index; that stands in [Meta] alone, for the replica that applies the log.
//
// Leases and sessions end by commands alone. A command that carries a leader's judgement names the term in which it was
// judged, and is refused in an entry of any other term.
package fsm
