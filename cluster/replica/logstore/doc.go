// Package logstore stores what a member of a Raft group must not lose: its log, its term and its vote. A log is kept in
// files of one of two kinds ([Open]), or in memory for simulations ([Memory]). [Cache], [Health] and [Watchdog] wrap any of
// them.
package logstore
