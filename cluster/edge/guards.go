//go:build !mutants

package edge

// guardFence: a grant at or below the fence is refused. Its mutant is caught by TestFence.
const guardFence = true
