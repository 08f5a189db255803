package region

import (
	"time"

	"github.com/edgehold/edgehold/fsm"
)

// reap clears away what ended sessions have left behind, while this node leads. Their leases are void already, so no request
// waits for it. It pauses after each step for as long as the step took, so that other commands get at least half of the log.
func (r *Region) reap() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.ended: // wakes it early
		case <-pause.C:
		}
		pause.Reset(r.reapOnce())
	}
}

// reapOnce clears a part away, and returns when to look again.
func (r *Region) reapOnce() time.Duration {
	r.mu.Lock()
	l := r.lead
	r.mu.Unlock()
	if l == nil || r.cfg.Machine.Meta().Ended == 0 {
		return sweepEvery
	}
	if node, _ := r.log().Leader(); node != string(r.cfg.Node) {
		return sweepEvery
	}
	began := time.Now()
	res, ok := r.try(fsm.Reap{Term: l.term, Limit: fsm.MaxReap})
	switch {
	case !ok:
		return retry
	case res.Swept.End:
		return sweepEvery
	}
	return max(time.Since(began), time.Millisecond)
}
