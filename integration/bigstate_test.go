package integration

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/replica"
)

// fill writes so many keys with values that do not compress, many to a transaction.
func (r *diskRegion) fill(keys, valueBytes int) {
	r.t.Helper()
	const together, clients = 100, 32
	var next atomic.Int64
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			source := rand.NewChaCha8([32]byte{byte(c)})
			for {
				from := int(next.Add(together)) - together
				if from >= keys || r.t.Failed() {
					return
				}
				var txn api.Txn
				for i := from; i < min(from+together, keys); i++ {
					v := make([]byte, valueBytes)
					_, _ = source.Read(v)
					txn.Then = append(txn.Then, api.Op{Kind: api.OpPut, Key: bigKey(i), Value: v})
				}
				if _, err := r.nodes[0].Store().Do(context.Background(), &txn); err != nil {
					r.t.Errorf("write of %d: %v", from, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if r.t.Failed() {
		r.t.FailNow()
	}
}

func bigKey(i int) api.Key { return api.Key(fmt.Sprintf("here/%09d", i)) }

// read reads one key at the server, linearizably.
func (r *diskRegion) read(i int, k api.Key) (api.Entry, error) {
	res, err := storetest.Read(context.Background(), r.nodes[i].Store(), &api.ReadRequest{Keys: []api.Key{k}})
	if err != nil {
		return api.Entry{}, err
	}
	return res.Entries[0], nil
}

// bytesBelow is how much the files of a folder hold.
func bytesBelow(b *testing.B, dir string) (n int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// resident watches how much memory of its own the process has (files that are mapped into it, as the log is, are the
// system's to take back). The function that it returns ends that and returns the maximum in MB; 0 if the system does not report it.
func resident() (peak func() float64) {
	done, most := make(chan struct{}), make(chan float64)
	go func() {
		var kb, highest float64
		for {
			status, _ := os.ReadFile("/proc/self/status")
			_, rest, _ := strings.Cut(string(status), "RssAnon:")
			_, _ = fmt.Sscan(rest, &kb)
			highest = max(highest, kb/1024)
			select {
			case <-done:
				most <- highest
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() float64 { close(done); return <-most }
}

// BenchmarkRestart is how long a server of three, with a million keys of 256 bytes, takes from its start until it has all
// that the leader had then, and answers: it had stopped in good order, or as a crash would leave it.
func BenchmarkRestart(b *testing.B) {
	const keys = 1_000_000
	r := newDiskRegion(b, 3, replica.Limits{}, "")
	leader, _ := r.leader()
	i := (leader + 1) % 3
	began := time.Now()
	r.fill(keys, 256)
	b.Logf("wrote %d keys in %v", keys, time.Since(began).Round(time.Millisecond))
	for _, c := range []struct {
		name  string
		crash bool
	}{{"stopped", false}, {"crashed", true}} {
		b.Run(c.name, func(b *testing.B) {
			var opening, ready time.Duration
			for b.Loop() {
				b.StopTimer()
				if c.crash {
					r.crash(i)
				} else {
					r.stop(i)
				}
				goal := r.nodes[leader].Machine(diskGroup).Applied()
				b.StartTimer()
				began := time.Now()
				r.start(i)
				opening += time.Since(began)
				b.Logf("%d keys of %d are there at once", r.nodes[i].Machine(diskGroup).Meta().Keys, keys)
				r.until(time.Minute, "answer", func() bool {
					e, err := r.read(i, bigKey(keys-1))
					return err == nil && e.Exists && r.nodes[i].Machine(diskGroup).Applied() >= goal
				})
				ready += time.Since(began)
			}
			b.ReportMetric(opening.Seconds()/float64(b.N), "s-to-state")
			b.ReportMetric(ready.Seconds()/float64(b.N), "s-to-ready")
		})
	}
}

// BenchmarkBeyondMemory writes and reads a state of 1 GiB in a process that is to stay within 256 MiB, restarts included.
// Random reads come from the disk for the most part. One server, so that the limit is that server's.
func BenchmarkBeyondMemory(b *testing.B) {
	const keys, valueBytes, limit = 1 << 20, 1024, 256 << 20
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(limit))
	peak := resident()
	r := newDiskRegion(b, 1, replica.Limits{}, "")
	began := time.Now()
	r.fill(keys, valueBytes)
	wrote := time.Since(began)
	r.stop(0)
	b.Logf("%d MB of state after %v", bytesBelow(b, filepath.Join(r.folder(0), "groups", string(diskGroup), "state"))>>20, time.Since(began))
	r.start(0)
	r.ready(0)
	rnd := rand.New(rand.NewPCG(1, 0))
	b.ResetTimer()
	for b.Loop() {
		if e, err := r.read(0, bigKey(rnd.IntN(keys))); err != nil || len(e.Value) != valueBytes {
			b.Fatalf("%d bytes, %v", len(e.Value), err)
		}
	}
	b.ReportMetric(keys/wrote.Seconds(), "puts/s")
	b.ReportMetric(peak(), "MB-resident")
}

// BenchmarkInstall is how long a server of three whose disk was lost takes until it has the state of a million keys of 256
// bytes again, and what is left of the write rate of 64 clients meanwhile.
func BenchmarkInstall(b *testing.B) {
	const keys = 1_000_000
	// Else two thousand big entries would hold it all, and no snapshot be due.
	r := newDiskRegion(b, 3, replica.Limits{SnapshotEntries: 500, TrailingEntries: 100, SnapshotInterval: time.Second}, "")
	leader, term := r.leader()
	r.fill(keys, 256)
	var wrote atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for c := range 64 {
		clients.Go(func() {
			for i := c; ctx.Err() == nil; i += 64 {
				if err := r.put(context.Background(), leader, bigKey(i%keys), make([]byte, 256)); err != nil {
					b.Errorf("write: %v", err)
					return
				}
				wrote.Add(1)
			}
		})
	}
	i := (leader + 1) % 3
	var before, during, took float64
	for b.Loop() {
		b.StopTimer()
		from := wrote.Load()
		<-time.After(3 * time.Second)
		before += float64(wrote.Load()-from) / 3
		r.stop(i)
		if err := os.RemoveAll(r.folder(i)); err != nil {
			b.Fatal(err)
		}
		goal := r.nodes[leader].Machine(diskGroup).Applied()
		b.StartTimer()
		began := time.Now()
		from = wrote.Load()
		r.start(i)
		r.until(5*time.Minute, "state", func() bool { return r.nodes[i].Machine(diskGroup).Applied() >= goal })
		seconds := time.Since(began).Seconds()
		took += seconds
		during += float64(wrote.Load()-from) / seconds
	}
	stop()
	clients.Wait()
	if _, now := r.leader(); now != term {
		b.Errorf("term %d became %d", term, now)
	}
	b.ReportMetric(took/float64(b.N), "s-to-state")
	b.ReportMetric(before/float64(b.N), "writes/s-before")
	b.ReportMetric(during/float64(b.N), "writes/s-during")
}
