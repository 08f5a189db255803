package fsm

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/engine"
	"github.com/edgehold/edgehold/fsm/ident"
)

// growthSizes are numbers of leases.
var growthSizes = []int{10_000, 100_000, 1_000_000}

// BenchmarkLeaseSize reports the size of a lease without its key: on the heap (B/lease), on disk (disk-B/lease), and in a
// snapshot (snap-B/lease), first with one holder for each key, then with ten. The key's 14 bytes are in each of its rows and are
// not counted. It measures a state once, however often it runs.
func BenchmarkLeaseSize(b *testing.B) {
	for _, on := range []string{"memory", "pebble"} {
		for _, leases := range growthSizes {
			for _, holders := range []int{1, 10} {
				b.Run(fmt.Sprintf("%s/leases=%d/holders=%d", on, leases, holders), func(b *testing.B) {
					benchLeaseSize(b, on, leases, holders)
				})
			}
		}
	}
}

func benchLeaseSize(b *testing.B, on string, leases, holders int) {
	e, dir := engine.NewMemory(), ""
	if on == "pebble" {
		dir = b.TempDir()
		var err error
		if e, err = engine.OpenPebble(engine.Config{Dir: dir, Cache: engine.NewCache(8 << 20)}); err != nil {
			b.Fatal(err)
		}
	}
	defer func() {
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}()
	m := benchMachineOn(b, e, leases/holders)
	before := sizeOf(b, m, dir)
	began := time.Now()
	benchLeases(b, m, leases, holders)
	took := time.Since(began)
	after := sizeOf(b, m, dir)
	per := func(n, m int64) float64 { return float64(n-m) / float64(leases) }
	keys := float64(len(benchKey(0))*(1+holders)) / float64(holders)
	b.ReportMetric(per(after.heap, before.heap)-keys, "B/lease")
	b.ReportMetric(per(after.snapshot, before.snapshot)-keys, "snap-B/lease")
	if dir != "" {
		b.ReportMetric(per(after.disk, before.disk)-keys, "disk-B/lease")
	}
	b.ReportMetric(float64(took.Microseconds())/float64(leases), "us/grant")
	b.ReportMetric(0, "ns/op")
}

// benchLeases gives that many leases, each key to so many sessions, a thousand in a command.
func benchLeases(b *testing.B, m *Machine, leases, holders int) {
	b.Helper()
	sessions := max(holders, leases/50_000)
	sids := make([]ident.SessionID, sessions)
	for i := range sids {
		sids[i] = one(m.Apply(1, 1, [][]byte{encode(SessionOpen{Node: api.NodeID(fmt.Sprint("edge-", i)), Nonce: ident.Nonce{byte(i), byte(i >> 8), 1}, T: time.Second})})).Session
	}
	for at, n := 0, leases/holders; at < n; at += 1000 {
		keys := make([]api.Key, 0, 1000)
		for i := at; i < min(at+1000, n); i++ {
			keys = append(keys, benchKey(i))
		}
		items := make([]GrantItem, holders)
		for j := range items {
			items[j] = GrantItem{Session: sids[(at/1000+j)%sessions], Keys: keys}
		}
		if r := one(m.Apply(1, 1, [][]byte{encode(Grant{Term: 1, Items: items})})); r.Err != nil {
			b.Fatal(r.Err)
		}
	}
	if got := m.Meta().Leases; got != leases {
		b.Fatalf("%d leases were given, not %d", got, leases)
	}
}

// size is what a machine takes.
type size struct{ heap, disk, snapshot int64 }

func sizeOf(b *testing.B, m *Machine, dir string) (s size) {
	b.Helper()
	snapshot, err := m.Snapshot()
	if err == nil {
		s.snapshot, err = snapshot.WriteTo(io.Discard)
	}
	if err == nil {
		err = snapshot.Close()
	}
	if err == nil && dir != "" {
		if err = m.Flush(); err == nil {
			s.disk, err = folderSize(dir)
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	s.heap = int64(mem.HeapAlloc)
	return s
}

func folderSize(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// BenchmarkEndSession reports for how long a session's end, and one step of clearing it away, block everything else, by its
// number of leases. Ten sessions share the keys.
func BenchmarkEndSession(b *testing.B) {
	for _, leases := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("leases=%d", leases), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				m := benchMachine(b, leases)
				for i := range 10 {
					m.Apply(1, 1, [][]byte{encode(SessionOpen{Node: "n", Nonce: ident.Nonce{byte(i)}, T: time.Second})})
				}
				sids := m.Sessions()
				for at := 0; at < leases; at += 1000 {
					keys := make([]api.Key, 0, 1000)
					for i := at; i < at+1000; i++ {
						keys = append(keys, benchKey(i))
					}
					var items []GrantItem
					for _, s := range sids {
						items = append(items, GrantItem{Session: s.ID, Keys: keys})
					}
					m.Apply(1, 1, [][]byte{encode(Grant{Term: 1, Items: items})})
				}
				b.StartTimer()
				m.Apply(1, 1, [][]byte{encode(Kill{Term: 1, Sessions: []ident.SessionID{sids[0].ID}})})
				m.Apply(1, 1, [][]byte{encode(Reap{Term: 1, Limit: MaxReap})})
			}
		})
	}
}
