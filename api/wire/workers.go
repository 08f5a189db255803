package wire

import (
	"runtime"
	"sync"
)

// Workers is a pool of goroutines that carry out calls one after the other. The stack of a goroutine that has carried out a call
// before is already large enough, and growing a stack costs more than many calls do. Workers is safe for concurrent use. A nil
// Workers has no goroutines, and a closed one keeps none.
type Workers struct {
	max int // that wait

	mu     sync.Mutex
	idle   []chan func() // guarded by mu: of the waiting ones, the most recently used at the end
	closed bool          // guarded by mu
	all    sync.WaitGroup
}

// keptStackBytes is how much of its stack a waiting worker keeps in use. If less than a quarter of a stack is used, the garbage
// collector halves it at each run, and a call would have to grow it again. That costs up to a tenth of the call. With these bytes
// a stack grows to 32 KiB, since calls use up to 13 KiB (a lookup in Pebble alone uses 8), and a waiting worker still uses a
// quarter of it.
const keptStackBytes = 8 << 10

// NewWorkers returns Workers of which at most maxIdle wait for work. That bounds their memory, not how many work at once.
func NewWorkers(maxIdle int) *Workers { return &Workers{max: maxIdle} }

// Close ends the waiting workers, and waits until the working ones are done.
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

// start runs f on a waiting worker, or on a new one.
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
	if w.closed { // the call that f carries out has an owner of its own
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

// rest makes the worker wait for work. It returns false if enough workers wait already.
func (w *Workers) rest(next chan func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) >= w.max {
		return false
	}
	w.idle = append(w.idle, next)
	return true
}
