package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/edgehold/edgehold/api"
)

// maxDifferent bounds the keys that a verification holds as different.
const maxDifferent = 1 << 20

// verifier reads every record of an input back and compares. Of a key that stands in it more than once the last record
// counts: a different value is forgiven where a later line has the one that is there.
type verifier struct {
	name     string
	get      func(ctx context.Context, k api.Key) (value []byte, err error) // linearizable, by the owner
	flow     *flow
	progress *progress
	read     atomic.Int64

	mu        sync.Mutex
	different map[api.Key]int64 // guarded by mu: the line that the store does not agree with
}

// run compares the whole input, which must have so many lines. An error tells why it did not come to the end, or that
// keys are different.
func (v *verifier) run(ctx context.Context, in io.Reader, want int64) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	v.different = map[api.Key]int64{}
	lines, err := eachLine(ctx, v.name, in, func(l inputLine) error {
		v.progress.add(int64(len(l.text)) + 1)
		return v.line(ctx, l, stop)
	})
	v.flow.wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	switch {
	case err != nil:
		return err
	case lines != want:
		return fmt.Errorf("%s has changed: %d lines were imported, and now it has %d", v.name, want, lines)
	}
	return v.verdict()
}

func (v *verifier) line(ctx context.Context, l inputLine, stop context.CancelCauseFunc) error {
	if len(bytes.TrimSpace(l.text)) == 0 {
		return nil
	}
	key, value, err := parseRecord(l.text)
	if err != nil {
		return fmt.Errorf("%s has changed: line %d: %w", v.name, l.number, err)
	}
	v.flow.start(ctx, key, len(key)+len(value), func() {
		there, err := v.get(ctx, key)
		switch {
		case err == nil:
			v.compared(key, l.number, bytes.Equal(there, value), stop)
		case api.CodeOf(err) == api.CodeNotFound:
			v.compared(key, l.number, false, stop)
		default:
			stop(fmt.Errorf("%s:%d: %w", v.name, l.number, err))
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
		stop(fmt.Errorf("over %d keys are not what %s says", maxDifferent, v.name))
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
	return &differenceError{name: v.name, line: first, keys: int64(len(v.different))}
}

// differenceError says that the store does not hold what was imported.
type differenceError struct {
	name       string
	line, keys int64
}

func (e *differenceError) Error() string {
	return fmt.Sprintf("%d keys do not have the value that %s says, the first at line %d: did someone else write them?", e.keys, e.name, e.line)
}
