package transfer

import (
	"context"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
)

// flow does something with many records at once, within its window, and with those of one key in the order in which they
// were started. start and wait are for one goroutine.
type flow struct {
	window  *window
	work    chan *task // with room, so that a goroutine that is done with one record finds the next
	running sync.WaitGroup

	mu   sync.Mutex
	last map[api.Key]*task // guarded by mu: the newest of each key that is not finished
}

// task is a record that has been started.
type task struct {
	ctx    context.Context
	key    api.Key
	bytes  int
	do     func()
	before chan struct{} // closed when the one before it of the same key is finished; nil where there is none
	behind chan struct{} // guarded by the flow's mu: the before of the next; nil where there is none
}

// readAhead is how many records may be started and wait for a goroutine.
const readAhead = 512

func newFlow(w *window) *flow {
	return &flow{window: w, work: make(chan *task, readAhead), last: map[api.Key]*task{}}
}

// start lets do run, beside others, once there is room and what was started before for the key is finished. It returns
// once that is only a matter of time. When ctx has ended nothing more begins; what has begun goes on.
func (f *flow) start(ctx context.Context, key api.Key, bytes int, do func()) {
	f.window.hold(bytes)
	t := &task{ctx: ctx, key: key, bytes: bytes, do: do}
	f.queue(t)
	if f.window.another() {
		f.running.Go(f.carry)
	}
	f.work <- t
}

// carry carries out tasks until there are no more, or more goroutines do than the window is large.
func (f *flow) carry() {
	for t := range f.work {
		if t.before != nil {
			<-t.before // it is being carried out: tasks are taken in their order
		}
		began := time.Now()
		if t.ctx.Err() == nil { // else perhaps for the one before, which may take effect yet
			t.do()
		}
		f.unqueue(t)
		if !f.window.done(t.key, t.bytes, began) {
			return
		}
	}
}

// wait returns when nothing is under way. Nothing may be started any more.
func (f *flow) wait() {
	close(f.work)
	f.running.Wait()
}

// queue lines a task up behind the newest of the same key, if any.
func (f *flow) queue(t *task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := f.last[t.key]; last != nil {
		last.behind = make(chan struct{})
		t.before = last.behind
	}
	f.last[t.key] = t
}

func (f *flow) unqueue(t *task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case t.behind != nil:
		close(t.behind)
	default:
		delete(f.last, t.key)
	}
}
