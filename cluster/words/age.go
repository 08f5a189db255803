package words

import (
	"math/rand/v2"
	"time"
)

// The bounds of an age. A client's age may come from a wrong clock, or from a client that wants to be served first. It
// counts for at most MaxClientAge, so that this bounds the advantage. A gateway's own requests become as old as a
// request may take. Their age counts up to MaxAge.
const (
	MaxClientAge = 2 * time.Second
	MaxAge       = time.Minute
)

// NewAge returns the age of a request that begins now, in Unix nanoseconds. Its last microsecond is random, so that two
// requests hardly ever have the same age.
func NewAge() uint64 {
	const noise = 1 << 10
	return uint64(max(time.Now().UnixNano(), 0))&^(noise-1) | 1 | rand.Uint64N(noise)
}

// ClampAge returns age limited to what is plausible at now. An age in the future, or no age at all, becomes now. An age
// more than most ago becomes most ago. ClampAge never reverses the order of two ages.
func ClampAge(age uint64, now time.Time, most time.Duration) uint64 {
	at := uint64(max(now.UnixNano(), 1))
	if age == 0 {
		return at
	}
	oldest := uint64(max(now.Add(-most).UnixNano(), 1))
	return min(max(age, oldest), at)
}
