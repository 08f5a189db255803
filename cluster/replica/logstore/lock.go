package logstore

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/edgehold/edgehold/api"
)

// lockFile is the file that the process which uses a folder keeps locked.
const lockFile = "lock"

// Lock creates the folder if it is missing, and locks it until unlock is called or the process ends. It waits for a process
// that holds the lock for at most fileLockTimeout, and then returns CodeConflict.
func Lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(fileLockTimeout); ; time.Sleep(fileLockTimeout / 40) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
		if time.Now().After(end) {
			return nil, errors.Join(errInUse(dir, err), f.Close())
		}
	}
}

func errInUse(dir string, err error) error {
	return &api.Error{Code: api.CodeConflict, Op: "open log", Hint: "the folder " + dir + " is in use by another process", Err: err}
}
