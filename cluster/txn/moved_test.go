package txn

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/group"
	"github.com/edgehold/edgehold/cluster/router"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm/placement"
)

// everyLeader is a node that leads all groups, as a router reaches it.
type everyLeader struct {
	*line
	words.Lessor // nil: it is never called
	words.Feeder // nil: it is never called
}

func (n everyLeader) at(g api.GroupID) *group.Authority { return n.w.groups[g].leader() }

func (n everyLeader) Do(ctx context.Context, t *words.Txn) (*api.TxnResult, error) {
	return n.at(t.Group).Do(ctx, t)
}

func (n everyLeader) Read(ctx context.Context, q *words.ReadRequest, out *words.ReadResult) error {
	return n.at(q.Group).Read(ctx, q, out)
}

func (n everyLeader) List(ctx context.Context, q *words.ListRequest) (*words.ListResult, error) {
	return n.at(q.Group).List(ctx, q)
}

// TestOlderMap checks a transaction through a gateway whose map is older than a move that divided its keys among
// several groups. The transaction is carried out across these groups, once, whatever its kind.
func TestOlderMap(t *testing.T) {
	for name, tx := range map[string]*words.Txn{
		"writes":    {Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}},
		"an id":     {Txn: api.Txn{ID: requestOf(1), Then: []api.Op{addOp("eu/a", 1), addOp("us/a", 1)}}},
		"condition": {Txn: api.Txn{If: []api.Cond{{Kind: api.CondAbsent, Key: "eu/b"}}, Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}},
		"else":      {Txn: api.Txn{If: []api.Cond{{Kind: api.CondExists, Key: "eu/b"}}, Else: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				nodes := []placement.Node{{ID: "us", Region: "us", Role: api.RoleServer, Address: "us", URL: "http://us"}}
				old, err := placement.Static("test", nodes, 1, 3, "us") // us.1 owned everything then
				if err != nil {
					t.Fatal(err)
				}
				old.Version = w.m.Version - 1
				var known atomic.Pointer[placement.Map]
				known.Store(old)
				refresh := func(context.Context) error { known.Store(w.m); return nil }
				g := w.gateway("us", func(c *Config) {
					node := everyLeader{line: c.Groups.(*line)}
					r, err := router.New(router.Config{Self: "us", Region: "us", Map: known.Load, Refresh: refresh,
						Remote: func(api.NodeID) router.Target { return node }})
					if err != nil {
						t.Fatal(err)
					}
					c.Store, c.Groups, c.Map, c.Refresh = r, r, known.Load, refresh
				})
				for i := range 2 {
					if i > 0 && tx.ID.IsZero() {
						break
					}
					res, err := g.Do(within(t, 5*time.Second), tx)
					if err != nil || res.Committed != (name != "else") || res.Replayed != (i > 0) {
						t.Fatalf("%+v, %v", res, err)
					}
				}
				w.settled(10 * time.Second)
				if a, b := w.value("us/a"), w.value("eu/a"); a != "1" || b != "1" {
					t.Errorf("us/a is %q, eu/a is %q", a, b)
				}
			})
		})
	}
}
