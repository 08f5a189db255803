package cluster

import "syscall"

// DiskSpace returns how many bytes a node may still write into the folder, and how many the file system of the folder has
// altogether.
func DiskSpace(folder string) (free, size uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize)
	return uint64(s.Bavail) * block, uint64(s.Blocks) * block, nil //nolint:unconvert // their types differ between systems
}
