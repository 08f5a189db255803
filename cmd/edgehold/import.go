package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
)

// importTimeout bounds the tries of one record where --timeout says nothing: an import outlasts a change of leader.
const importTimeout = time.Minute

// maxImportConcurrency bounds --concurrency.
const maxImportConcurrency = 4096

type importOptions struct {
	concurrency int
	resume      string
}

// transferred is what import and export tell at the end.
type transferred struct {
	Records          int64   `json:"records"`
	Bytes            int64   `json:"bytes"` // of keys and values
	Failed           int64   `json:"failed"`
	SkippedLines     int64   `json:"skipped_lines"` // done by an earlier run
	Seconds          float64 `json:"seconds"`
	RecordsPerSecond float64 `json:"records_per_second"`
}

func (r *transferred) finish(d time.Duration) {
	r.Seconds = d.Round(time.Millisecond).Seconds()
	if d > 0 {
		r.RecordsPerSecond = float64(int64(float64(r.Records)/d.Seconds()*10)) / 10
	}
}

// print writes the counts, as JSON or for people.
func (r *transferred) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, nil, r)
	}
	text := fmt.Sprintf("%d records, %d bytes in %.1f s: %.0f records/s", r.Records, r.Bytes, r.Seconds, r.RecordsPerSecond)
	if r.SkippedLines > 0 {
		text += fmt.Sprintf("; %d lines were done before", r.SkippedLines)
	}
	if r.Failed > 0 {
		text += fmt.Sprintf("; %d failed", r.Failed)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

func newImport(t *terminal, s *settings) *cobra.Command {
	o := &importOptions{}
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Put every record of a file of JSON Lines",
		Long: `Put every record of a file of JSON Lines, or of the standard input (-).

Each line is an object with "key" and "value"; bytes that are no UTF-8 stand as "key_base64" and "value_base64". A
"version", as export writes it, is ignored. Records of the same key are put in the order of the file, others at once.

An import that was interrupted goes on where it was when it is run again: the number of lines that are wholly
acknowledged is kept in FILE.progress until the import is complete. To do a record again is harmless.

A record that is refused is reported with its line number and the others go on, up to 100 of them; then, or where the
cluster does not answer for a minute (or --timeout), the import stops. It exits with 1 unless every record was put.`,
		Example: `  edgehold import packages.jsonl
  edgehold export --prefix eu-west/ | edgehold import - --addr http://other:7400`,
		Args: wantArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("timeout") {
				s.timeout = importTimeout
			}
			return runImport(cmd.Context(), t, s, o, args[0])
		},
	}
	cmd.Flags().IntVar(&o.concurrency, "concurrency", 256, "records under way at the same time")
	cmd.Flags().StringVar(&o.resume, "resume", "", "state `FILE` of an interrupted import (default the input's name with .progress)")
	return cmd
}

func runImport(ctx context.Context, t *terminal, s *settings, o *importOptions, name string) error {
	if o.concurrency < 1 || o.concurrency > maxImportConcurrency {
		return usagef("--concurrency %d: choose 1 to %d", o.concurrency, maxImportConcurrency)
	}
	in, size, err := openInput(t, name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	j := &importJob{name: name, concurrency: o.concurrency, state: o.resume}
	if err := j.prepare(t.err); err != nil {
		return err
	}
	c, err := s.open(ctx, o.concurrency)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	j.put = func(ctx context.Context, k api.Key, v []byte) error {
		// What is under way is finished, so that the state file tells all that was done.
		_, err := c.Put(context.WithoutCancel(ctx), k, v)
		return err
	}
	j.progress = newProgress(t, "import", size)
	start := time.Now()
	runErr := j.run(ctx, in)
	j.progress.end()
	counts := j.counts()
	counts.finish(time.Since(start))
	asJSON, err := s.json()
	return errors.Join(runErr, err, counts.print(t.out, asJSON))
}

// openInput opens the named file, or the standard input for "-". size is -1 where it is not known.
func openInput(t *terminal, name string) (in io.ReadCloser, size int64, err error) {
	if name == "-" {
		return io.NopCloser(t.in), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a folder; name a file of JSON Lines", name)
	case info.Mode().IsRegular():
		return f, info.Size(), nil
	default:
		return f, -1, nil
	}
	return nil, 0, errors.Join(err, f.Close())
}
