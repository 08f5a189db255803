package logstore

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Watchdog times the appends to a log. Raft sends heartbeats from separate goroutines, so that a leader whose disk hangs would
// lead for ever and commit nothing (hashicorp/raft #503, #666).
type Watchdog struct {
	Log
	stuckAfter, lostAfter time.Duration
	onStuck               func(stuck bool)      // must not block
	onLost                func(d time.Duration) // called once an append
	onAppend              func(d time.Duration) // how long an append took, with its fsync

	mu      sync.Mutex
	began   time.Time // start of the append under way; zero if there is none
	stuck   bool
	timer   *time.Timer
	stopped bool
	calls   sync.WaitGroup
}

// NewWatchdog returns log with a watch over its appends. It calls onStuck(true) if an append takes stuckAfter, and
// onStuck(false) when that append ends. It calls onLost once if an append takes lostAfter. It calls onAppend, which must not
// block, with the time that each append took.
func NewWatchdog(log Log, stuckAfter, lostAfter time.Duration, onStuck func(bool), onLost, onAppend func(time.Duration)) *Watchdog {
	return &Watchdog{Log: log, stuckAfter: stuckAfter, lostAfter: lostAfter, onStuck: onStuck, onLost: onLost, onAppend: onAppend}
}

func (w *Watchdog) StoreLog(log *raft.Log) error { return w.StoreLogs([]*raft.Log{log}) }

func (w *Watchdog) StoreLogs(logs []*raft.Log) error {
	w.begin()
	defer w.end()
	return w.Log.StoreLogs(logs)
}

func (w *Watchdog) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began = time.Now()
	if w.timer == nil {
		w.timer = time.AfterFunc(w.stuckAfter, w.late)
	} else {
		w.timer.Reset(w.stuckAfter)
	}
}

func (w *Watchdog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onAppend(time.Since(w.began))
	w.began = time.Time{}
	w.timer.Stop()
	if w.stuck {
		w.stuck = false
		w.onStuck(false)
	}
}

// late runs when the timer fires: first after stuckAfter, then after lostAfter.
func (w *Watchdog) late() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch d := time.Since(w.began); {
	case w.stopped || w.began.IsZero() || d < w.stuckAfter: // the append has ended
	case !w.stuck:
		w.stuck = true
		w.onStuck(true)
		w.timer.Reset(max(w.lostAfter-d, 0))
	case d >= w.lostAfter:
		w.calls.Go(func() { w.onLost(d) })
	}
}

// StuckFor returns how long the append under way has taken if it is stuck, else 0.
func (w *Watchdog) StuckFor() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stuck {
		return 0
	}
	return time.Since(w.began)
}

// Stop ends the watch and waits for its callbacks. None runs after it returns.
func (w *Watchdog) Stop() {
	w.mu.Lock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	w.calls.Wait()
}
