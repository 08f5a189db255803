// Package clock has the clocks by which leases are judged: the machine's own pair, and simulated ones that
// run fast, jump, stop or sleep for tests.
//
// On Linux the pair is CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW. The first moves on while the machine is suspended, but is
// slewed. The second is not slewed, but stops during a suspend. Go's own monotonic clock is slewed and stops.
//
// Elsewhere the pair is the wall clock and Go's monotonic clock. The wall clock moves on while a machine sleeps; the
// monotonic clock moves on if the wall clock is set back. This fallback does not see a wall clock that is set back by as
// much as the machine slept.
package clock
