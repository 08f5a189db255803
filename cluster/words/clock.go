package words

import "time"

// ClockSample is one reading of the two clocks by which leases are judged, each counted from an arbitrary origin.
type ClockSample struct {
	Boottime time.Duration `cbor:"1,keyasint"` // CLOCK_BOOTTIME: counts suspends, is slewed
	Raw      time.Duration `cbor:"2,keyasint"` // CLOCK_MONOTONIC_RAW: is not slewed, stops on suspend
}

// HolderElapsed returns the time since from as a lease's holder must count it: the greater of the two differences.
func (s ClockSample) HolderElapsed(from ClockSample) time.Duration {
	return max(s.Boottime-from.Boottime, s.Raw-from.Raw)
}

// GrantorElapsed returns the time since from as the grantor must count it: the smaller of the two differences.
func (s ClockSample) GrantorElapsed(from ClockSample) time.Duration {
	return min(s.Boottime-from.Boottime, s.Raw-from.Raw)
}

// Clock is the pair of clocks by which leases are judged. It is safe for concurrent use. A sample of a real clock costs
// a syscall or two: take one for a batch of requests that have all arrived.
type Clock interface {
	Now() ClockSample
}

// GrantorWait returns W: how long a grantor waits after the last extension of a session with term t and pause allowance
// p before it may take the leases for expired, with clock rates within 1±[ClockRateError].
func GrantorWait(t, p time.Duration) time.Duration {
	return time.Duration((1+ClockRateError)*(float64(t)/(1-ClockRateError)+float64(p))) + 1
}

// ClockRateError is eps: how far a clock's rate may be from that of true time.
const ClockRateError = 0.01
