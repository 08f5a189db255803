package meta

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// File keeps a few bytes over restarts.
type File interface {
	// Read returns what was written last; fs.ErrNotExist if nothing was.
	Read() ([]byte, error)
	// Write replaces the content: after a crash it is the old or the new, never a mixture.
	Write(b []byte) error
}

// OSFile is a file of the operating system at the path, which only its owner may read. Its folder must exist.
func OSFile(path string) File { return osFile(path) }

type osFile string

func (f osFile) Read() ([]byte, error) { return os.ReadFile(string(f)) }

// Write writes beside the file, with mode 0600 as os.CreateTemp has it, syncs, renames, and syncs the folder.
func (f osFile) Write(b []byte) error {
	dir := filepath.Dir(string(f))
	t, err := os.CreateTemp(dir, filepath.Base(string(f))+".tmp*")
	if err != nil {
		return err
	}
	_, err = t.Write(b)
	err = errors.Join(err, t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), string(f))
	}
	if err != nil {
		return errors.Join(err, os.Remove(t.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// load reads what the file keeps, if there is a file and it keeps anything.
func load(f File, decode func([]byte) error) error {
	if f == nil {
		return nil
	}
	b, err := f.Read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return decode(b)
}
