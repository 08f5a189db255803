package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// tableBytes is how much of a load goes into one table, roughly.
const tableBytes = 32 << 20

// pebbleLoad writes tables in the order of their keys and puts them at the bottom of a new folder: no key is written
// twice, and only one table at a time is in memory.
type pebbleLoad struct {
	p      *Pebble
	f      *folder // nil once ended
	table  *sstable.Writer
	paths  []string
	size   int
	last   []byte
	failed error
}

// NewLoad implements Engine.
func (p *Pebble) NewLoad() (Load, error) {
	f, err := p.newFolder()
	if err != nil {
		return nil, err
	}
	return &pebbleLoad{p: p, f: f}, nil
}

func (l *pebbleLoad) Set(k, v []byte) error {
	if l.failed != nil {
		return l.failed
	}
	if len(k) == 0 {
		return errEmpty
	}
	if bytes.Compare(k, l.last) <= 0 {
		return errOrder
	}
	l.last = append(l.last[:0], k...)
	l.failed = l.set(k, v)
	return l.failed
}

func (l *pebbleLoad) set(k, v []byte) error {
	if l.table == nil {
		path := l.p.fs.PathJoin(l.p.path(l.f.name), fmt.Sprintf("load-%06d", len(l.paths)))
		file, err := l.p.fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		l.paths = append(l.paths, path)
		bottom := len(l.f.opts.Levels) - 1
		l.table = sstable.NewWriter(objstorageprovider.NewFileWritable(file), l.f.opts.MakeWriterOptions(bottom, l.f.db.TableFormat()))
	}
	if err := l.table.Set(k, v); err != nil {
		return err
	}
	if l.size += len(k) + len(v); l.size < tableBytes {
		return nil
	}
	return l.finishTable()
}

// finishTable ends the table; it is on disk then.
func (l *pebbleLoad) finishTable() error {
	if l.table == nil {
		return nil
	}
	err := l.table.Close()
	l.table, l.size = nil, 0
	return err
}

func (l *pebbleLoad) Commit() error {
	defer l.Discard()
	if err := errors.Join(l.failed, l.finishTable()); err != nil {
		return err
	}
	if len(l.paths) > 0 {
		if err := l.f.db.Ingest(context.Background(), l.paths); err != nil {
			return err
		}
	}
	f := l.f
	l.f = nil
	return l.p.replace(f)
}

func (l *pebbleLoad) Discard() {
	if l.f == nil {
		return
	}
	err := errors.Join(l.finishTable(), l.f.discard())
	l.f = nil
	if err != nil {
		l.p.cfg.Log("a load was dropped and could not be removed: " + err.Error())
	}
}

// Clear implements Engine.
func (p *Pebble) Clear() error {
	f, err := p.newFolder()
	if err != nil {
		return err
	}
	return p.replace(f)
}

// Adopt implements Durable.
func (p *Pebble) Adopt(dir string, check func(Reader) error) error {
	name := p.nextName()
	if err := p.link(dir, p.path(name)); err != nil {
		return errors.Join(err, p.fs.RemoveAll(p.path(name)))
	}
	f, err := p.openFolder(name, true)
	if err != nil {
		return errors.Join(err, p.fs.RemoveAll(p.path(name)))
	}
	if err := check(reader{f.db}); err != nil {
		return errors.Join(err, f.discard())
	}
	return p.replace(f)
}

// link makes to hold what from holds. Tables never change and are shared; a database may write to its other files.
func (p *Pebble) link(from, to string) error {
	if err := p.fs.MkdirAll(to, 0o750); err != nil {
		return err
	}
	names, err := p.fs.List(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		carry := vfs.Copy
		if strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob") {
			carry = vfs.LinkOrCopy
		}
		if err := carry(p.fs, p.fs.PathJoin(from, name), p.fs.PathJoin(to, name)); err != nil {
			return err
		}
	}
	return syncFolder(p.fs, to)
}

// reader is a database as a Reader.
type reader struct{ db *pebble.DB }

func (r reader) Get(key []byte) ([]byte, bool, error) { return get(r.db, key) }

func (r reader) Scan(lo, hi []byte, reverse bool, visit func(k, v []byte) bool) error {
	return scanPebble(r.db, lo, hi, reverse, visit)
}
