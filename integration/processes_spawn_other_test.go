//go:build !linux

package integration

import "os/exec"

// newSpawner starts processes; only the test's own cleanup ends them here, and they run on any processor.
func newSpawner(...int) (spawn func(*exec.Cmd) error, end func()) {
	return (*exec.Cmd).Start, func() {}
}

// allCPUs are unknown here.
func allCPUs() []int { return nil }
