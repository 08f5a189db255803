package replica

import (
	"errors"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Close ends the replica and waits for every goroutine of it and of Raft. Commands that wait for a place in an entry were
// not applied; those under way end as CodeAmbiguous at once. A second call waits for the first. Only where the disk hangs
// does Close give up, with an error; the rest then happens if ever the disk answers.
func (r *Replica[R]) Close() error {
	r.closeOnce.Do(func() {
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
		r.log.closing.Store(true)
		close(r.closing)
		r.cancel()
		finished := make(chan error, 1)
		if within(r.closeTimeout(), func() { finished <- r.finish() }) {
			r.closeErr = <-finished
		} else {
			r.closeErr = &api.Error{Code: api.CodeInternal, Op: "close replica", Hint: "the disk hangs; what waits for it is left behind"}
		}
	})
	return r.closeErr
}

// closeTimeout is longer than Raft needs to lose leadership and to give up every exchange.
func (r *Replica[R]) closeTimeout() time.Duration {
	return 4*r.cfg.Timing.Election + 2*r.cfg.Timing.Transport
}

// finish ends everything in order. A leader first gets half a lease to finish what is under way. Then its connections are
// cut, so that Raft answers the rest by losing leadership: an entry that is committed but not yet applied when Raft itself
// ends is never answered (hashicorp/raft #498), and whoever waited for it would wait for ever.
func (r *Replica[R]) finish() error {
	idle := func() {
		r.loops.Wait()
		r.packer.wait()
		r.calls.Wait()
	}
	if !within(r.cfg.Timing.LeaderLease/2, idle) {
		_ = r.transport.Close()
		idle()
	}
	// From here on nobody waits for a future of Raft.
	err := r.transport.Close()
	_ = r.raft.Shutdown().Error()
	r.confirmer.close()
	return errors.Join(err, r.release())
}

// release closes what start has opened before Raft, after Raft has ended.
func (r *Replica[R]) release() error {
	var err error
	if r.transport != nil {
		err = r.transport.Close() // and with it the streams
		r.transport.CloseStreams()
		r.transport.pump.Wait()
		r.streams.wait()
	}
	if r.watchdog != nil {
		r.watchdog.Stop()
	}
	if r.stores.Close != nil {
		err = errors.Join(err, r.stores.Close())
	}
	return err
}

// within runs wait and tells whether it ended in time. Where it did not, it goes on in a goroutine.
func within(d time.Duration, wait func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait()
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
