package access

import (
	"sync"
	"time"
)

// bucket bounds what one token does in a second at this node: a second's worth at once, and then at that rate. A nil bucket bounds
// nothing. It is safe for concurrent use.
type bucket struct {
	ops, bytes float64 // in a second; 0 is no bound

	mu        sync.Mutex
	at        time.Time // when the rest was counted; zero before the first request
	restOps   float64
	restBytes float64 // below 0: more was returned than the rate allows so far
}

func newBucket(ops, bytes uint64) *bucket {
	if ops == 0 && bytes == 0 {
		return nil
	}
	return &bucket{ops: float64(ops), bytes: float64(bytes)}
}

// take counts a request that brings so many bytes. If it is over the rate nothing is counted, and wait is how long it is until
// another may come.
func (b *bucket) take(now time.Time, bytes int64) (wait time.Duration, ok bool) {
	if b == nil {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	if b.ops > 0 && b.restOps < 1 {
		wait = seconds((1 - b.restOps) / b.ops)
	}
	if b.bytes > 0 && b.restBytes < 0 {
		wait = max(wait, seconds(-b.restBytes/b.bytes))
	}
	if wait > 0 {
		return wait, false
	}
	b.restOps--
	b.restBytes -= float64(bytes)
	return 0, true
}

// charge counts bytes that were returned.
func (b *bucket) charge(bytes int64) {
	if b == nil || b.bytes == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.restBytes -= float64(bytes)
}

// pace returns how long it is until no bytes are owed.
func (b *bucket) pace(now time.Time) time.Duration {
	if b == nil || b.bytes == 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fill(now); b.restBytes >= 0 {
		return 0
	}
	return seconds(-b.restBytes / b.bytes)
}

// fill adds what has come to the rest since it was counted. The caller holds mu.
func (b *bucket) fill(now time.Time) {
	if b.at.IsZero() {
		b.at, b.restOps, b.restBytes = now, max(b.ops, 1), b.bytes
		return
	}
	passed := max(0, now.Sub(b.at).Seconds())
	b.at = now
	b.restOps = min(max(b.ops, 1), b.restOps+passed*b.ops)
	b.restBytes = min(b.bytes, b.restBytes+passed*b.bytes)
}

// seconds rounds up, so that the wait is never 0.
func seconds(s float64) time.Duration { return time.Duration(s*float64(time.Second)) + 1 }
