package clock

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgehold/edgehold/cluster/words"
)

// unknownPause is P where the clock source cannot be read.
const unknownPause = KVMPause

// system reads BOOTTIME and MONOTONIC_RAW: two system calls, about a microsecond together, or the kernel's own code for
// them in this process, a tenth of that.
type system struct{ vdso vdso }

// System is the machine's own pair of clocks.
func System() words.Clock {
	if _, err := read(unix.CLOCK_BOOTTIME); err != nil {
		return goClocks()
	}
	if _, err := read(unix.CLOCK_MONOTONIC_RAW); err != nil {
		return goClocks()
	}
	return system{findVDSO()}
}

// Now panics where a clock that once worked does not: nothing could be judged by it any more.
func (s system) Now() words.ClockSample {
	boot, err := s.read(unix.CLOCK_BOOTTIME)
	if err != nil {
		panic("clock: CLOCK_BOOTTIME: " + err.Error())
	}
	raw, err := s.read(unix.CLOCK_MONOTONIC_RAW)
	if err != nil {
		panic("clock: CLOCK_MONOTONIC_RAW: " + err.Error())
	}
	return words.ClockSample{Boottime: boot, Raw: raw}
}

// read reads a clock in the process if that is possible.
func (s system) read(id int32) (time.Duration, error) {
	if d, ok := s.vdso.read(id); ok {
		return d, nil
	}
	return read(id)
}

// read asks the kernel.
func read(id int32) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}
