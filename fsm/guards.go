//go:build !mutants

package fsm

// Guards that the checks must be able to do without, to show that they would notice: see integration/mutants.
const (
	guardTermFence  = true
	guardLeaseCheck = true
	guardKillWhole  = true
)
