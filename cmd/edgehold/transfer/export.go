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
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/cmd/edgehold/record"
)

// ExportConfig configures an export.
type ExportConfig struct {
	Client *client.Client
	// Prefix selects the keys; "" selects all.
	Prefix api.Key
	// Stale reads from any replica, even without a majority.
	Stale bool
	// File receives the records, or Out if it is "".
	File string
	Out  io.Writer
	// Resume continues after the last complete line of File, which must be an unfinished export from the same cluster.
	Resume   bool
	Progress Progress
}

// Export writes the records in the order of their keys, without the entries of locks. It reads page by page; the pages together are not a snapshot. The first
// error ends it, as the end of ctx does; Resume can continue it then. The result is nil if there is an error.
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

// exporter is an export in progress.
type exporter struct {
	ExportConfig
	result Result
}

// note returns the name of the file that names the cluster until File is complete: a later run must not add keys of another
// cluster.
func (e *exporter) note() string { return e.File + ".export" }

// writeFile writes the records to File.
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

// fill writes the records to f, from its beginning or after its last complete line.
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

// begin writes the note. If the export is to continue, it checks first that f is an unfinished export from this cluster.
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
			return fmt.Errorf("%s is not an interrupted export, since there is no %s: export without --resume, or to another file", e.File, e.note())
		case err != nil:
			return err
		case string(bytes.TrimSpace(from)) != status.ClusterID:
			return fmt.Errorf("%s is an export from the cluster %s, and this is the cluster %s: export without --resume, or to another file",
				e.File, bytes.TrimSpace(from), status.ClusterID)
		}
	}
	return os.WriteFile(e.note(), []byte(status.ClusterID+"\n"), 0o644)
}

// write writes the records of the keys to w.
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
			if lock.Reserved(entry.Key) {
				continue // the holder of a lock now means nothing later, and no import may write it
			}
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

// lastRecord returns the key of the last complete line of f and the offset of its end, which is 0 if there is none.
func lastRecord(f *os.File) (key api.Key, end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	// The tail has an incomplete line and the complete one before it, however long they are.
	from := max(0, info.Size()-2*record.MaxLine)
	tail := make([]byte, info.Size()-from)
	if _, err := f.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
		return "", 0, err
	}
	stop := bytes.LastIndexByte(tail, '\n')
	if stop < 0 {
		if from > 0 {
			return "", 0, fmt.Errorf("%s has no JSON Lines; export to another file", f.Name())
		}
		return "", 0, nil
	}
	line := tail[bytes.LastIndexByte(tail[:stop], '\n')+1 : stop]
	last, err := record.Parse(line)
	if err != nil {
		return "", 0, fmt.Errorf("%s: the last complete line is not a record (%w); export to another file", f.Name(), err)
	}
	return last.Key, from + int64(stop) + 1, nil
}

// countLines counts the newlines in r.
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
