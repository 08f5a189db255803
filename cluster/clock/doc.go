// Package clock has the clocks by which leases are judged: the machine's own pair (PROTOCOL 4), and simulated ones that
// run fast, jump, stop or sleep for tests.
//
// On Linux the pair is CLOCK_BOOTTIME, which sees that the machine was suspended but is slewed, and CLOCK_MONOTONIC_RAW,
// which is not slewed but stops meanwhile; Go's own monotonic clock is slewed and stops. Elsewhere the pair is the wall
// clock and Go's monotonic one: the wall clock moves while a machine sleeps, and where it is set back, the other one
// covers it. What that fall-back does not see is a wall clock that is set back by as much as the machine slept.
package clock
