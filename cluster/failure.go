package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"syscall"

	"github.com/edgehold/edgehold/api"
)

// endedError is the panic of a node whose owner does not end it.
type endedError struct{ error }

// EndsProcess marks a panic that must not be caught.
func (endedError) EndsProcess() {}

// fail ends the node's use: a group has no state to go on with. Every failure of a group's log and state comes here: of reads,
// applies and snapshots, and of what the storage does in the background.
func (n *replicas) fail(g api.GroupID, cause error) {
	err := error(&api.Error{Code: api.CodeInternal, Op: "group " + string(g), Hint: fmt.Sprintf("%v; %s", cause, afterFailure(n.groupDir(g), cause))})
	n.failed.CompareAndSwap(nil, &err)
	n.cfg.OnFailed(err)
}

// afterFailure is what to do next about a folder of a group.
func afterFailure(dir string, cause error) string {
	if errors.Is(cause, syscall.ENOSPC) {
		return fmt.Sprintf("the disk of %s is full: make room, and start the node again", dir)
	}
	return fmt.Sprintf("the data in %s cannot be relied on: check the disk. The other members have the data: "+
		"start a new server under a new id with an empty folder, as docs/operations/failures.md says", dir)
}

// opening opens what is in a folder. A panic of a library that finds it damaged, or that touches a mapped file beyond its end,
// becomes an error with the next step.
func (n *replicas) opening(dir string, open func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		x := recover()
		if x != nil {
			n.log.Debug("a panic while a folder was opened", "folder", dir, "panic", x, "stack", string(debug.Stack()))
			err = fmt.Errorf("%v", x)
			if e, ok := x.(error); ok {
				err = e
			}
		}
		if x != nil || err != nil && lost(err) {
			err = fmt.Errorf("%w; %s", err, afterFailure(dir, err))
		}
	}()
	return open()
}

// lost reports whether the error is about what a disk holds, and not about permissions.
func lost(err error) bool {
	return api.CodeOf(err) == api.CodeInternal && !errors.Is(err, fs.ErrPermission)
}
