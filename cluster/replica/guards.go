//go:build !mutants

package replica

const guardQuorumConfirm = true
