package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

const (
	maxFailures = 100 // an import stops after so many refused records
	saveEvery   = time.Second
)

// job is an import. One goroutine reads lines, one parses them, and those of the flow put the records.
type job struct {
	ImportConfig
	in   input
	flow *flow

	from                   progressState
	hash                   lineHash // of the lines read so far; for the goroutine that parses
	mark                   *watermark
	lines                  int64
	records, bytes, failed atomic.Int64
}

// prepare finds where to start, and checks that the state can be saved. It refuses the state of an import into another cluster.
func (j *job) prepare(ctx context.Context) error {
	chosen := j.State != ""
	if !chosen && j.File != "-" {
		j.State = j.File + ".progress"
	}
	if j.State != "" {
		status, err := j.Client.Status(ctx)
		if err != nil {
			return err
		}
		from, err := loadProgress(j.State)
		switch {
		case err != nil:
			return err
		case from.Lines > 0 && from.Cluster != status.ClusterID:
			return fmt.Errorf("%s is the progress of an import into the cluster %s, and this is the cluster %s; remove %s to import from the beginning",
				j.State, from.Cluster, status.ClusterID, j.State)
		}
		j.from = from
		if from.Lines == 0 {
			j.from = progressState{Cluster: status.ClusterID, Size: j.in.size, Modified: j.in.modified}
		}
		if err := j.from.save(j.State); err != nil {
			if chosen || from.Lines > 0 {
				return err
			}
			j.Progress.Warn(fmt.Errorf("if this import is interrupted, it will start over: %w; name a state file with --resume", err))
			j.State = ""
		}
	}
	j.mark = newWatermark(j.from)
	return nil
}

func (j *job) result() *Result {
	return &Result{
		Lines: j.lines, Records: j.records.Load(), Bytes: j.bytes.Load(), Failed: j.failed.Load(), SkippedLines: min(j.lines, j.from.Lines),
	}
}

// run puts the records until the end of the input or an error, and waits for the records in flight. If every record was put and
// there is nothing to verify, it removes the state file; otherwise it saves how far the import came.
func (j *job) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	endSaving := j.keepSaving(stop)
	err := j.readAll(ctx, stop)
	j.flow.wait()
	endSaving()
	if failed := j.failed.Load(); failed > 0 && (err == nil || errors.Is(err, context.Canceled)) {
		if err = context.Cause(ctx); err == nil || errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%d records failed: correct them and run the command again", failed)
		}
	}
	if done := j.mark.now().Lines; err == nil && done != j.lines {
		if err = context.Cause(ctx); err == nil {
			err = fmt.Errorf("only %d of %d lines are known to be done: run the command again", done, j.lines)
		}
	}
	switch {
	case j.State == "":
	case err == nil && !j.Verify:
		return os.Remove(j.State)
	default:
		err = errors.Join(err, j.mark.now().save(j.State))
	}
	return err
}

// keepSaving saves the state at intervals until end is called. end waits until the goroutine has ended.
func (j *job) keepSaving(stop context.CancelCauseFunc) (end func()) {
	quit := make(chan struct{})
	var saving sync.WaitGroup
	if j.State != "" {
		saving.Go(func() {
			tick := time.NewTicker(saveEvery)
			defer tick.Stop()
			for {
				select {
				case <-quit:
					return
				case <-tick.C:
					if err := j.mark.now().save(j.State); err != nil {
						stop(err)
					}
				}
			}
		})
	}
	return func() { close(quit); saving.Wait() }
}

// readAll starts every record that is not done yet. It returns an error if it could not start all of them.
func (j *job) readAll(ctx context.Context, stop context.CancelCauseFunc) error {
	lines, err := eachLine(ctx, &j.ImportConfig, j.in, func(l inputLine) error { return j.line(ctx, l, stop) })
	j.lines = lines
	if err == nil && lines < j.from.Lines {
		return j.changed()
	}
	return err
}

// changed returns the error for an input that does not begin like that of the interrupted import. Nothing has been put then.
func (j *job) changed() error {
	what := ""
	switch was := j.from; {
	case was.Size != j.in.size && was.Size >= 0 && j.in.size >= 0:
		what = fmt.Sprintf(" (it had %d bytes and has %d)", was.Size, j.in.size)
	case !was.Modified.Equal(j.in.modified):
		what = fmt.Sprintf(" (it was modified at %s UTC)", j.in.modified.Format(time.DateTime))
	}
	return fmt.Errorf("%s has changed within the %d lines that are done%s; remove %s to import it from the beginning", j.File, j.from.Lines, what, j.State)
}

// line starts the record of one line.
func (j *job) line(ctx context.Context, l inputLine, stop context.CancelCauseFunc) error {
	j.hash = j.hash.next(l.text)
	hash := j.hash
	if l.number <= j.from.Lines {
		if l.number == j.from.Lines {
			if hash != j.from.Hash {
				return j.changed()
			}
			j.mark.read(j.in)
		}
		return nil
	}
	if len(bytes.TrimSpace(l.text)) == 0 {
		j.mark.done(l.number, hash)
		return nil
	}
	r, err := record.Parse(l.text)
	if err != nil {
		if l.cut {
			err = fmt.Errorf("the file ends within this line: %w", err)
		}
		j.fail(l.number, err, stop)
		return nil
	}
	size := len(r.Key) + len(r.Value)
	var opts []client.WriteOption
	if r.TTL > 0 {
		opts = append(opts, client.TTL(r.TTL))
	}
	begun := context.WithoutCancel(ctx) // records in flight are finished, so that the state file has all that were put
	j.flow.start(ctx, r.Key, size, func() {
		if _, err := j.Client.Put(begun, r.Key, r.Value, opts...); err != nil {
			j.fail(l.number, err, stop)
			return
		}
		j.records.Add(1)
		j.bytes.Add(int64(size))
		j.mark.done(l.number, hash)
	})
	return nil
}

// fail reports a record that was not put. It stops the import if the cause is not the record itself, since other records would
// fail too.
func (j *job) fail(line int64, err error, stop context.CancelCauseFunc) {
	j.mark.fail(line)
	n := j.failed.Add(1)
	err = fmt.Errorf("%s:%d: %w", j.File, line, err)
	switch {
	case !isRefusal(err):
		stop(err)
		return
	case n == maxFailures:
		stop(fmt.Errorf("%d records failed: correct them and run the command again", n))
	}
	if n <= maxFailures {
		j.Progress.Warn(err)
	}
}

// isRefusal reports whether err concerns the record alone.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		return true // from record.Parse
	}
	switch e.Code {
	case api.CodeInvalid, api.CodeTooLarge, api.CodeConflict, api.CodePreconditionFailed:
		return true
	}
	return false
}
