package leasecache

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/ident"
)

// lessorInMemory is a group that grants every lease requested, and revokes before it writes.
type lessorInMemory struct {
	*storetest.Memory
	edge    *Cache
	session *session

	mu     sync.Mutex
	lid    ident.LeaseID
	leases map[api.Key]ident.LeaseID
}

func (m *lessorInMemory) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	out.Leases = nil
	if err := m.Memory.Read(ctx, &q.ReadRequest, &out.ReadResult); err != nil {
		return err
	}
	out.Group = "a"
	for _, k := range q.Keys {
		if !q.Session.IsZero() {
			m.lid++
			m.leases[k], out.Leases = m.lid, append(out.Leases, m.lid)
		}
	}
	return nil
}

func (m *lessorInMemory) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dropped := make(map[api.Key]ident.LeaseID)
	for _, d := range t.Dropped {
		dropped[d.Key] = d.Lease
	}
	for _, k := range t.WrittenKeys() {
		if lid, ok := m.leases[k]; ok && dropped[k] < lid {
			acks := make(chan *words.RevokeAck, 1)
			m.edge.revoked("a", m.session.id, []words.RevokedLease{{Key: k, Lease: lid}}, acks)
			<-acks
		}
		delete(m.leases, k)
	}
	return m.Memory.Do(ctx, &t.Txn)
}

func (m *lessorInMemory) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	res, err := m.Memory.List(ctx, &q.ListRequest)
	if err != nil {
		return nil, err
	}
	return &words.ListResult{ListResult: *res}, nil
}

// TestStore checks that a cache passes the suite of all Stores if leases serve every read that they can.
func TestStore(t *testing.T) {
	for name, room := range map[string]int64{"with room": 10_000, "with room for few": 3} {
		t.Run(name, func(t *testing.T) {
			e, _ := warmEdge(t, stillClock{}, 0)
			m := &lessorInMemory{Memory: storetest.NewMemory(), edge: e, leases: map[api.Key]ident.LeaseID{}}
			e.cfg.Store, e.cfg.Lister = m, m
			e.entries.room.maxEntries = room
			for i := range e.entries.shards {
				e.entries.shards[i].stats = newReadStats(100, 1, 0)
			}
			g := newGroup(e, "a")
			m.session = newSession(g, ident.SessionID{Incarnation: 1, Index: 1}, stillClock{}.Now(), time.Hour)
			g.current.Store(m.session)
			e.groups["a"] = g
			storetest.RunLister(t, func(*testing.T) storetest.ListStore { return e })
			if e.meter.leased() == 0 {
				t.Error("no read was served by a lease")
			}
		})
	}
}
