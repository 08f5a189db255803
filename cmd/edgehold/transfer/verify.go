package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

// maxDifferent bounds the keys that a verification holds as different.
const maxDifferent = 1 << 20

// verify reads back what the job has put. Its state file stays if that was not finished: run again, the job only verifies.
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
	read, different := v.counts()
	result.Verified, result.Different = &read, &different
	if _, isDifferent := errors.AsType[*differenceError](err); j.State != "" && (err == nil || isDifferent) {
		err = errors.Join(err, os.Remove(j.State))
	}
	return err
}

// verifier reads every record of an input back and compares. Of a key that stands in it more than once the last record
// counts: a different value is forgiven where a later line has the one that is there.
type verifier struct {
	*ImportConfig
	flow *flow
	read atomic.Int64

	mu        sync.Mutex
	different map[api.Key]int64 // guarded by mu: the line that the store does not agree with
}

// run compares the whole input, which must have so many lines. An error tells why it did not come to the end, or that
// keys are different.
func (v *verifier) run(ctx context.Context, in io.Reader, want int64) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	lines, err := eachLine(ctx, v.ImportConfig, in, func(l inputLine) error { return v.line(ctx, l, stop) })
	v.flow.wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	switch {
	case err != nil:
		return err
	case lines != want:
		return fmt.Errorf("%s has changed: %d lines were imported, and now it has %d", v.File, want, lines)
	}
	return v.verdict()
}

func (v *verifier) line(ctx context.Context, l inputLine, stop context.CancelCauseFunc) error {
	if len(bytes.TrimSpace(l.text)) == 0 {
		return nil
	}
	key, value, err := record.Parse(l.text)
	if err != nil {
		return fmt.Errorf("%s has changed: line %d: %w", v.File, l.number, err)
	}
	v.flow.start(ctx, key, len(key)+len(value), func() {
		there, err := v.Client.Get(ctx, key, client.Quorum())
		switch {
		case err == nil:
			v.compared(key, l.number, bytes.Equal(there.Value, value), stop)
		case api.CodeOf(err) == api.CodeNotFound:
			v.compared(key, l.number, false, stop)
		default:
			stop(fmt.Errorf("%s:%d: %w", v.File, l.number, err))
		}
	})
	return nil
}

// compared takes note of a line; those of one key come in order.
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
		stop(fmt.Errorf("over %d keys are not what %s says", maxDifferent, v.File))
	}
}

// counts tells how many records were read back, and how many keys were found different.
func (v *verifier) counts() (read, different int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.read.Load(), int64(len(v.different))
}

// verdict is an error where keys are different; it names the first line of such a key.
func (v *verifier) verdict() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	var first int64
	for _, line := range v.different {
		if first == 0 || line < first {
			first = line
		}
	}
	if first == 0 {
		return nil
	}
	return &differenceError{name: v.File, line: first, keys: int64(len(v.different))}
}

// differenceError says that the store does not hold what was imported.
type differenceError struct {
	name       string
	line, keys int64
}

func (e *differenceError) Error() string {
	return fmt.Sprintf("%d keys do not have the value that %s says, the first at line %d: did someone else write them?", e.keys, e.name, e.line)
}
