package group

import (
	"time"

	"github.com/edgehold/edgehold/fsm"
)

// reap clears away what ended sessions have left behind, while this node leads. Their leases are void already, so no request
// waits for it. It pauses after each step for as long as the step took, so that other commands get at least half of the log.
func (a *Authority) reap() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-a.ended: // wakes it early
		case <-pause.C:
		}
		pause.Reset(a.reapOnce())
	}
}

// reapOnce clears a part away, and returns when to look again.
func (a *Authority) reapOnce() time.Duration {
	a.mu.Lock()
	l := a.lead
	a.mu.Unlock()
	if l == nil || a.cfg.Machine.Meta().Ended == 0 {
		return sweepEvery
	}
	if node, _ := a.log().Leader(); node != string(a.cfg.Node) {
		return sweepEvery
	}
	began := time.Now()
	res, ok := a.try(fsm.Reap{Term: l.term, Limit: fsm.MaxReap})
	switch {
	case !ok:
		return retry
	case res.Swept.End:
		return sweepEvery
	}
	return max(time.Since(began), time.Millisecond)
}
