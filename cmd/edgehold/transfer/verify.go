package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

// maxDifferent is the maximum number of different keys that a verification remembers.
const maxDifferent = 1 << 20

// verify reads back what the job has put. It keeps the state file if it does not finish, so that the next run only verifies.
func (j *job) verify(ctx context.Context, result *Result) error {
	in, err := j.open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	j.Progress.Start("verify", in.size)
	v := &verifier{ImportConfig: &j.ImportConfig, flow: newFlow(newWindow(j.Concurrency)), different: map[api.Key]int64{}}
	err = v.run(ctx, in, j.lines)
	j.Progress.Done()
	read, different := v.read.Load(), int64(len(v.different))
	result.Verified, result.Different = &read, &different
	switch {
	case err != nil:
		return err
	case j.State != "":
		return errors.Join(v.verdict(), os.Remove(j.State))
	}
	return v.verdict()
}

// verifier reads every record of an input back and compares. If an input has several records of a key, the last one counts: a
// difference is forgotten if a later line has the value of the key.
type verifier struct {
	*ImportConfig
	flow *flow
	read atomic.Int64

	mu        sync.Mutex
	different map[api.Key]int64 // guarded by mu: the line whose value the key does not have
}

// run compares the whole input, which must have want lines. It returns an error if it does not finish.
func (v *verifier) run(ctx context.Context, in io.Reader, want int64) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	lines, err := eachLine(ctx, v.ImportConfig, in, func(l inputLine) error { return v.line(ctx, l, stop) })
	v.flow.wait()
	switch {
	case err != nil:
		return err
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case lines != want:
		return fmt.Errorf("%s has changed: %d lines were imported, and now it has %d", v.File, want, lines)
	}
	return nil
}

func (v *verifier) line(ctx context.Context, l inputLine, stop context.CancelCauseFunc) error {
	if len(bytes.TrimSpace(l.text)) == 0 {
		return nil
	}
	r, err := record.Parse(l.text)
	if err != nil {
		return fmt.Errorf("%s has changed: line %d: %w", v.File, l.number, err)
	}
	v.flow.start(ctx, r.Key, len(r.Key)+len(r.Value), func() {
		there, err := v.Client.Get(ctx, r.Key, client.Quorum())
		switch {
		case err == nil:
			v.compared(r.Key, l.number, bytes.Equal(there.Value, r.Value), stop)
		case api.CodeOf(err) == api.CodeNotFound:
			v.compared(r.Key, l.number, r.TTL > 0, stop) // it may have expired
		default:
			stop(fmt.Errorf("%s:%d: %w", v.File, l.number, err))
		}
	})
	return nil
}

// compared records the result for a line. The lines of one key come in order.
func (v *verifier) compared(key api.Key, line int64, same bool, stop context.CancelCauseFunc) {
	v.read.Add(1)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case same:
		delete(v.different, key)
	case len(v.different) < maxDifferent:
		v.different[key] = line
	default:
		stop(fmt.Errorf("more than %d keys do not have the values of %s", maxDifferent, v.File))
	}
}

// verdict returns an error if keys are different, which names the first line of such a key. The verification has ended.
func (v *verifier) verdict() error {
	if len(v.different) == 0 {
		return nil
	}
	return fmt.Errorf("%d keys do not have the value of %s, the first at line %d: another client may have written them",
		len(v.different), v.File, slices.Min(slices.Collect(maps.Values(v.different))))
}
