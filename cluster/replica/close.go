package replica

import (
	"errors"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Close stops the replica and waits for all its goroutines and Raft's. Commands that still wait in the queue were not applied;
// those in an entry end at once with CodeAmbiguous. A second call waits for the first. If the disk hangs, Close returns
// CodeInternal after a timeout, and the goroutines that wait for the disk end when it answers.
func (r *Replica[R]) Close() error {
	r.closeOnce.Do(func() {
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
		r.log.closing.Store(true)
		r.cancel()
		finished := make(chan error, 1)
		if within(r.closeTimeout(), func() { finished <- r.finish() }) {
			r.closeErr = <-finished
		} else {
			r.closeErr = &api.Error{Code: api.CodeInternal, Op: "close replica", Hint: "the disk hangs; goroutines that wait for it are still running"}
		}
	})
	return r.closeErr
}

// closeTimeout is longer than Raft needs to lose leadership and to end every exchange.
func (r *Replica[R]) closeTimeout() time.Duration {
	return 4*r.cfg.Timing.Election + 2*r.cfg.Timing.Transport
}

// finish stops everything in order. A leader first has half a lease to finish the entries under way. Then its connections are
// cut, so that Raft loses leadership and answers the rest. Raft never answers an entry that is committed but not applied when
// it shuts down (hashicorp/raft #498), and its proposer would wait for ever.
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
	// From here on no goroutine waits for a future of Raft.
	err := r.transport.Close()
	_ = r.raft.Shutdown().Error()
	r.confirmer.close()
	return errors.Join(err, r.release())
}

// release closes what start opened before Raft. Raft has ended.
func (r *Replica[R]) release() error {
	var err error
	if r.transport != nil {
		err = r.transport.Close() // which closes the streams too
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

// within runs wait and reports whether it returned within d. If not, it continues in a goroutine.
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
