package fsm

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
)

// BenchmarkHistory measures what the history costs the machine: puts of 64 and 300 bytes, 64 in an entry, without a history and with
// one that is full, so that each entry also drops old rows. It
// also says the time of the process on its processors, which a busy machine changes less.
func BenchmarkHistory(b *testing.B) {
	const keys = 100_000
	for _, size := range []int{64, 300} {
		for _, most := range []uint64{0, 8 << 20} {
			for _, kind := range []string{"memory", "disk"} {
				b.Run(fmt.Sprintf("%s/value=%d/history=%dMiB", kind, size, most>>20), func(b *testing.B) {
					m := benchMachineOn(b, benchEngine(b, kind), keys)
					command := func(n int) []byte {
						txn := api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: benchKey(n % keys), Value: make([]byte, size)}}}
						return encode(Write{Term: 1, Txn: txn})
					}
					all(m.Apply(1, 1, [][]byte{encode(HistoryMax{1, most})}))
					for n := 0; m.Position().Bytes < most*9/10; n += 64 { // it is full when the time begins
						entry := make([][]byte, 64)
						for i := range entry {
							entry[i] = command(n + i)
						}
						all(m.Apply(1, 1, entry))
					}
					began := processTime(b)
					benchApply(b, m, 64, command)
					b.ReportMetric(float64(processTime(b)-began)/float64(b.N), "cpu-ns/op")
				})
			}
		}
	}
}

// processTime is how long the process has run on all processors together.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchEngine returns an engine in memory or on disk.
func benchEngine(b *testing.B, kind string) engine.Engine {
	b.Helper()
	if kind == "memory" {
		return engine.NewMemory()
	}
	e, err := engine.OpenPebble(engine.Config{Dir: b.TempDir(), Cache: engine.NewCache(64 << 20)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return e
}
