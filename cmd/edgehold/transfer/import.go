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

// MaxConcurrency is the limit of ImportConfig.Concurrency.
const MaxConcurrency = 4096

// ImportConfig configures an import.
type ImportConfig struct {
	// Client puts the records. Its timeout bounds the retries of one record. It should allow Concurrency calls at once, or MaxWindow
	// if that is 0.
	Client *client.Client
	// File is the name of the input; "-" is Stdin.
	File  string
	Stdin io.Reader
	// State is the file that lets an interrupted import continue. The default is File with .progress added, and none for Stdin.
	State string
	// Concurrency is the number of records in flight, up to MaxConcurrency. 0 chooses it by measuring, up to MaxWindow.
	Concurrency int
	// Verify reads every record back from the owner of its key at the end. File must not be "-".
	Verify   bool
	Progress Progress
}

// Import puts every record of the input: those of one key in their order, others in parallel. It skips the lines that an earlier
// run has done, as the state file says.
//
// A record that is refused is reported to Progress, and the import continues, for up to 100 of them. Any other error ends the
// import once the records in flight have ended, as the end of ctx does. The error wraps that of the record, so its code says
// whether the record was put. The result is nil if the import has not begun.
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

// input is the open input of an import.
type input struct {
	io.ReadCloser
	size     int64 // -1 if unknown
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
