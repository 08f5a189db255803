package group

import (
	"time"

	"github.com/edgehold/edgehold/fsm/ident"
)

// offenders are the processes that could be reached and did not answer revocations: each gets no new leases for a while, and
// for twice as long the next time. It is kept by process, since a session ends with what its holder has done. The zero value is
// ready; the authority's mutex guards it.
type offenders map[ident.Nonce]offender

type offender struct {
	offences int
	until    time.Time // no leases before
}

// maxOffenders bounds the processes that are remembered.
const maxOffenders = 4096

// The least probation after a revocation that was answered late, and after one that was not answered until the session
// expired: each of these has kept a writer waiting for as long as there is to wait.
const (
	revocationOffence = 2 * time.Second
	sessionOffence    = 8 * time.Second // twice that at the first time: the revocation was late before
	maxDoublings      = 6
)

// forgiveness is how long after its probation an offender is forgotten.
const forgiveness = 10 * time.Minute

// offends puts the process on probation from now.
func (o *offenders) offends(n ident.Nonce, least time.Duration, now time.Time) {
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
		o.forget(now.Add(forgiveness)) // those whose probation is over
		if len(*o) >= maxOffenders {
			return
		}
	}
	(*o)[n] = x
}

// onProbation reports whether the process gets no leases now.
func (o offenders) onProbation(n ident.Nonce, now time.Time) bool {
	return now.Before(o[n].until)
}

// forget drops the offenders that have done nothing for long.
func (o offenders) forget(now time.Time) {
	for n, x := range o {
		if now.Sub(x.until) >= forgiveness {
			delete(o, n)
		}
	}
}
