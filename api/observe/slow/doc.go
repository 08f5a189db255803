// Package slow remembers the requests that took longest in the last minutes, and counts which keys are asked for most. Both are bounded
// in memory, and cost a request that is quick next to nothing.
package slow
