package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpu is time that processes have used.
type cpu struct{ servers, client time.Duration }

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// readCPU reads the time used so far by the members, and by this process, which makes the load.
func readCPU(members []*process) cpu {
	var c cpu
	for _, p := range members {
		c.servers += processCPU(p.cmd.Process.Pid)
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		c.client = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return c
}

func (c cpu) since(before cpu) cpu {
	return cpu{c.servers - before.servers, c.client - before.client}
}

// processCPU reads utime and stime of all threads, ended ones too; 0 for a process that is gone.
func processCPU(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // the name before may hold anything
	if len(fields) < 13 {
		return 0
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return time.Duration(user+system) * tick
}

// settleDisk writes out what earlier members left in memory, so that the next ones do not pay for it.
func settleDisk() { syscall.Sync() }

// fileSystems names those that a benchmark is likely to meet.
var fileSystems = map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs", 0x794c7630: "overlayfs", 0x2fc12fc1: "zfs"}

// fileSystem names the file system of the folder.
func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "unknown"
	}
	if name := fileSystems[int64(s.Type)]; name != "" {
		return name
	}
	return fmt.Sprintf("type %#x", s.Type)
}

// kernel is the system's name and version.
func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "Linux"
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(b)), "-")
	return "Linux " + version
}

// memoryGiB is the machine's memory.
func memoryGiB() float64 {
	var s syscall.Sysinfo_t
	if err := syscall.Sysinfo(&s); err != nil {
		return 0
	}
	return float64(uint64(s.Totalram)*uint64(s.Unit)) / (1 << 30)
}

// loadAverage is how many tasks wanted to run in the last minute.
func loadAverage() float64 {
	var s syscall.Sysinfo_t
	if err := syscall.Sysinfo(&s); err != nil {
		return 0
	}
	return float64(s.Loads[0]) / (1 << 16)
}
