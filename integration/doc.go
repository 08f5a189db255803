// Package integration tests whole clusters: planets in memory under virtual time with faults from a seed, processes that
// are killed and stopped, and the arrows between the rooms. Nothing imports it.
package integration
