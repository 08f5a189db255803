package join

import "syscall"

const mountedReadOnly = 1 // ST_RDONLY of statfs(2)

// readOnly reports whether the file is on a file system that is mounted read-only.
func readOnly(path string) bool {
	var s syscall.Statfs_t
	return syscall.Statfs(path, &s) == nil && s.Flags&mountedReadOnly != 0
}
