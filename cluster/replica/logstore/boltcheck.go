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

// checkBolt reads a whole bolt file, if it exists, and returns an error if the file is damaged. Bolt itself panics on a
// damaged file, or does not return, and the system ends the process when it reads a page beyond the end of a truncated file.
// freelist says that the file has a list of its free pages.
func checkBolt(path string, freelist bool) (err error) {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return err
	case info.Size() == 0:
		return api.Errorf(api.CodeInternal, "the file %s is empty: its contents are lost", path)
	}
	var opened *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if x := recover(); x != nil {
			// Bolt has left the file open, locked and mapped. The lock would last as long as the mapping.
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
			return damagedFile(path, fmt.Sprintf("it has %d of %d bytes", info.Size(), tx.Size()))
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

// boltPages walks the tree of pages of a bolt file.
type boltPages struct {
	file *os.File
	size int
	end  uint64 // one more than the last page
	seen map[uint64]bool
}

// A page starts with its id, flags, count and overflow, in boltHead bytes. Its elements follow, of boltHead bytes each.
const (
	boltHead   = 16
	boltBranch = 0x01
	boltLeaf   = 0x02
	boltBucket = 0x01 // flag of a leaf's element: the value is a bucket
)

// visit reads a page and those below it, each once.
func (p *boltPages) visit(id uint64) error {
	if id < 2 || id >= p.end || p.seen[id] {
		return fmt.Errorf("a reference to page %d, which is no page of the tree or is referenced twice", id)
	}
	p.seen[id] = true
	head := make([]byte, boltHead)
	if _, err := p.file.ReadAt(head, int64(id)*int64(p.size)); err != nil {
		return err
	}
	flags, count := binary.LittleEndian.Uint16(head[8:]), int(binary.LittleEndian.Uint16(head[10:]))
	overflow := uint64(binary.LittleEndian.Uint32(head[12:]))
	if binary.LittleEndian.Uint64(head) != id || id+overflow >= p.end || boltHead+count*boltHead > p.size*int(1+overflow) {
		return fmt.Errorf("the header of page %d is invalid", id)
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

// element checks the element at the start of b and visits the page that it refers to.
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
			if root := binary.LittleEndian.Uint64(b[at:]); root != 0 { // else the bucket is stored in this page
				return p.visit(root)
			}
			return nil
		}
	}
	return errors.New("an element is invalid")
}
