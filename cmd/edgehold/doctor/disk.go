package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/edgehold/edgehold/cluster"
)

const (
	fsyncWrites = 200
	fsyncBytes  = 4096
	fsyncBound  = 20 * time.Second // for all of them
	fsyncWarn   = 25 * time.Millisecond
	fsyncFail   = 250 * time.Millisecond
)

// fsync times writes to a file of its own in the data folder, each with an fsync: a write of the cluster waits for one at a majority.
func fsync(ctx context.Context, x *exam) []Finding {
	if x.Data == "" {
		return noData()
	}
	took, err := timeWrites(ctx, x.Data)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return skip("run doctor as the user that runs the node", "no file can be made in %s", x.Data)
	case err != nil:
		return fail("see that the disk is well, and not full", "%v", err)
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	says := fmt.Sprintf("99 of 100 writes are on the disk within %v (of %d)", p99.Round(10*time.Microsecond), len(took))
	const next = "give the data folder a disk of its own, with a cache that outlives a power cut"
	switch {
	case p99 > fsyncFail:
		return fail(next, "%s", says)
	case p99 > fsyncWarn:
		return warn(next, "%s", says)
	}
	return ok("%s", says)
}

// timeWrites returns how long each write took, of [fsyncWrites] at most, and of one at least.
func timeWrites(ctx context.Context, folder string) (took []time.Duration, err error) {
	f, err := os.CreateTemp(folder, ".doctor-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	b := make([]byte, fsyncBytes)
	for began := time.Now(); len(took) < fsyncWrites && ctx.Err() == nil && time.Since(began) < fsyncBound; {
		start := time.Now()
		if _, err := f.Write(b); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	if len(took) == 0 {
		return nil, ctx.Err()
	}
	return took, nil
}

const (
	spaceWarn = 0.15 // of the file system
	spaceFail = 0.05
)

// diskSpace checks that the file system of the data folder has room.
func diskSpace(_ context.Context, x *exam) []Finding {
	if x.Data == "" {
		return noData()
	}
	free, size, err := cluster.DiskSpace(x.Data)
	if err != nil || size == 0 {
		return fail("see --data", "the room of %s is not known: %v", x.Data, err)
	}
	return judgeSpace(free, size)
}

func judgeSpace(free, size uint64) []Finding {
	part := float64(free) / float64(size)
	says := fmt.Sprintf("%.0f %% of %.1f GiB are free", 100*part, float64(size)/(1<<30))
	const next = "make room or enlarge the disk: a node whose disk is full takes no writes"
	switch {
	case part < spaceFail:
		return fail(next, "%s", says)
	case part < spaceWarn:
		return warn(next, "%s", says)
	}
	return ok("%s", says)
}

// secrets are the files below a data folder that other users must not read.
var secrets = []string{"placement", "roll", "admin.sock", "identity/key.pem", "identity/next.pem", "identity/founding"}

// fileModes checks that no other user may open the files of the data folder.
func fileModes(_ context.Context, x *exam) []Finding {
	if x.Data == "" {
		return noData()
	}
	var all []Finding
	for _, name := range append([]string{".", "identity"}, secrets...) {
		path := filepath.Join(x.Data, name)
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			all = append(all, skip("run doctor as the user that runs the node", "%v", err)...)
		case info.Mode().Perm()&0o077 != 0:
			mode := 0o600
			if info.IsDir() {
				mode = 0o700
			}
			all = append(all, fail(fmt.Sprintf("chmod %o %s", mode, path), "other users may open %s (mode %o)", path, info.Mode().Perm())...)
		}
	}
	if len(all) == 0 {
		return ok("only the node's user may open what is in %s", x.Data)
	}
	return all
}

// initFolder checks that what a cluster was founded with does not lie about: the folder "bootstrap" of init has the key of the CA.
func initFolder(_ context.Context, x *exam) []Finding {
	if x.Init == "" {
		return ok("no folder of \"edgehold init\" was named with --init")
	}
	left, err := os.ReadDir(x.Init)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(left) == 0:
		return ok("%s is gone", x.Init)
	case err != nil:
		return skip("run doctor as the user that runs the node", "%v", err)
	}
	return warn("when the cluster is founded: rm -r "+x.Init, "%s has the key of the cluster's CA", x.Init)
}
