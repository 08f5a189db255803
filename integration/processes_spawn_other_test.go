//go:build !linux

package integration

import "os/exec"

// newSpawner starts processes; only the test's own cleanup ends them here.
func newSpawner() (spawn func(*exec.Cmd) error, end func()) {
	return (*exec.Cmd).Start, func() {}
}
