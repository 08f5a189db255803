package txn

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestNothingToLock checks a chosen branch that has no steps and whose conditions are all covered by leases. The branch
// is committed if the leases held. Otherwise its conditions are validated in their groups. The gateway's region has
// groups of its own or has none.
func TestNothingToLock(t *testing.T) {
	for _, region := range []string{"us", "ap"} {
		for _, held := range []bool{true, false} {
			inWorld(t, 1, func(t *testing.T, w *world) {
				us, g := w.gateway("us"), w.gateway(region)
				if _, err := us.Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/lock", "held")}}}); err != nil {
					t.Fatal(err)
				}
				var reads, prepares atomic.Int64
				g.line.point = func(p point) error {
					if p.kind == "prepare" && !p.after {
						prepares.Add(1)
					}
					if p.kind == "read" && p.group == "us.1" && !p.after {
						if reads.Add(1) == 3 { // the first look has read twice
							if _, err := us.Do(within(t, 5*time.Second), &words.Txn{Txn: api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: "us/lock"}}}}); err != nil {
								t.Error(err)
							}
						}
					}
					return nil
				}
				tx := &words.Txn{
					Txn: api.Txn{If: []api.Cond{{Kind: api.CondAbsent, Key: "us/lock"}, {Kind: api.CondAbsent, Key: "eu/lock"}},
						Else: []api.Op{putOp("us/queue", "me")}},
				}
				tx.Leased, tx.LeasesHeld = []int{0, 1}, func() bool { return held }
				res, err := g.Do(within(t, 5*time.Second), tx)
				if err != nil || !res.Committed || len(res.Entries) != 0 {
					t.Fatalf("%s, held %v: %+v, %v", region, held, res, err)
				}
				if n := prepares.Load(); (n == 0) != held {
					t.Errorf("%s, held %v: %d prepares", region, held, n)
				}
				if v := w.value("us/queue"); v != "" {
					t.Errorf("%s, held %v: the other branch was carried out: %q", region, held, v)
				}
				w.settled(10 * time.Second)
			})
		}
	}
}

// broken is a way to the groups on which calls of one kind panic.
type broken struct {
	*line
	kind string
}

func (b broken) Prepare(ctx context.Context, p *fsm.Prepare, dropped []ident.DroppedLease, free bool) (*fsm.Vote, error) {
	if b.kind == "prepare" && p.Group == "eu.1" {
		panic("a fault")
	}
	return b.line.Prepare(ctx, p, dropped, free)
}

func (b broken) Resolve(ctx context.Context, c fsm.Resolve) error {
	if b.kind == "resolve" {
		panic("a fault")
	}
	return b.line.Resolve(ctx, c)
}

// TestPanicsOfParts checks that a panic in one group's part of a transaction, while other parts are under way, ends the
// transaction, and that nothing of it is left.
func TestPanicsOfParts(t *testing.T) {
	for _, kind := range []string{"prepare", "resolve"} {
		inWorld(t, 1, func(t *testing.T, w *world) {
			g := w.gateway("us", func(c *Config) { c.Groups = broken{c.Groups.(*line), kind} })
			tx := leasedOn(&words.Txn{Txn: api.Txn{Then: []api.Op{putOp("us/a", "1"), putOp("eu/a", "1")}}}, "eu/far")
			if kind == "resolve" { // the resolve of an abort
				tx.If = append(tx.If, api.Cond{Kind: api.CondExists, Key: "us/none"})
			}
			res, err := g.Do(within(t, 5*time.Second), tx)
			if kind == "prepare" && api.CodeOf(err) != api.CodeInternal || kind == "resolve" && (err != nil || res.Committed) {
				t.Errorf("%s: %+v, %v", kind, res, err)
			}
			w.settled(20 * time.Second)
			if a, b := w.value("us/a"), w.value("eu/a"); a != "" || b != "" {
				t.Errorf("%s: us/a is %q, eu/a is %q", kind, a, b)
			}
		})
	}
}
