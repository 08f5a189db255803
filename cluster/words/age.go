package words

import (
	"math/rand/v2"
	"time"
)

// The bounds of an age. A client's may come from a clock that is wrong, or from a client that wants to go first: beyond
// MaxClientAge it counts no more, so that this is the whole advantage that it gives. A gateway's own requests become as old
// as a request may take, and are kept up to MaxAge.
const (
	MaxClientAge = 2 * time.Second
	MaxAge       = time.Minute
)

// NewAge is the age of a request that begins now, in Unix nanoseconds. Its last microsecond is random, so that two requests
// have the same age hardly ever.
func NewAge() uint64 {
	const noise = 1 << 10
	return uint64(max(time.Now().UnixNano(), 0))&^(noise-1) | 1 | rand.Uint64N(noise)
}

// ClampAge is age within what is believable now: one in the future, or none at all, is now; one more than most ago is most
// ago. Of two ages it never makes the greater the smaller.
func ClampAge(age uint64, now time.Time, most time.Duration) uint64 {
	at := uint64(max(now.UnixNano(), 1))
	if age == 0 {
		return at
	}
	oldest := uint64(max(now.Add(-most).UnixNano(), 1))
	return min(max(age, oldest), at)
}
