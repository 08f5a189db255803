package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/edgehold/edgehold/api"
)

// flow does something with many records at once, within its window, and with those of one key in the order in which they
// were started. start and wait are for one goroutine.
type flow struct {
	window  *window
	work    chan func() // taken by who waits for more: a stack that has grown once is used again
	running sync.WaitGroup

	mu   sync.Mutex
	last map[api.Key]chan struct{} // guarded by mu: closed when the newest record under way for the key is finished
}

func newFlow(w *window) *flow {
	return &flow{window: w, work: make(chan func()), last: map[api.Key]chan struct{}{}}
}

// start lets do run, beside others, once there is room and what was started before for the key is finished. It
// returns once there is room. When ctx has ended nothing more begins; what has begun goes on.
func (f *flow) start(ctx context.Context, key api.Key, bytes int, do func()) {
	if !f.window.take(ctx, bytes) {
		return
	}
	before, finished := f.queue(key)
	f.begin(func() {
		defer f.window.give(bytes)
		defer f.unqueue(key, finished)
		if before != nil {
			<-before
			if ctx.Err() != nil { // perhaps for the one before, which may take effect yet
				return
			}
		}
		do()
	})
}

// begin has a goroutine do the work, one that waits or a new one.
func (f *flow) begin(work func()) {
	select {
	case f.work <- work:
	default:
		f.running.Go(func() {
			for more := true; more; work, more = <-f.work {
				work()
			}
		})
	}
}

// wait returns when nothing is under way. Nothing may be started any more.
func (f *flow) wait() {
	close(f.work)
	f.running.Wait()
}

// queue lines a record up behind the one under way for the same key, if any.
func (f *flow) queue(key api.Key) (before, finished chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, finished = f.last[key], make(chan struct{})
	f.last[key] = finished
	return before, finished
}

func (f *flow) unqueue(key api.Key, finished chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(finished)
	if f.last[key] == finished {
		delete(f.last, key)
	}
}

// eachLine gives every line of in to do, and returns how many there were. It ends early with the error of do, of reading
// in, or why ctx has ended.
func eachLine(ctx context.Context, name string, in io.Reader, do func(inputLine) error) (lines int64, err error) {
	read, stop := context.WithCancel(ctx)
	defer stop()
	for from := readLines(read, in); ; lines++ {
		if ctx.Err() != nil { // before another line that is there already
			return lines, context.Cause(ctx)
		}
		select {
		case <-ctx.Done():
			return lines, context.Cause(ctx)
		case l, more := <-from:
			switch {
			case !more:
				return lines, nil
			case l.err != nil:
				return lines, fmt.Errorf("%s:%d: %w", name, l.number, l.err)
			}
			if err := do(l); err != nil {
				return lines, err
			}
		}
	}
}
