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
	"github.com/edgehold/edgehold/api/client"
)

// importTimeout bounds the tries of one record where --timeout says nothing: an import outlasts a change of leader.
const importTimeout = time.Minute

// maxImportConcurrency bounds --concurrency.
const maxImportConcurrency = 4096

type importOptions struct {
	concurrency int
	resume      string
	verify      bool
}

// transferred is what import and export tell at the end.
type transferred struct {
	Lines            int64   `json:"lines,omitempty"` // read, by an import
	Records          int64   `json:"records"`
	Bytes            int64   `json:"bytes"` // of keys and values
	Failed           int64   `json:"failed"`
	SkippedLines     int64   `json:"skipped_lines"`            // done by an earlier run
	Verified         *int64  `json:"verified,omitempty"`       // records read back
	Different        *int64  `json:"different,omitempty"`      // keys with another value than the last record of theirs
	OldestSeconds    float64 `json:"oldest_seconds,omitempty"` // how old the oldest page of a stale export may be
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
	if r.OldestSeconds > 0 {
		text += fmt.Sprintf("; of replicas, up to %.1f s old", r.OldestSeconds)
	}
	if r.Failed > 0 {
		text += fmt.Sprintf("; %d failed", r.Failed)
	}
	if r.Verified != nil {
		text += fmt.Sprintf("; %d read back, %d keys are different", *r.Verified, *r.Different)
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

An import that was interrupted goes on where it was when it is run again: FILE.progress says, until the import is complete,
how many lines are wholly acknowledged, by which cluster, and a hash of them. With another cluster, or if one of these lines has
changed, it is refused before anything is put: remove FILE.progress to import FILE from its beginning. Later lines may change:
correct a record that was refused and run the command again. To do a record again is harmless.

A record that is refused is reported with its line number and the others go on, up to 100 of them; then, or where the
cluster does not answer for a minute (or --timeout), the import stops. It exits with 0 only if every record was put, with 4
where it stopped for a record of which nobody knows whether it was put, else with 1.

At the end it tells how many lines it read, and how many records were put and failed. With --verify it then reads FILE
anew and every record back from the owner of its key, and exits with 1 where a key does not have the value of its last
record.`,
		Example: `  edgehold import packages.jsonl
  edgehold import packages.jsonl --verify
  edgehold export --prefix eu-west/ | edgehold import - --addr http://other:7400`,
		Args: wantArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("timeout") {
				s.timeout = importTimeout
			}
			return runImport(cmd.Context(), t, s, o, args[0])
		},
	}
	cmd.Flags().IntVar(&o.concurrency, "concurrency", 0, "records under way at the same time; 0 is from 256 to 2048, as many as pay")
	cmd.Flags().StringVar(&o.resume, "resume", "", "state `FILE` of an interrupted import (default the input's name with .progress)")
	cmd.Flags().BoolVar(&o.verify, "verify", false, "read everything back at the end and compare")
	return cmd
}

func (o *importOptions) check(name string) error {
	switch {
	case o.concurrency < 0 || o.concurrency > maxImportConcurrency:
		return usagef("--concurrency %d: choose 1 to %d, or 0", o.concurrency, maxImportConcurrency)
	case o.verify && name == "-":
		return usagef("--verify reads the input a second time: name a file instead of -")
	}
	return nil
}

// conns is how many calls there may be at once.
func (o *importOptions) conns() int {
	if o.concurrency == 0 {
		return mostWindow
	}
	return o.concurrency
}

func runImport(ctx context.Context, t *terminal, s *settings, o *importOptions, name string) error {
	if err := o.check(name); err != nil {
		return err
	}
	in, err := openInput(t, name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	c, err := s.open(ctx, o.conns())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	j := &importJob{name: name, state: o.resume, keep: o.verify, flow: newFlow(newWindow(o.concurrency))}
	clusterID := func() (string, error) {
		status, err := c.Status(ctx)
		if err != nil {
			return "", importError(err)
		}
		return status.ClusterID, nil
	}
	if err := j.prepare(clusterID, in, t.err); err != nil {
		return err
	}
	begun := context.WithoutCancel(ctx) // what is under way is finished, so that the state file tells all that was done
	j.put = func(k api.Key, v []byte) error {
		_, err := c.Put(begun, k, v)
		return err
	}
	j.progress = newProgress(t, "import", in.size)
	start := time.Now()
	runErr := j.run(ctx, in)
	j.progress.end()
	counts := j.counts()
	counts.finish(time.Since(start))
	if runErr == nil && o.verify {
		runErr = verifyImport(ctx, t, o, c, j, counts)
	}
	asJSON, err := s.json()
	return errors.Join(importError(runErr), err, counts.print(t.out, asJSON))
}

// importError is err as the command tells it.
func importError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		err = errors.New("interrupted: run the same command again to go on")
	}
	return fmt.Errorf("import: %w", err)
}

// verifyImport reads back what the job has put. Its state file stays where that was not finished: run again, the command
// only verifies.
func verifyImport(ctx context.Context, t *terminal, o *importOptions, c *client.Client, j *importJob, counts *transferred) error {
	in, err := openInput(t, j.name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	v := &verifier{name: j.name, flow: newFlow(newWindow(o.concurrency)), progress: newProgress(t, "verify", in.size)}
	v.get = func(ctx context.Context, k api.Key) ([]byte, error) {
		there, err := c.Get(ctx, k, client.Quorum())
		return there.Value, err
	}
	err = v.run(ctx, in, j.lines)
	v.progress.end()
	read, different := v.counts()
	counts.Verified, counts.Different = &read, &different
	if _, isDifferent := errors.AsType[*differenceError](err); j.state != "" && (err == nil || isDifferent) {
		err = errors.Join(err, os.Remove(j.state))
	}
	return err
}

// input is what an import reads.
type input struct {
	io.ReadCloser
	size     int64 // -1: not known
	modified time.Time
}

// openInput opens the named file, or the standard input for "-".
func openInput(t *terminal, name string) (input, error) {
	if name == "-" {
		return input{ReadCloser: io.NopCloser(t.in), size: -1}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return input{}, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a folder; name a file of JSON Lines", name)
	case info.Mode().IsRegular():
		return input{f, info.Size(), info.ModTime().UTC()}, nil
	default:
		return input{ReadCloser: f, size: -1}, nil
	}
	return input{}, errors.Join(err, f.Close())
}
