package wan

import "time"

// Link is one direction between two regions or nodes.
type Link struct {
	Latency time.Duration // one way
	Jitter  time.Duration // up to this much more
	Loss    float64       // of segments, in [0,1): each costs a retransmission's delay
}

const (
	// retransmit is the delay of a segment's first loss; each further loss doubles it.
	retransmit = 200 * time.Millisecond
	// maxRetransmit bounds the doubling.
	maxRetransmit = 30 * time.Second
)

// draw returns how long one segment takes. As with TCP, a loss is a delay.
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
