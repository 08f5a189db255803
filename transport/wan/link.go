package wan

import "time"

// Link is one direction between two places.
type Link struct {
	Latency time.Duration // one way
	Jitter  time.Duration // up to this much more
	Loss    float64       // of segments, in [0,1): each costs a retransmission's delay
}

const (
	// retransmit is what the first loss of a segment costs; each further one twice the one before.
	retransmit = 200 * time.Millisecond
	// maxRetransmit is where the doubling ends.
	maxRetransmit = 30 * time.Second
)

// draw is how long one segment takes. Nothing is lost for good: as under TCP, a loss is a delay.
func (l Link) draw(random func() float64) time.Duration {
	d := l.Latency
	if l.Jitter > 0 {
		d += time.Duration(random() * float64(l.Jitter))
	}
	if l.Loss > 0 {
		for again := retransmit; again < maxRetransmit && random() < l.Loss; again *= 2 {
			d += again
		}
	}
	return d
}
