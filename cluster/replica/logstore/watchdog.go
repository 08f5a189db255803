package logstore

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Watchdog times the appends to a log. Raft's heartbeats run in goroutines of their own, so that a leader whose disk hangs
// would lead on for ever and commit nothing (hashicorp/raft #503, #666).
type Watchdog struct {
	Log
	stuckAfter, lostAfter time.Duration
	onStuck               func(stuck bool)      // makes room for another leader, or takes part again; must not block
	onLost                func(d time.Duration) // once an append

	mu      sync.Mutex
	began   time.Time // of the append under way; zero where there is none
	stuck   bool
	timer   *time.Timer
	stopped bool
	calls   sync.WaitGroup
}

// NewWatchdog watches the appends to log. An append that takes stuckAfter calls onStuck(true), and onStuck(false) when it ends;
// one that takes lostAfter calls onLost, once.
func NewWatchdog(log Log, stuckAfter, lostAfter time.Duration, onStuck func(bool), onLost func(time.Duration)) *Watchdog {
	return &Watchdog{Log: log, stuckAfter: stuckAfter, lostAfter: lostAfter, onStuck: onStuck, onLost: onLost}
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
	w.began = time.Time{}
	w.timer.Stop()
	if w.stuck {
		w.stuck = false
		w.onStuck(false)
	}
}

// late runs where the timer has fired: a first time after stuckAfter, a second after lostAfter.
func (w *Watchdog) late() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch d := time.Since(w.began); {
	case w.stopped || w.began.IsZero() || d < w.stuckAfter: // the append has ended meanwhile
	case !w.stuck:
		w.stuck = true
		w.onStuck(true)
		w.timer.Reset(max(w.lostAfter-d, 0))
	case d >= w.lostAfter:
		w.calls.Go(func() { w.onLost(d) })
	}
}

// StuckFor is how long the append under way is overdue; 0 where none is.
func (w *Watchdog) StuckFor() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stuck {
		return 0
	}
	return time.Since(w.began)
}

// Stop ends the watch. No callback runs once it has returned.
func (w *Watchdog) Stop() {
	w.mu.Lock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	w.calls.Wait()
}
