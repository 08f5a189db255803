package clock

import (
	"io"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestVDSOIsTheClock: what is read in the process lies between two readings of the kernel's, from any
// goroutine and any depth of stack, while the collector stops and moves stacks and signals come.
func TestVDSOIsTheClock(t *testing.T) {
	v := findVDSO()
	if v == 0 {
		t.Skip("this kernel offers no clock_gettime to processes")
	}
	if err := pprof.StartCPUProfile(io.Discard); err == nil { // an error: the whole test is being profiled
		defer pprof.StopCPUProfile()
	}
	var all sync.WaitGroup
	for _, id := range []int32{unix.CLOCK_BOOTTIME, unix.CLOCK_MONOTONIC_RAW} {
		for depth := range 40 {
			all.Go(func() { // on a new stack, which grows in the call or before it
				for range 2000 {
					deep(depth, func() { between(t, v, id) })
				}
			})
		}
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			return
		default:
			runtime.GC()
		}
	}
}

func between(t *testing.T, v vdso, id int32) {
	before, err1 := read(id)
	now, ok := v.read(id)
	after, err2 := read(id)
	if err1 != nil || err2 != nil || !ok || now < before || now > after {
		t.Errorf("clock %d: %v, then %v (%v), then %v", id, before, now, ok, after)
	}
}

// deep calls f some 100 bytes of stack deeper for each step.
func deep(steps int, f func()) byte {
	var room [100]byte
	if steps == 0 {
		f()
		return room[0]
	}
	return deep(steps-1, f) + room[steps]
}

// TestVDSOIsLeftAlone: what is no such code is not called.
func TestVDSOIsLeftAlone(t *testing.T) {
	if _, image := vdsoImage("7f6dafbf3000-7f6dafbf5000 r-xp 00000000 00:00 0 [vvar]\n\n"); image != nil {
		t.Error("an image in a process that has none")
	}
	if _, image := vdsoImage("zz-7f6dafbf5000 r-xp 00000000 00:00 0 [vdso]\n"); image != nil {
		t.Error("an image at no address")
	}
	for _, image := range [][]byte{nil, []byte(strings.Repeat("\x7fELF", 100))} {
		if at, err := clockGettime(image); err == nil {
			t.Errorf("a function at %d of %q", at, image)
		}
	}
	if d, ok := vdso(0).read(unix.CLOCK_BOOTTIME); ok || d != 0 {
		t.Errorf("time %v without a clock", d)
	}
	if _, ok := findVDSO().read(-1 << 20); ok {
		t.Error("a clock that does not exist")
	}
}

// TestSystemWithoutVDSO: with and without it the machine has one pair of clocks.
func TestSystemWithoutVDSO(t *testing.T) {
	a := system{}.Now()
	b := System().Now()
	c := system{}.Now()
	if b.Boottime < a.Boottime || b.Raw < a.Raw || c.Boottime < b.Boottime || c.Raw < b.Raw || c.Raw-a.Raw > time.Minute {
		t.Errorf("%v, then %v, then %v", a, b, c)
	}
}

func BenchmarkSystemBothWays(b *testing.B) {
	for name, s := range map[string]system{"calls": {}, "vdso": {findVDSO()}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.Now()
			}
		})
	}
}
