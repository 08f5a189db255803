package clock

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vdso is the address of clock_gettime in the code that the kernel maps into every process; 0 if there is none that works.
// It reads the same clocks as the system call: BOOTTIME moves on during a suspend, MONOTONIC_RAW is not slewed.
type vdso uintptr

// read reads a clock; false if the code is not there or fails.
func (v vdso) read(id int32) (time.Duration, bool) {
	if v == 0 {
		return 0, false
	}
	var ts unix.Timespec
	if callVDSO(uintptr(v), id, &ts) != 0 {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}

// callVDSO calls clock_gettime(id, ts) at the address, on this goroutine's stack, and returns what it returns.
//
//go:noescape
func callVDSO(address uintptr, id int32, ts *unix.Timespec) int32

// findVDSO finds the code. It returns 0 unless a reading lies between those of a system call before and one after it.
func findVDSO() vdso {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0
	}
	start, image := vdsoImage(string(maps))
	offset, err := clockGettime(image)
	if err != nil {
		return 0
	}
	v := vdso(start + offset)
	for _, id := range []int32{unix.CLOCK_BOOTTIME, unix.CLOCK_MONOTONIC_RAW} {
		before, err1 := read(id)
		now, ok := v.read(id)
		after, err2 := read(id)
		if err1 != nil || err2 != nil || !ok || now < before || now > after {
			return 0
		}
	}
	return v
}

// vdsoImage returns the mapping of the kernel's code that /proc/self/maps names; nil if there is none.
func vdsoImage(maps string) (start uintptr, image []byte) {
	for line := range strings.Lines(maps) {
		var from, to uintptr
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil || to <= from {
			return 0, nil
		}
		base := *(*unsafe.Pointer)(unsafe.Pointer(&from)) // mapped for as long as the process lives
		return from, unsafe.Slice((*byte)(base), to-from)
	}
	return 0, nil
}

// clockGettime returns the offset of the function in the image.
func clockGettime(image []byte) (uintptr, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, err
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, err
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" && elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Value < uint64(len(image)) {
			return uintptr(s.Value), nil
		}
	}
	return 0, fmt.Errorf("no clock_gettime among %d symbols", len(symbols))
}
