package checkpoint

import (
	"sync"
	"time"
)

// pace bounds a rate: so many bytes a second, for all who wait together.
type pace struct {
	rate int64

	mu   sync.Mutex
	free time.Time // when what was let through is worn off
}

// burst is how much time that went unused may be caught up with.
const burst = 50 * time.Millisecond

func newPace(rate int64) *pace { return &pace{rate: rate} }

// wait returns when n bytes more are within the rate.
func (p *pace) wait(n int) {
	p.mu.Lock()
	now := time.Now()
	if p.free.Before(now.Add(-burst)) {
		p.free = now.Add(-burst)
	}
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	d := p.free.Sub(now)
	p.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}
