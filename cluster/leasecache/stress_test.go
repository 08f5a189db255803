package leasecache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// owner is a group as the machine keeps it. It has one lease a key, for the only session there is. It revokes the lease
// before it writes unless the writer names it as dropped. A release ends the named lease and earlier ones. Its answers
// are late.
type owner struct {
	edge *Cache
	sid  ident.SessionID
	// big reports whether a key's value does not fit into the cache at a version.
	big func(version uint64) bool

	mu       sync.Mutex
	version  map[api.Key]uint64
	leases   map[api.Key]ident.LeaseID
	lid      ident.LeaseID
	released int
}

// late yields to other goroutines now and then.
func late() {
	for range rand.IntN(40) {
		time.Sleep(0)
	}
}

func (o *owner) read(_ context.Context, q *words.ReadRequest) (*words.ReadResult, error) {
	late()
	defer late()
	o.mu.Lock()
	defer o.mu.Unlock()
	res := &words.ReadResult{ReadResult: api.ReadResult{Group: "a", Snapshot: true}}
	for _, k := range q.Keys {
		e := api.Entry{Key: k, Exists: true, Version: api.Version{Epoch: 1, Index: o.version[k]}}
		if o.big(o.version[k]) {
			e.Value = make([]byte, 1000)
		}
		if !q.Session.IsZero() {
			o.lid++
			o.leases[k], res.Leases = o.lid, append(res.Leases, o.lid)
		}
		res.Entries = append(res.Entries, e)
	}
	return res, nil
}

func (o *owner) do(_ context.Context, q *words.Txn) (*api.TxnResult, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	dropped := map[api.Key]ident.LeaseID{}
	for _, d := range q.Dropped {
		dropped[d.Key] = d.Lease
	}
	res := &api.TxnResult{Committed: true}
	for _, x := range q.Then {
		if l, ok := o.leases[x.Key]; ok && l > dropped[x.Key] {
			acks := make(chan *words.RevokeAck, 1)
			o.edge.revoked("a", o.sid, []words.RevokedLease{{Key: x.Key, Lease: l}}, acks)
			<-acks
		}
		delete(o.leases, x.Key)
		o.version[x.Key]++
		res.Version = api.Version{Epoch: 1, Index: o.version[x.Key]}
	}
	return res, nil
}

func (o *owner) release(_ context.Context, _ api.GroupID, ds []ident.DroppedLease) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range ds {
		if l, ok := o.leases[d.Key]; ok && l <= d.Lease && d.Session == o.sid {
			delete(o.leases, d.Key)
			o.released++
		}
	}
	return nil
}

// newOwner returns an owner in front of which a cache holds a session and requests a lease with every read.
func newOwner(t *testing.T, room, fences int) (*owner, *group) {
	e, _ := warmEdge(t, stillClock{}, 0)
	g := newGroup(e, "a")
	s := newSession(g, ident.SessionID{Incarnation: 1, Index: 1}, stillClock{}.Now(), time.Hour)
	g.current.Store(s)
	e.groups["a"] = g
	o := &owner{edge: e, sid: s.id, version: map[api.Key]uint64{}, leases: map[api.Key]ident.LeaseID{}, big: func(uint64) bool { return false }}
	e.cfg.Store = &fakeStore{read: o.read, do: o.do}
	e.cfg.Lessor = &fakeLessor{release: o.release}
	e.entries.room.maxEntries, e.entries.room.maxBytes = int64(room), 8*500
	for i := range e.entries.shards {
		sh := &e.entries.shards[i]
		sh.stats, sh.fences = newReadStats(100, 1, 1), newFences(fences)
	}
	return o, g
}

// TestNoStaleReads has readers and writers contend for a few keys, in real time and without any fake in between. A read
// that starts after a write was acknowledged never returns an older value. The owner grants leases, revokes them before
// it writes, and forgets those that are released. A read asks for several keys at once, so two grants of one key may be
// on their way together:
//
//	grant 10 of k is installed; grant 12 of k replaces it at the owner; grant 12 is not installed, and released;
//	the owner writes k and revokes nothing: nothing here may rest on lease 10 any more
func TestNoStaleReads(t *testing.T) {
	for name, c := range map[string]struct {
		keys, room, fences int
		big                func(uint64) bool
	}{
		"room for all but one": {keys: 4, room: 3, fences: 1000},
		"room for two":         {keys: 6, room: 2, fences: 1000},
		"floors rise":          {keys: 6, room: 3, fences: 1},
		"some are too big":     {keys: 4, room: 3, fences: 1, big: func(v uint64) bool { return v%2 == 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			o, g := newOwner(t, c.room, c.fences)
			if c.big != nil {
				o.big = c.big
			}
			fight(t, o, g, c.keys)
			m := o.edge.meter
			t.Logf("%d installed, %d fenced, %d outdated, %d declined, %d evicted, %d released", m.grants[installed].Load(), m.grants[fenced].Load(),
				m.grants[outdated].Load(), m.grants[declined].Load(), m.evictions.Load(), o.released)
			if o.released == 0 {
				t.Error("nothing was released")
			}
			if c.big != nil && m.grants[declined].Load() == 0 {
				t.Error("nothing was declined")
			}
		})
	}
}

// fight reads and writes the keys and judges the reads.
func fight(t *testing.T, o *owner, g *group, keys int) {
	const readers, writers, writes = 4, 2, 300
	name := make([]api.Key, keys)
	acked := make([]atomic.Uint64, keys)
	for i := range name {
		name[i] = api.Key(fmt.Sprint("a/", i))
	}
	var running, writing sync.WaitGroup
	var done atomic.Bool
	var served atomic.Uint64
	running.Go(func() {
		for !done.Load() {
			if _, err := g.sendReleases(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Microsecond)
		}
	})
	for range readers {
		running.Go(func() {
			floor := make([]uint64, keys)
			for !done.Load() {
				from := rand.IntN(keys)
				to := from + 1 + rand.IntN(keys-from)
				for i := range floor {
					floor[i] = acked[i].Load()
				}
				res, err := storetest.Read(t.Context(), o.edge, &api.ReadRequest{Keys: name[from:to]})
				if err != nil {
					t.Error(err)
					return
				}
				for i := from; i < to; i++ {
					if got := res.Entries[i-from].Version.Index; got < floor[i] {
						t.Errorf("stale: %q at version %d by %v, after %d was acknowledged", name[i], got, res.ServedBy, floor[i])
						done.Store(true)
					}
				}
				if res.ServedBy == api.ServedByLease {
					served.Add(1)
				}
			}
		})
	}
	for range writers {
		writing.Go(func() {
			for n := 0; n < writes && !done.Load(); n++ {
				i := rand.IntN(keys)
				through := o.edge.Do
				if rand.IntN(2) == 0 { // another node's write
					through = words.Plain{Store: o.edge.cfg.Store}.Do
				}
				res, err := through(t.Context(), &api.Txn{Then: []api.Op{{Kind: api.OpPut, Key: name[i]}}})
				if err != nil {
					t.Error(err)
					return
				}
				for at, old := res.Version.Index, acked[i].Load(); old < at && !acked[i].CompareAndSwap(old, at); old = acked[i].Load() {
				}
				time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
			}
		})
	}
	writing.Wait()
	done.Store(true)
	running.Wait()
	if served.Load() == 0 {
		t.Error("no read was served by leases alone")
	}
}
