package group

import "time"

// offenders are the processes that could be reached and did not answer revocations. Each gets no new leases for a
// while, and for twice as long the next time. Offenders are recorded by process, because a session ends as a result
// of what its holder has done. The zero value is ready to use. The authority's mutex guards it.
type offenders map[process]offender

type offender struct {
	offences int
	until    time.Time // no leases before this
}

// maxOffenders bounds the processes that are remembered.
const maxOffenders = 4096

// These are the least probation after a revocation that was answered late, and after one that was not answered until
// the session expired. A holder of the second kind has kept a writer waiting for the longest possible time.
const (
	revocationOffence = 2 * time.Second
	sessionOffence    = 8 * time.Second // doubled even the first time, since the revocation was late before
	maxDoublings      = 6
)

// forgiveness is how long after its probation an offender is remembered.
const forgiveness = 10 * time.Minute

// offends puts the process on probation from now on.
func (o *offenders) offends(n process, least time.Duration, now time.Time) {
	if *o == nil {
		*o = offenders{}
	}
	x := (*o)[n]
	until := now.Add(least << min(x.offences, maxDoublings))
	if until.After(x.until) {
		x.until = until
	}
	x.offences++
	if _, known := (*o)[n]; !known && len(*o) >= maxOffenders {
		o.forget(now.Add(forgiveness)) // drop those whose probation is over
		if len(*o) >= maxOffenders {
			return
		}
	}
	(*o)[n] = x
}

// onProbation reports whether the process is on probation now and so gets no leases.
func (o offenders) onProbation(n process, now time.Time) bool {
	return now.Before(o[n].until)
}

// forget drops the offenders whose probation ended at least forgiveness ago.
func (o offenders) forget(now time.Time) {
	for n, x := range o {
		if now.Sub(x.until) >= forgiveness {
			delete(o, n)
		}
	}
}
