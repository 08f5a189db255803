// Package logstore keeps what one member of a Raft group must not lose: the log, the term and the vote. A log is in one
// of two kinds of files ([Open]), or in memory for simulations ([Memory]). [Cache], [Health] and [Watchdog] stand before
// any of them.
package logstore
