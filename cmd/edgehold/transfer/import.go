package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/edgehold/edgehold/api/client"
)

// MaxConcurrency bounds ImportConfig.Concurrency.
const MaxConcurrency = 4096

// ImportConfig is what to import, and where to.
type ImportConfig struct {
	// Client puts the records. Its timeout bounds the tries of one record. It should be fit for Concurrency calls at once, or for
	// MaxWindow if that is 0.
	Client *client.Client
	// File is the input; "-" is Stdin.
	File  string
	Stdin io.Reader
	// State is the file by which an interrupted import goes on. "" is File with .progress, and none for Stdin.
	State string
	// Concurrency is how many records are under way at once. 0 is as many as pay, up to MaxWindow.
	Concurrency int
	// Verify reads every record back from the owner of its key at the end. File must not be "-".
	Verify   bool
	Progress Progress
}

// Import puts every record of the input: those of one key in their order, others at once. Lines that an earlier run has done,
// as the state file says, are left out.
//
// A record that is refused is reported to Progress, and the others go on, up to 100 of them. Any other error ends the import
// after the records that are under way, as the end of ctx does; it wraps the error of the record, so that its code says
// whether that record was put. The result is nil if nothing was begun.
func Import(ctx context.Context, cfg ImportConfig) (*Result, error) {
	in, err := cfg.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // it was only read
	j := &job{ImportConfig: cfg, in: in, flow: newFlow(newWindow(cfg.Concurrency))}
	if err := j.prepare(ctx); err != nil {
		return nil, err
	}
	cfg.Progress.Start("import", in.size)
	start := time.Now()
	err = j.run(ctx)
	cfg.Progress.Done()
	result := j.result()
	result.took(time.Since(start))
	if err == nil && cfg.Verify {
		err = j.verify(ctx, result)
	}
	return result, err
}

// input is what an import reads.
type input struct {
	io.ReadCloser
	size     int64 // -1: not known
	modified time.Time
}

// open opens the input.
func (c *ImportConfig) open() (input, error) {
	if c.File == "-" {
		return input{ReadCloser: io.NopCloser(c.Stdin), size: -1}, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return input{}, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a folder; name a file of JSON Lines", c.File)
	case info.Mode().IsRegular():
		return input{f, info.Size(), info.ModTime().UTC()}, nil
	default:
		return input{ReadCloser: f, size: -1}, nil
	}
	return input{}, errors.Join(err, f.Close())
}
