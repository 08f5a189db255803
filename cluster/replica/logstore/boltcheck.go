package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/edgehold/edgehold/api"
)

// checkBolt reads all of a bolt file, if it exists. If a file is damaged bolt panics or does not return, or the system ends the process for a
// page that lies beyond the end of a file that was cut: here that is an error. freelist: the file has a list of its free pages.
func checkBolt(path string, freelist bool) (err error) {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return err
	case info.Size() == 0:
		return api.Errorf(api.CodeInternal, "the file %s is empty: what was in it is lost", path)
	}
	var opened *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if x := recover(); x != nil {
			// Bolt has left it open, locked and mapped, and the lock would stay as long as the mapping.
			err = errors.Join(damagedFile(path, x), syscall.Flock(int(opened.Fd()), syscall.LOCK_UN), opened.Close())
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		ReadOnly: true, PreLoadFreelist: freelist, Timeout: fileLockTimeout,
		OpenFile: func(name string, flag int, perm os.FileMode) (f *os.File, err error) {
			opened, err = os.OpenFile(name, flag, perm)
			return opened, err
		},
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return errInUse(filepath.Dir(path), err)
	case err != nil:
		return damagedFile(path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return damagedFile(path, fmt.Sprintf("it has %d bytes of %d", info.Size(), tx.Size()))
		}
		pages := boltPages{file: opened, size: db.Info().PageSize, end: uint64(tx.Size()) / uint64(db.Info().PageSize), seen: map[uint64]bool{}}
		if err := pages.visit(uint64(tx.Cursor().Bucket().Root())); err != nil {
			return damagedFile(path, err)
		}
		return nil
	})
}

func damagedFile(path string, what any) error {
	if _, fault := what.(interface{ Addr() uintptr }); fault {
		what = "it ends too early"
	}
	return api.Errorf(api.CodeInternal, "the file %s is damaged: %v", path, what)
}

// boltPages walks through the tree of pages of a bolt file.
type boltPages struct {
	file *os.File
	size int
	end  uint64 // the first page that is none
	seen map[uint64]bool
}

// The layout of a page: id, flags, count and overflow, and then elements of as many bytes.
const (
	boltHead   = 16
	boltBranch = 0x01
	boltLeaf   = 0x02
	boltBucket = 0x01 // the flag of an element of a leaf
)

// visit reads a page and those below it, each once.
func (p *boltPages) visit(id uint64) error {
	if id < 2 || id >= p.end || p.seen[id] {
		return fmt.Errorf("page %d is named, where there is none to name", id)
	}
	p.seen[id] = true
	head := make([]byte, boltHead)
	if _, err := p.file.ReadAt(head, int64(id)*int64(p.size)); err != nil {
		return err
	}
	flags, count := binary.LittleEndian.Uint16(head[8:]), int(binary.LittleEndian.Uint16(head[10:]))
	overflow := uint64(binary.LittleEndian.Uint32(head[12:]))
	if binary.LittleEndian.Uint64(head) != id || id+overflow >= p.end || boltHead+count*boltHead > p.size*int(1+overflow) {
		return fmt.Errorf("page %d is not what it should be", id)
	}
	b := make([]byte, p.size*int(1+overflow))
	if _, err := p.file.ReadAt(b, int64(id)*int64(p.size)); err != nil {
		return err
	}
	for i := range count {
		if err := p.element(flags, b[boltHead+i*boltHead:]); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
	}
	return nil
}

// element checks the element at the beginning of b, and visits the page that it names.
func (p *boltPages) element(flags uint16, b []byte) error {
	word := func(i int) uint64 { return uint64(binary.LittleEndian.Uint32(b[4*i:])) }
	switch flags {
	case boltBranch:
		if word(0)+word(1) <= uint64(len(b)) {
			return p.visit(binary.LittleEndian.Uint64(b[8:]))
		}
	case boltLeaf:
		at := word(1) + word(2)
		if at+word(3) > uint64(len(b)) {
			break
		}
		if word(0)&boltBucket == 0 {
			return nil
		}
		if word(3) >= 8 {
			if root := binary.LittleEndian.Uint64(b[at:]); root != 0 { // else it is in this page
				return p.visit(root)
			}
			return nil
		}
	}
	return errors.New("an element is not what it should be")
}
