package edge

import (
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/edgehold/edgehold/api"
)

// realClock costs the two system calls that a node's own clock costs.
type realClock struct{}

func (realClock) Now() api.ClockSample {
	const boottime, monotonicRaw = 7, 4
	return api.ClockSample{Boottime: gettime(boottime), Raw: gettime(monotonicRaw)}
}

func gettime(clock uintptr) time.Duration {
	var ts syscall.Timespec
	if _, _, err := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&ts)), 0); err != 0 {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkLeasedReadSingleRealClock is one read with the real clocks.
func BenchmarkLeasedReadSingleRealClock(b *testing.B) { benchSingle(b, realClock{}) }

// BenchmarkRealClock is what of it the clocks cost.
func BenchmarkRealClock(b *testing.B) {
	for b.Loop() {
		realClock{}.Now()
	}
}
