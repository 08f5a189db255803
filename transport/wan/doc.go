// Package wan simulates the wide area between regions: latency, jitter, loss and cuts. [Table] says how far regions are
// from each other, [Delay] slows real connections down accordingly, and [Fabric] is a whole network in memory with faults
// from a seed, also under testing/synctest. It is for development and tests only.
package wan
