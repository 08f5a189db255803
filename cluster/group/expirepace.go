package group

import (
	"time"

	"github.com/edgehold/edgehold/fsm"
)

// Writes beside many ends go on. An Expire is to take applyMost of the machine's time: a command has as many keys as that allows, at
// least minExpire. The slot of a command of that many keys then rests for restFor times as long as the command took, from when it was
// proposed: if it waited for the disk, the network or a processor, so do writes, and keys end later instead.
const (
	applyMost = 2 * time.Millisecond
	minExpire = 100
	restFor   = 3
	restMost  = time.Second
)

// resize sets how many keys the next command has, after one of n keys took so long to apply.
func (e *expiry) resize(took time.Duration, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case took > applyMost:
		e.size = max(minExpire, int(int64(n)*int64(applyMost)/int64(took)))
	case took < applyMost/2:
		e.size = min(fsm.MaxExpire, 2*e.size)
	}
}

// rest frees a slot: at once after a command of few keys, else some time after a command that took so long.
func (e *expiry) rest(took time.Duration, n int) {
	if n < minExpire {
		<-e.slots
		return
	}
	e.wg.Go(func() {
		rest := time.NewTimer(min(restFor*took, restMost))
		defer rest.Stop()
		select {
		case <-rest.C:
		case <-e.ctx.Done():
		}
		<-e.slots
	})
}

// nextSize returns how many keys the next command has.
func (e *expiry) nextSize() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.size
}
