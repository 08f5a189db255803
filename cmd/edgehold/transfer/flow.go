package transfer

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// flow executes tasks in parallel within its window. Tasks of the same key are executed in the order in which they are started.
// start and wait are for one goroutine.
type flow struct {
	window  *window
	tasks   chan *task // buffered, so that a worker finds the next task at once
	workers sync.WaitGroup

	mu   sync.Mutex
	last map[api.Key]*task // guarded by mu: the newest unfinished task of each key
}

// task is a task for one record.
type task struct {
	ctx   context.Context
	key   api.Key
	bytes int
	do    func()
	ready chan struct{} // closed when the previous task of the key is finished; nil if there was none
	next  chan struct{} // guarded by the flow's mu: ready of the next task of the key; nil if there is none
}

// readAhead is the number of tasks that may wait for a worker.
const readAhead = 512

func newFlow(w *window) *flow {
	return &flow{window: w, tasks: make(chan *task, readAhead), last: map[api.Key]*task{}}
}

// start queues a task for a record of so many bytes. It waits until the window has room. When ctx has ended no more tasks begin;
// those that have begun continue.
func (f *flow) start(ctx context.Context, key api.Key, bytes int, do func()) {
	f.window.acquire(bytes)
	t := &task{ctx: ctx, key: key, bytes: bytes, do: do}
	f.queue(t)
	if f.window.addWorker() {
		f.workers.Go(f.work)
	}
	f.tasks <- t
}

// work executes tasks until there are no more, or the window has become smaller than the number of workers.
func (f *flow) work() {
	for t := range f.tasks {
		if t.ready != nil {
			<-t.ready // another worker has the previous task, since tasks are taken in order
		}
		began := time.Now()
		if t.ctx.Err() == nil { // it may have ended because the outcome of the previous task is unknown
			t.do()
		}
		f.unqueue(t)
		if !f.window.release(t.key, t.bytes, began) {
			return
		}
	}
}

// wait waits until all tasks have ended. No more may be started.
func (f *flow) wait() {
	close(f.tasks)
	f.workers.Wait()
}

// queue makes t wait for the newest task of its key, if there is one.
func (f *flow) queue(t *task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := f.last[t.key]; last != nil {
		last.next = make(chan struct{})
		t.ready = last.next
	}
	f.last[t.key] = t
}

// unqueue lets the next task of the key begin.
func (f *flow) unqueue(t *task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.next != nil {
		close(t.next)
	} else {
		delete(f.last, t.key)
	}
}
