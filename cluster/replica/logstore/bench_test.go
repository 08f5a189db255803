package logstore

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// BenchmarkLogAppend appends one entry after another.
func BenchmarkLogAppend(b *testing.B) {
	for _, size := range []int{300, 64 << 10} {
		for _, kind := range Kinds() {
			b.Run(fmt.Sprintf("bytes=%d/log=%s", size, kind), func(b *testing.B) {
				log := openLogIn(b, kind, b.TempDir())
				b.ResetTimer()
				all := appendTimes(b, log, 1, b.N, size)
				b.StopTimer()
				reportMillis(b, "p50-ms", all[len(all)/2])
				reportMillis(b, "p99-ms", all[len(all)*99/100])
				closeLog(b, log)
			})
		}
	}
}

// BenchmarkLogTruncate truncates a log of 256 MiB to a quarter, like a snapshot, and then appends. It reports the times of the
// truncation and of the appends, and the size on disk before and after.
func BenchmarkLogTruncate(b *testing.B) {
	const size, entries = 64 << 10, 4096
	for _, kind := range Kinds() {
		b.Run("log="+string(kind), func(b *testing.B) {
			var cut time.Duration
			var after []time.Duration
			var full, left int64
			for range b.N {
				dir := b.TempDir()
				log := openLogIn(b, kind, dir)
				for i := uint64(1); i <= entries; i += 32 {
					if err := log.StoreLogs(entriesFrom(i, 32, size)); err != nil {
						b.Fatal(err)
					}
				}
				full = onDisk(b, dir)
				start := time.Now()
				if err := log.DeleteRange(1, entries*3/4); err != nil {
					b.Fatal(err)
				}
				cut += time.Since(start)
				after = append(after, appendTimes(b, log, entries+1, 200, 300)...)
				left = onDisk(b, dir)
				closeLog(b, log)
			}
			slices.Sort(after)
			reportMillis(b, "cut-ms", cut/time.Duration(b.N))
			reportMillis(b, "append-after-p50-ms", after[len(after)/2])
			reportMillis(b, "append-after-p99-ms", after[len(after)*99/100])
			b.ReportMetric(float64(full>>20), "MiB-full")
			b.ReportMetric(float64(left>>20), "MiB-left")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMigrate converts a log of 64 MiB, about the most that a group keeps, to the other kind.
func BenchmarkMigrate(b *testing.B) {
	const size, entries = 64 << 10, 1024
	for _, kinds := range migrations {
		b.Run(fmt.Sprintf("%s-%s", kinds[0], kinds[1]), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				m := &migration{dir: b.TempDir(), logger: hclog.NewNullLogger()}
				log, err := openLog(kinds[0], m.path(kinds[0]), m.logger)
				if err != nil {
					b.Fatal(err)
				}
				for i := uint64(1); i <= entries; i += 32 {
					if err := log.StoreLogs(entriesFrom(i, 32, size)); err != nil {
						b.Fatal(err)
					}
				}
				closeLog(b, log)
				b.StartTimer()
				if _, err := m.settle(kinds[1]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func openLogIn(b *testing.B, kind Kind, dir string) Disk {
	b.Helper()
	log, err := openLog(kind, filepath.Join(dir, "log"), hclog.NewNullLogger())
	if err != nil {
		b.Fatal(err)
	}
	return log
}

// appendTimes appends n times and returns how long each took, sorted.
func appendTimes(b *testing.B, log Disk, first uint64, n, size int) []time.Duration {
	b.Helper()
	logs, all := entriesFrom(first, 1, size), make([]time.Duration, n)
	for i := range all {
		logs[0].Index = first + uint64(i)
		start := time.Now()
		if err := log.StoreLogs(logs); err != nil {
			b.Fatal(err)
		}
		all[i] = time.Since(start)
	}
	slices.Sort(all)
	return all
}

func reportMillis(b *testing.B, unit string, d time.Duration) {
	b.ReportMetric(float64(d.Microseconds())/1000, unit)
}

// onDisk returns the disk space of the files below dir in bytes.
func onDisk(b *testing.B, dir string) (n int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		var st syscall.Stat_t
		if err == nil {
			err = syscall.Lstat(name, &st)
		}
		n += st.Blocks * 512
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}
