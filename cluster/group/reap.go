package group

import (
	"time"

	"github.com/edgehold/edgehold/fsm"
)

// reap removes, while this node leads, what ended sessions have left behind. Their leases are void already, so no
// request waits for it. After each step it pauses for as long as the step took, so that other commands get at least
// half of the log.
func (a *Authority) reap() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-a.ended: // a session has ended
		case <-pause.C:
		}
		pause.Reset(a.reapOnce())
	}
}

// reapOnce removes one part and returns when to run again.
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
