package main

import (
	"os/exec"
	"runtime"
	"syscall"
)

// newSpawner starts processes that the system kills when this process ends, however it does. Linux takes the end of the
// starting thread for that of the process: so one goroutine that keeps its thread starts them all, until end.
func newSpawner() (spawn func(*exec.Cmd) error, end func()) {
	type start struct {
		cmd  *exec.Cmd
		done chan error
	}
	starts := make(chan start)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for s := range starts {
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
