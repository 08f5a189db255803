package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

type exportOptions struct {
	prefix, output string
	consistency    string
	resume         bool
}

func newExport(t *terminal, s *settings) *cobra.Command {
	o := &exportOptions{}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write every key and value as JSON Lines, in key order",
		Long: `Write every key, value and version as JSON Lines, in key order, to the standard output or to --output FILE; import
reads them. Bytes that are no UTF-8 stand as key_base64 and value_base64.

It is read page by page and is no snapshot of one instant. With --consistency stale the replicas that the node has or reaches
answer, also those of a group that has lost its majority; it then tells how old the oldest page may be. With --resume an
interrupted export to a file goes on after the last whole line of the file; until it is whole, FILE.export beside it names its
cluster. The counts at the end go to the standard error if the records go to the standard output.`,
		Example: `  edgehold export --prefix eu-west/ > eu-west.jsonl
  edgehold export --output all.jsonl --resume`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runExport(cmd.Context(), t, s, o) },
	}
	cmd.Flags().StringVar(&o.prefix, "prefix", "", "only keys that begin with this")
	cmd.Flags().StringVar(&o.output, "output", "", "write to `FILE` instead of the standard output")
	cmd.Flags().StringVar(&o.consistency, "consistency", "linearizable", "linearizable, or stale (what replicas have, also without a majority)")
	completeWith(cmd, "consistency", "linearizable", "stale")
	cmd.Flags().BoolVar(&o.resume, "resume", false, "go on with an interrupted export to --output")
	return cmd
}

func runExport(ctx context.Context, t *terminal, s *settings, o *exportOptions) error {
	if o.resume && o.output == "" {
		return usagef("--resume goes with --output FILE")
	}
	if o.consistency != "linearizable" && o.consistency != "stale" {
		return usagef("--consistency %q: choose linearizable or stale", o.consistency)
	}
	asJSON, err := s.json()
	if err != nil {
		return err
	}
	c, err := s.open(ctx, 1)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it only gives connections back
	counts := &transferred{}
	start := time.Now()
	bar := newProgress(t, "export", -1)
	if o.output == "" {
		err = o.exportTo(ctx, c, t.out, api.PrefixRange(api.Key(o.prefix)), counts, bar)
	} else {
		err = o.exportFile(ctx, c, counts, bar)
	}
	bar.end()
	if err != nil {
		return err
	}
	counts.finish(time.Since(start))
	if o.output == "" {
		return counts.print(t.err, asJSON)
	}
	return counts.print(t.out, asJSON)
}

// exportFile writes to --output, from its beginning or after what it already has.
func (o *exportOptions) exportFile(ctx context.Context, c *client.Client, counts *transferred, bar *progress) error {
	f, err := os.OpenFile(o.output, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	keys := api.PrefixRange(api.Key(o.prefix))
	finished, err := o.begin(ctx, c, f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	var end int64
	if o.resume {
		var last api.Key
		if last, end, err = lastRecord(f); err == nil && end > 0 {
			if !keys.Contains(last) {
				err = fmt.Errorf("%s ends with the key %q, which is not of this export; export to another file", o.output, string(last))
			}
			keys.Start = last + "\x00"
		}
		if counts.SkippedLines, err = countLines(f, end, err); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	err = f.Truncate(end)
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err == nil {
		err = o.exportTo(ctx, c, f, keys, counts, bar)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = finished()
	}
	return err
}

// begin makes sure that what f has already is of an export from this cluster, if that is to go on, and keeps the cluster's name
// beside it until the export has finished: a later run must not add the keys of another cluster.
func (o *exportOptions) begin(ctx context.Context, c *client.Client, f *os.File) (finished func() error, err error) {
	status, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	name := o.output + ".export"
	if o.resume && info.Size() > 0 {
		switch from, err := os.ReadFile(name); {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%s is no interrupted export, since there is no %s: export without --resume, or to another file", o.output, name)
		case err != nil:
			return nil, err
		case string(bytes.TrimSpace(from)) != status.ClusterID:
			return nil, fmt.Errorf("%s is an export from the cluster %s, and this is the cluster %s: export without --resume, or to another file",
				o.output, bytes.TrimSpace(from), status.ClusterID)
		}
	}
	if err := os.WriteFile(name, []byte(status.ClusterID+"\n"), 0o644); err != nil {
		return nil, err
	}
	return func() error { return os.Remove(name) }, nil
}

// exportTo writes the records of the range. While it writes a page the next ones are asked for.
func (o *exportOptions) exportTo(ctx context.Context, c *client.Client, w io.Writer, keys api.Range, counts *transferred, bar *progress) error {
	out := bufio.NewWriterSize(w, 256<<10)
	var how []client.ListOption
	if o.consistency == "stale" {
		how = append(how, client.StalePages())
	}
	for p := range pagesAhead(ctx, c, keys, how...) {
		if p.err != nil {
			return errors.Join(p.err, out.Flush())
		}
		if p.Stale {
			counts.OldestSeconds = max(counts.OldestSeconds, p.Age.Seconds())
		}
		for _, e := range p.Entries {
			if _, err := out.Write(appendRecord(out.AvailableBuffer(), e)); err != nil {
				return err
			}
			size := int64(len(e.Key) + len(e.Value))
			counts.Records++
			counts.Bytes += size
			bar.add(size)
		}
	}
	return out.Flush()
}

// lastRecord is the key of the last whole line of f, and where that line ends: 0 where there is none.
func lastRecord(f *os.File) (key api.Key, end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	// The tail holds a broken line and the whole one before it, however long.
	from := max(0, info.Size()-2*maxRecordLine)
	tail := make([]byte, info.Size()-from)
	if _, err := f.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
		return "", 0, err
	}
	stop := bytes.LastIndexByte(tail, '\n')
	if stop < 0 {
		if from > 0 {
			return "", 0, fmt.Errorf("%s holds no JSON Lines; export to another file", f.Name())
		}
		return "", 0, nil
	}
	line := tail[bytes.LastIndexByte(tail[:stop], '\n')+1 : stop]
	key, _, err = parseRecord(line)
	if err != nil {
		return "", 0, fmt.Errorf("%s: its last whole line is no record (%w); export to another file", f.Name(), err)
	}
	return key, from + int64(stop) + 1, nil
}

// countLines counts the lines before end, unless something has failed already.
func countLines(f *os.File, end int64, failed error) (n int64, err error) {
	if failed != nil {
		return 0, failed
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, end), 64<<10)
	for {
		_, err := r.ReadSlice('\n')
		switch {
		case err == nil:
			n++
		case errors.Is(err, io.EOF):
			return n, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return 0, err
		}
	}
}
