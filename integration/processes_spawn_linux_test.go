package integration

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// newSpawner starts processes that the system kills when this process ends, however it does: a test that runs out of
// time leaves nothing behind. Linux takes the end of the starting thread for that of the process: so one goroutine that
// keeps its thread starts them all, until end. Where cpus are named, the processes run on these alone.
func newSpawner(cpus ...int) (spawn func(*exec.Cmd) error, end func()) {
	type start struct {
		cmd  *exec.Cmd
		done chan error
	}
	starts := make(chan start)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and with it where it may run
		err := runOn(cpus)
		for s := range starts {
			if err != nil {
				s.done <- err
				continue
			}
			s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			s.done <- s.cmd.Start()
		}
	}()
	spawn = func(cmd *exec.Cmd) error {
		s := start{cmd, make(chan error)}
		starts <- s
		return <-s.done
	}
	return spawn, func() { close(starts) }
}

// runOn has this thread, and what it starts, run on these processors alone; on any where none is named.
func runOn(cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("processors %v: %w", cpus, err)
	}
	return nil
}

// allCPUs are those that this process may run on.
func allCPUs() (cpus []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	for c := range len(set) * 64 {
		if set.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus
}
