package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

// inputLine is one line of an import, without its newline. A line with err is the last one.
type inputLine struct {
	number int64 // from 1
	text   []byte
	cut    bool // the input ends without a newline
	err    error
}

// eachLine calls do for every line of in, and returns the number of lines. It ends early with an error of do or of reading, and
// with the cause of ctx if that ends.
func eachLine(ctx context.Context, cfg *ImportConfig, in io.Reader, do func(inputLine) error) (lines int64, err error) {
	read, stop := context.WithCancel(ctx)
	defer stop()
	for from := readLines(read, in); ; lines++ {
		if ctx.Err() != nil { // select chooses at random if a line is ready too
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
				return lines, fmt.Errorf("%s:%d: %w", cfg.File, l.number, l.err)
			}
			cfg.Progress.Add(int64(len(l.text)) + 1)
			if err := do(l); err != nil {
				return lines, err
			}
		}
	}
}

// readLines sends the lines of in until the end of in or of ctx. Its goroutine ends then too, unless it is blocked in reading a
// terminal or a pipe, which cannot be interrupted. In that case it ends with the process.
func readLines(ctx context.Context, in io.Reader) <-chan inputLine {
	lines := make(chan inputLine, 16)
	go func() {
		defer close(lines)
		r := bufio.NewReaderSize(in, 256<<10)
		for n := int64(1); ; n++ {
			l := inputLine{number: n}
			var last bool
			l.text, last, l.err = readLine(r)
			l.cut = last
			if last && len(l.text) == 0 && l.err == nil {
				return
			}
			select {
			case lines <- l:
			case <-ctx.Done():
				return
			}
			if last || l.err != nil {
				return
			}
		}
	}()
	return lines
}

// readLine reads one line of at most record.MaxLine bytes into new memory. last reports whether it is the last one.
func readLine(r *bufio.Reader) (line []byte, last bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > record.MaxLine:
			return nil, true, fmt.Errorf("the line is longer than the longest record, %d bytes", record.MaxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return line, true, nil
		case err != nil:
			return nil, true, err
		}
		return bytes.TrimSuffix(line, []byte("\n")), false, nil
	}
}
