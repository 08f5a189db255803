//go:build !mutants

package consul

// The checks that integration/mutants switches off, to see that a test misses them.
const (
	guardSessionExists = true // a lock is taken under the condition that its session still exists
	guardLockDelay     = true // a lock is not taken before the lock-delay is over
	guardIndexRises    = true // an index counts the end of sessions and the deletions in a tree
	guardSessionEnds   = true // that of a list of sessions counts those that have expired
	guardEmptyTree     = true // a tree that is deleted is deleted until it has no key
)
