package leasecache

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestTable compares the table with a map, through growth, graves and collisions.
func TestTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var tab table
	tab.init()
	want := map[api.Key]*entry{}
	hashes := map[api.Key]uint64{}
	for i := range 400 {
		hashes[api.Key(fmt.Sprint(i))] = rng.Uint64N(1 << (shardBits + 5)) // long probes
	}
	for range 30_000 {
		k := api.Key(fmt.Sprint(rng.IntN(400)))
		e := want[k]
		if got := tab.get(hashes[k], k); got != e {
			t.Fatalf("%q: got %p, want %p", k, got, e)
		}
		if e != nil {
			tab.remove(e)
			delete(want, k)
		} else if rng.IntN(3) > 0 {
			want[k] = &entry{key: k, hash: hashes[k]}
			tab.put(want[k])
		}
		if tab.live != len(want) || 2*tab.used > len(*tab.slots.Load()) {
			t.Fatalf("live %d of %d, used %d of %d", tab.live, len(want), tab.used, len(*tab.slots.Load()))
		}
	}
	n := 0
	tab.each(func(e *entry) {
		n++
		if want[e.key] != e {
			t.Errorf("%q is not in the map", e.key)
		}
	})
	if n != len(want) {
		t.Errorf("each visits %d of %d", n, len(want))
	}
}

// TestTableReadersAndWriter checks that an entry that stays in the table is always found, whatever is put or removed
// beside it.
func TestTableReadersAndWriter(t *testing.T) {
	var tab table
	tab.init()
	h := newHasher(testNonce)
	name := func(i int) api.Key { return api.Key(fmt.Sprint(i)) }
	var stay []*entry
	for i := range 50 {
		e := &entry{key: name(i), hash: h.hash(name(i))}
		stay = append(stay, e)
		tab.put(e)
	}
	var done atomic.Bool
	var reading sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			for !done.Load() {
				for _, e := range stay {
					if tab.get(e.hash, e.key) != e {
						t.Error("an entry that stays was not found")
						return
					}
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(2, 2))
	come := map[int]*entry{}
	for range 50_000 {
		i := 100 + rng.IntN(1000)
		if e := come[i]; e != nil {
			tab.remove(e)
			delete(come, i)
		} else {
			come[i] = &entry{key: name(i), hash: h.hash(name(i))}
			tab.put(come[i])
		}
	}
	done.Store(true)
	reading.Wait()
}

// TestHash checks that equal keys hash equally wherever they lie in memory, that similar keys hash differently, and
// that seeds do.
func TestHash(t *testing.T) {
	a, b := newHasher(testNonce), newHasher(ident.Nonce{9})
	seen := map[uint64]api.Key{}
	shards := map[uint64]int{}
	base := make([]byte, 40)
	try := func(k api.Key) {
		x := a.hash(k)
		if o, ok := seen[x]; ok && o != k {
			t.Fatalf("%q and %q collide", o, k)
		}
		seen[x] = k
		shards[x&(1<<shardBits-1)]++
		if b.hash(k) == x {
			t.Errorf("%q hashes alike under two seeds", k)
		}
		if k2 := api.Key(append([]byte(nil), k...)); a.hash(k2) != x {
			t.Errorf("%q hashes differently", k)
		}
	}
	for n := 1; n <= len(base); n++ {
		for i := range n {
			for v := 1; v < 256; v += 7 {
				base[i] = byte(v)
				try(api.Key(base[:n]))
				base[i] = 0
			}
		}
		try(api.Key(base[:n]))
	}
	for i := range 10_000 {
		try(api.Key(fmt.Sprintf("us-east/%d", i)))
	}
	for s, n := range shards {
		if mean := len(seen) / (1 << shardBits); n < mean/2 || n > 2*mean {
			t.Errorf("shard %d has %d of %d keys", s, n, len(seen))
		}
	}
}

// TestBounds checks that the cache stays within its bounds in bytes, entries and absent keys, whatever is granted.
// Every entry that had to go is fenced and released.
func TestBounds(t *testing.T) {
	const maxBytes, maxEntries, maxAbsent = 400_000, 300, 40
	bubble(t, func(t *testing.T, r *rig) {
		s := r.lookupGroup("a").live()
		rng := rand.New(rand.NewPCG(4, 4))
		held := map[api.Key]ident.LeaseID{}
		for i := range 20_000 {
			lid := ident.LeaseID(i + 1)
			got := api.Entry{Key: api.Key(fmt.Sprint("a/", rng.IntN(2000))), Exists: rng.IntN(3) > 0, Version: api.Version{Epoch: 1, Index: uint64(i)}}
			if got.Exists {
				got.Value = make([]byte, rng.IntN(4000))
			}
			o := r.entries.install(s, got, lid, 0, r.clock.Now())
			if o != installed {
				t.Fatalf("%d: %d", i, o)
			}
			held[got.Key] = lid
			if rng.IntN(4) == 0 {
				r.entries.revoke(s, got.Key, lid, r.clock.Now())
			}
			if b, n, a := r.entries.room.size(); b > maxBytes || n > maxEntries || a > maxAbsent {
				t.Fatalf("%d bytes, %d entries, %d absent", b, n, a)
			}
			if i%200 == 0 {
				time.Sleep(time.Second)
			}
		}
		var bytes, entries, absent int64
		cached := map[api.Key]bool{}
		r.Audit(func(h Held) {
			bytes += sizeOf(h.Entry.Key, h.Entry.Value)
			entries++
			absent += int64(btoi(!h.Entry.Exists))
			cached[h.Entry.Key] = true
			if !h.Servable || h.Group != "a" || h.Session != s.id || h.Lease != held[h.Entry.Key] {
				t.Errorf("%+v", h)
			}
		})
		if b, n, a := r.entries.room.size(); bytes != b || entries != n || absent != a || s.held.Load() != n {
			t.Errorf("cached %d bytes, %d entries, %d absent; accounted %d, %d, %d, and %d for the session", bytes, entries, absent, b, n, a, s.held.Load())
		}
		gone := uint64(0)
		for key, lid := range held {
			if cached[key] {
				continue
			}
			gone++
			if o := r.entries.install(s, api.Entry{Key: key, Exists: true, Version: noVersion}, lid, 0, r.clock.Now()); o != fenced {
				t.Errorf("the lease on %q was given up and is installed again: %d", key, o)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		lost := r.meter.releasesLost.Load()
		if n := r.meter.evictions.Load(); n == 0 || uint64(len(r.released)) != n+gone || lost != 0 {
			t.Errorf("%d evicted, %d refused by the fence, %d released, %d lost", n, gone, len(r.released), lost)
		}
	}, func(c *Config) { c.MaxBytes, c.MaxEntries, c.MaxAbsent = maxBytes, maxEntries, maxAbsent })
}

// TestRoom checks that every entry that fits is installed, however many grants come at once and however little room
// there is. The account matches what is cached.
func TestRoom(t *testing.T) {
	for _, room := range []int64{1, 2, 7} {
		e, _ := warmEdge(t, stillClock{}, 0)
		e.entries.room.maxEntries, e.entries.room.maxAbsent = room, 1
		g := newGroup(e, "a")
		s := newSession(g, ident.SessionID{Incarnation: 1, Index: 1}, stillClock{}.Now(), time.Hour)
		g.current.Store(s)
		var lid atomic.Uint64
		var installing sync.WaitGroup
		for range 8 {
			installing.Go(func() {
				for range 2000 {
					k, l := api.Key(fmt.Sprint("a/", rand.IntN(30))), ident.LeaseID(lid.Add(1))
					o := e.entries.install(s, api.Entry{Key: k, Exists: rand.IntN(3) > 0, Version: api.Version{Epoch: 1, Index: 1}}, l, 0, stillClock{}.Now())
					if o == declined {
						t.Error("a grant found no room")
						return
					}
					if rand.IntN(3) == 0 {
						e.entries.revoke(s, k, l, stillClock{}.Now())
					}
				}
			})
		}
		installing.Wait()
		var bytes, entries, absent int64
		e.Audit(func(h Held) {
			bytes += sizeOf(h.Entry.Key, h.Entry.Value)
			entries++
			absent += int64(btoi(!h.Entry.Exists))
		})
		if b, n, a := e.entries.room.size(); b != bytes || n != entries || a != absent || n > room || a > 1 || s.held.Load() != n {
			t.Errorf("cached %d bytes, %d entries, %d absent; accounted %d, %d, %d, and %d for the session", bytes, entries, absent, b, n, a, s.held.Load())
		}
	}
}

// TestTooBig checks that a value that would take much of the cache is not cached, and that its lease is given back.
func TestTooBig(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/small", "v")
		r.lease("a/small")
		r.put("a/big", string(make([]byte, 20_000)))
		for range 3 {
			r.get("a/big")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if _, ok := r.AuditKey("a/big"); ok || !r.servable("a/small") || len(r.released) != 1 || r.released[0].Key != "a/big" {
			t.Errorf("cached %v; released %+v", ok, r.released)
		}
	}, func(c *Config) { c.MaxBytes = 100_000 })
}

// TestOwnCopy checks that cached values do not share buffers with callers and answers.
func TestOwnCopy(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.lookupGroup("a").live()
		value := []byte("value")
		if o := r.entries.install(s, api.Entry{Key: "a/k", Value: value, Exists: true}, 1, 0, r.clock.Now()); o != installed {
			t.Fatal(o)
		}
		value[0] = 'X'
		if v, _ := r.get("a/k"); v != "value" {
			t.Errorf("%q", v)
		}
	})
}

// TestAbsentKeys checks that an absent key is leased like any other.
func TestAbsentKeys(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for range 3 {
			r.get("a/none")
		}
		res := r.read(api.ReadRequest{Keys: []api.Key{"a/none"}})
		if res.ServedBy != api.ServedByLease || res.Entries[0].Exists {
			t.Errorf("%+v", res)
		}
		r.revoke(words.RevokedLease{Key: "a/none", Lease: r.leaseOf("a/none")})
		r.put("a/none", "v")
		if v, by := r.get("a/none"); v != "v" || by != api.ServedByOwner {
			t.Errorf("%q by %v", v, by)
		}
	})
}

// TestCoolDown checks that each lease that is revoked before it served as many reads as a grant takes doubles the reads
// that the next grant takes. Leases that pay, and time, undo that.
func TestCoolDown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		takes := func() int {
			for n := 1; n < 1000; n++ {
				r.get("a/k")
				if r.servable("a/k") {
					r.revoke(words.RevokedLease{Key: "a/k", Lease: r.leaseOf("a/k")})
					return n
				}
			}
			return -1
		}
		for _, want := range []int{3, 6, 12, 24, 48, 96, 192, 192} {
			if n := takes(); n != want {
				t.Fatalf("the lease took %d reads, want %d", n, want)
			}
		}
		// A lease that pays.
		for range 192 {
			r.get("a/k")
		}
		for range 3 {
			if _, by := r.get("a/k"); by != api.ServedByLease {
				t.Fatalf("by %v", by)
			}
		}
		r.revoke(words.RevokedLease{Key: "a/k", Lease: r.leaseOf("a/k")})
		if n := takes(); n != 96 {
			t.Errorf("after a lease that paid the next took %d reads", n)
		}
		time.Sleep(21 * time.Second) // back at the highest level, less two
		if n := takes(); n != 48 {
			t.Errorf("after 21 s the lease took %d reads", n)
		}
		time.Sleep(time.Hour)
		if n := takes(); n != 3 {
			t.Errorf("after an hour the lease took %d reads", n)
		}
	})
}

// TestRefusedWish checks that an owner that grants nothing is not asked for a lease with every read.
func TestRefusedWish(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.grant = func(api.Key) bool { return false }
		for range 30 {
			if _, by := r.get("a/k"); by != api.ServedByOwner {
				t.Errorf("by %v", by)
			}
		}
		wishes := 0
		for _, q := range r.reads {
			wishes += btoi(!q.Session.IsZero())
		}
		if wishes != 5 { // with the 3rd, 4th, 6th, 10th and 18th
			t.Errorf("%d wishes in 30 reads", wishes)
		}
	})
}

// TestWritesCount checks that a write through this node restarts the count.
func TestWritesCount(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		for range 10 {
			r.get("a/k")
			r.get("a/k")
			if _, err := r.Do(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: "a/k", Value: []byte("v")}}}); err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range r.reads {
			if !q.Session.IsZero() {
				t.Error("a key written as often as read asked for a lease")
			}
		}
	})
}

// TestConfig checks that a Config that cannot work is refused.
func TestConfig(t *testing.T) {
	if _, err := New(Config{}); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("empty: %v", err)
	}
	e, _ := warmEdge(t, stillClock{}, 0)
	for name, change := range map[string]func(*Config){
		"keep-alives too rare": func(c *Config) { c.KeepAlive = c.Term },
		"term too long":        func(c *Config) { c.Term = 2 * words.MaxLeaseTerm },
		"negative limit":       func(c *Config) { c.MaxEntries = -1 },
	} {
		cfg := e.cfg
		change(&cfg)
		if _, err := New(cfg); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMetrics checks that sums reach the metrics.
func TestMetrics(t *testing.T) {
	m := &fakeMetrics{sums: map[string]float64{}, gauges: map[string]func() float64{}}
	bubble(t, func(t *testing.T, r *rig) {
		r.put("a/k", "v")
		r.lease("a/k")
		r.get("a/k")
		time.Sleep(4 * beat)
		synctest.Wait()
		for name, want := range map[string]float64{
			"edgehold_edge_reads_total lease":             1,
			"edgehold_edge_reads_total owner":             3,
			"edgehold_edge_lookups_total miss":            3,
			"edgehold_edge_grants_total installed":        1,
			"edgehold_edge_session_events_total opened":   1,
			"edgehold_edge_session_events_total extended": 2,
		} {
			if got := m.sum(name); got != want && name != "edgehold_edge_session_events_total extended" || got < want {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
		for name, want := range map[string]float64{
			"edgehold_edge_cache_entries": 1, "edgehold_edge_sessions": 1, "edgehold_edge_sessions_usable": 1, "edgehold_edge_streams": 1,
			"edgehold_edge_cache_bytes": float64(sizeOf("a/k", []byte("v"))),
		} {
			if got := m.gauges[name](); got != want {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	}, func(c *Config) { c.Metrics = m })
}

type fakeMetrics struct {
	mu     sync.Mutex
	sums   map[string]float64
	gauges map[string]func() float64
}

func (m *fakeMetrics) sum(name string) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sums[name]
}

func (m *fakeMetrics) Counter(name, _ string, _ ...string) func(float64, ...string) {
	return func(n float64, values ...string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(values) != 0 {
			m.sums[name+" "+values[0]] += n
		} else {
			m.sums[name] += n
		}
	}
}
func (m *fakeMetrics) Gauge(name, _ string, read func() float64) { m.gauges[name] = read }
func (m *fakeMetrics) FineHistogram(string, string, ...string) func(float64, ...string) {
	return func(float64, ...string) {}
}

func (m *fakeMetrics) Histogram(string, string, ...string) func(float64, ...string) {
	return func(float64, ...string) {}
}
