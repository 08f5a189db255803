package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
)

const (
	maxFailures = 100      // refused records after which an import stops
	heldUnit    = 64 << 10 // what a record under way is rounded up to
	heldBytes   = 64 << 20 // of records under way
	saveEvery   = time.Second
)

// importJob puts the records of one input. One goroutine reads lines, one parses them and starts a goroutine for each
// record: at most concurrency at once, holding at most about heldBytes.
type importJob struct {
	name        string // of the input, for errors
	concurrency int
	state       string // the state file; "" keeps none
	put         func(ctx context.Context, k api.Key, v []byte) error
	progress    *progress

	from                   progressState
	mark                   *watermark
	records, bytes, failed atomic.Int64
	slots, held            chan struct{}
	running                sync.WaitGroup

	mu   sync.Mutex
	last map[api.Key]chan struct{} // closed when the newest record under way for the key is finished
}

// prepare finds where to start and makes sure that the state can be kept.
func (j *importJob) prepare(warnings io.Writer) error {
	chosen := j.state != ""
	if !chosen && j.name != "-" {
		j.state = j.name + ".progress"
	}
	if j.state != "" {
		from, err := loadProgress(j.state)
		if err != nil {
			return err
		}
		j.from = from
		if err := from.save(j.state); err != nil {
			if chosen || from.Lines > 0 {
				return err
			}
			_, _ = fmt.Fprintf(warnings, "edgehold: if interrupted, this import will start over: %v; name a state file with --resume\n", err)
			j.state = ""
		}
	}
	j.mark = newWatermark(j.from)
	j.slots = make(chan struct{}, j.concurrency)
	j.held = make(chan struct{}, max(heldBytes/heldUnit, j.concurrency))
	j.last = map[api.Key]chan struct{}{}
	return nil
}

func (j *importJob) counts() *transferred {
	return &transferred{Records: j.records.Load(), Bytes: j.bytes.Load(), Failed: j.failed.Load(), SkippedLines: j.from.Lines}
}

// run reads to the end, or until something stops it, and waits for all records under way. Where everything was put, the
// state file is removed, else it tells how far the import came.
func (j *importJob) run(ctx context.Context, in io.Reader) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	endSaving := j.keepSaving(stop)
	err := j.readAll(ctx, in, stop)
	j.running.Wait()
	endSaving()
	if failed := j.failed.Load(); failed > 0 && (err == nil || errors.Is(err, context.Canceled)) {
		if err = context.Cause(ctx); err == nil || errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%d records failed: correct them and run the command again", failed)
		}
	}
	switch {
	case j.state == "":
	case err == nil:
		return os.Remove(j.state)
	default:
		err = errors.Join(err, j.mark.now().save(j.state))
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted: run the same command again to go on")
	}
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	return nil
}

// keepSaving keeps the state file up to date until the returned function is called, which waits for the end of it.
func (j *importJob) keepSaving(stop context.CancelCauseFunc) (end func()) {
	quit := make(chan struct{})
	var saving sync.WaitGroup
	if j.state != "" {
		saving.Go(func() {
			tick := time.NewTicker(saveEvery)
			defer tick.Stop()
			for {
				select {
				case <-quit:
					return
				case <-tick.C:
					if err := j.mark.now().save(j.state); err != nil {
						stop(err)
					}
				}
			}
		})
	}
	return func() { close(quit); saving.Wait() }
}

// readAll starts every record of in that is not done yet. It returns once all are started, or with the reason why not.
func (j *importJob) readAll(ctx context.Context, in io.Reader, stop context.CancelCauseFunc) error {
	lines := readLines(ctx, in)
	for seen := int64(0); ; seen++ {
		if ctx.Err() != nil { // before another line that is there already
			return context.Cause(ctx)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case l, more := <-lines:
			switch {
			case !more && seen < j.from.Lines:
				return j.changed()
			case !more:
				return nil
			case l.err != nil:
				return fmt.Errorf("%s:%d: %w", j.name, l.number, l.err)
			}
			j.progress.add(int64(len(l.text)) + 1)
			if err := j.line(ctx, l, stop); err != nil {
				return err
			}
		}
	}
}

func (j *importJob) changed() error {
	return fmt.Errorf("%s has changed since the import was interrupted; remove %s to start over", j.name, j.state)
}

// line does what one line asks for.
func (j *importJob) line(ctx context.Context, l inputLine, stop context.CancelCauseFunc) error {
	if l.number <= j.from.Lines {
		if l.number == j.from.Lines && l.hash() != j.from.Last {
			return j.changed()
		}
		return nil
	}
	hash := l.hash()
	if len(bytes.TrimSpace(l.text)) == 0 {
		j.mark.done(l.number, hash)
		return nil
	}
	key, value, err := parseRecord(l.text)
	if err != nil {
		j.fail(l.number, err, stop)
		return nil
	}
	units := min(1+(len(key)+len(value))/heldUnit, cap(j.held))
	if !take(ctx, j.slots, 1) || !take(ctx, j.held, units) {
		return nil
	}
	before, finished := j.queue(key)
	j.running.Go(func() {
		defer func() { give(j.held, units); give(j.slots, 1) }()
		defer j.unqueue(key, finished)
		if before != nil {
			<-before
		}
		if err := j.put(ctx, key, value); err != nil {
			j.fail(l.number, err, stop)
			return
		}
		j.records.Add(1)
		j.bytes.Add(int64(len(key) + len(value)))
		j.mark.done(l.number, hash)
	})
	return nil
}

// queue lines a record up behind the one under way for the same key, if any.
func (j *importJob) queue(key api.Key) (before, finished chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	before, finished = j.last[key], make(chan struct{})
	j.last[key] = finished
	return before, finished
}

func (j *importJob) unqueue(key api.Key, finished chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	close(finished)
	if j.last[key] == finished {
		delete(j.last, key)
	}
}

// fail reports a record that was not put. Where the cause is not the record itself, the others would fare no better,
// and the import stops.
func (j *importJob) fail(line int64, err error, stop context.CancelCauseFunc) {
	j.mark.fail(line)
	n := j.failed.Add(1)
	switch code := api.CodeOf(err); {
	case !isRefusal(err) && code != "":
		stop(fmt.Errorf("%s:%d: %w", j.name, line, err))
		return
	case n == maxFailures:
		stop(fmt.Errorf("%d records failed: correct them and run the command again", n))
	}
	if n <= maxFailures {
		j.progress.line("edgehold: %s:%d: %s", j.name, line, explain(err))
	}
}

// isRefusal tells whether err is about the record alone.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		return true // found by parseRecord
	}
	switch e.Code {
	case api.CodeInvalid, api.CodeTooLarge, api.CodeConflict, api.CodePreconditionFailed:
		return true
	}
	return false
}

// take takes n tokens; false where ctx ended first (then some may be kept: nothing more is started anyway).
func take(ctx context.Context, tokens chan struct{}, n int) bool {
	for range n {
		select {
		case tokens <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func give(tokens chan struct{}, n int) {
	for range n {
		<-tokens
	}
}
