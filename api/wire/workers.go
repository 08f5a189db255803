package wire

import (
	"runtime"
	"sync"
)

// Workers are goroutines that carry out one call after the other. The stack of one that has carried out a call before is as
// large as it must be, and to grow one costs more than many a call does. Safe for concurrent use; a nil Workers has none,
// and a closed one keeps none.
type Workers struct {
	max int // that wait

	mu     sync.Mutex
	idle   []chan func() // guarded by mu: of those that wait, the one that worked last at the end
	closed bool          // guarded by mu
	all    sync.WaitGroup
}

// keptStackBytes of its stack a worker takes for nothing. Of a stack that is used for less than a quarter the garbage collector
// gives half back each time it runs, and a call would have to grow it again, which costs as much as a tenth of the call. With
// these a stack grows to 32 KiB, since calls are up to 13 KiB deep (a look into Pebble alone takes 8), and a worker that
// waits still uses a quarter of it.
const keptStackBytes = 8 << 10

// NewWorkers returns Workers of which at most maxIdle wait for work: that bounds their memory, not what they do at once.
func NewWorkers(maxIdle int) *Workers { return &Workers{max: maxIdle} }

// Close ends those that wait, and waits for those that work.
func (w *Workers) Close() {
	w.mu.Lock()
	w.closed = true
	for _, next := range w.idle {
		close(next)
	}
	w.idle = nil
	w.mu.Unlock()
	w.all.Wait()
}

// start runs f on a worker that waits, or on a new one.
func (w *Workers) start(f func()) {
	if w == nil {
		go f()
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := len(w.idle) - 1; last >= 0 {
		w.idle[last] <- f
		w.idle = w.idle[:last]
		return
	}
	if w.closed { // what it carries out has an owner of its own
		go f()
		return
	}
	w.all.Go(func() { w.work(f) })
}

func (w *Workers) work(f func()) {
	var kept [keptStackBytes]byte
	next := make(chan func(), 1)
	for ok := true; ok; f, ok = <-next {
		f()
		if !w.rest(next) {
			break
		}
	}
	runtime.KeepAlive(&kept)
}

// rest makes a worker one that waits; false if there are enough.
func (w *Workers) rest(next chan func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) >= w.max {
		return false
	}
	w.idle = append(w.idle, next)
	return true
}
