package transfer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

// ExportConfig is what to export, and where to.
type ExportConfig struct {
	Client *client.Client
	// Prefix is what the keys begin with; "" is every key.
	Prefix api.Key
	// Stale asks for what replicas have, also without a majority.
	Stale bool
	// File gets the records; if it is "", Out does.
	File string
	Out  io.Writer
	// Resume goes on after the last whole line of File, which must be of an export from this cluster that has not finished.
	Resume   bool
	Progress Progress
}

// Export writes the records in the order of their keys, page by page; together they are no snapshot. It ends with the first
// error, and when ctx does; what is in File then can be resumed. The result is nil if there is an error.
func Export(ctx context.Context, cfg ExportConfig) (*Result, error) {
	e := &exporter{ExportConfig: cfg}
	start := time.Now()
	cfg.Progress.Start("export", -1)
	var err error
	if cfg.File == "" {
		err = e.write(ctx, cfg.Out, api.PrefixRange(cfg.Prefix))
	} else {
		err = e.writeFile(ctx)
	}
	cfg.Progress.Done()
	if err != nil {
		return nil, err
	}
	e.result.took(time.Since(start))
	return &e.result, nil
}

// exporter is one export.
type exporter struct {
	ExportConfig
	result Result
}

// note is the file that names the cluster while File is not whole: a later run must not add the keys of another cluster.
func (e *exporter) note() string { return e.File + ".export" }

// writeFile writes to File.
func (e *exporter) writeFile(ctx context.Context) error {
	f, err := os.OpenFile(e.File, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(e.fill(ctx, f), f.Close()); err != nil {
		return err
	}
	return os.Remove(e.note())
}

// fill writes to f, from its beginning or after what it already has.
func (e *exporter) fill(ctx context.Context, f *os.File) error {
	if err := e.begin(ctx, f); err != nil {
		return err
	}
	keys := api.PrefixRange(e.Prefix)
	var end int64
	if e.Resume {
		last, at, err := lastRecord(f)
		switch {
		case err != nil:
			return err
		case at > 0 && !keys.Contains(last):
			return fmt.Errorf("%s ends with the key %q, which is not of this export; export to another file", e.File, string(last))
		case at > 0:
			end, keys.Start = at, last+"\x00"
		}
		if e.result.SkippedLines, err = countLines(io.NewSectionReader(f, 0, end)); err != nil {
			return err
		}
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		return err
	}
	return e.write(ctx, f, keys)
}

// begin makes sure that what f has already is of an export from this cluster, if that is to go on, and notes the cluster.
func (e *exporter) begin(ctx context.Context, f *os.File) error {
	status, err := e.Client.Status(ctx)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if e.Resume && info.Size() > 0 {
		switch from, err := os.ReadFile(e.note()); {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%s is no interrupted export, since there is no %s: export without --resume, or to another file", e.File, e.note())
		case err != nil:
			return err
		case string(bytes.TrimSpace(from)) != status.ClusterID:
			return fmt.Errorf("%s is an export from the cluster %s, and this is the cluster %s: export without --resume, or to another file",
				e.File, bytes.TrimSpace(from), status.ClusterID)
		}
	}
	return os.WriteFile(e.note(), []byte(status.ClusterID+"\n"), 0o644)
}

// write writes the records of the keys. While it writes a page the next ones are asked for.
func (e *exporter) write(ctx context.Context, w io.Writer, keys api.Range) error {
	out := bufio.NewWriterSize(w, 256<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	var how []client.ListOption
	if e.Stale {
		how = append(how, client.StalePages())
	}
	for p := range pagesAhead(ctx, e.Client, keys, how...) {
		if p.err != nil {
			return errors.Join(p.err, out.Flush())
		}
		if p.Stale {
			e.result.OldestSeconds = max(e.result.OldestSeconds, p.Age.Seconds())
		}
		for _, entry := range p.Entries {
			if err := lines.Encode(record.Of(entry, false)); err != nil {
				return err
			}
			size := int64(len(entry.Key) + len(entry.Value))
			e.result.Records++
			e.result.Bytes += size
			e.Progress.Add(size)
		}
	}
	return out.Flush()
}

// lastRecord is the key of the last whole line of f, and where that line ends: 0 if there is none.
func lastRecord(f *os.File) (key api.Key, end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	// The tail holds a broken line and the whole one before it, however long.
	from := max(0, info.Size()-2*record.MaxLine)
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
	key, _, err = record.Parse(line)
	if err != nil {
		return "", 0, fmt.Errorf("%s: its last whole line is no record (%w); export to another file", f.Name(), err)
	}
	return key, from + int64(stop) + 1, nil
}

// countLines counts the ends of lines in r.
func countLines(r io.Reader) (n int64, err error) {
	part := make([]byte, 64<<10)
	for {
		read, err := r.Read(part)
		n += int64(bytes.Count(part[:read], []byte("\n")))
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return 0, err
		}
	}
}
