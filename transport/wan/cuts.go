package wan

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// Cuts are the cuts that lie between regions at present, for real connections: those of [Cuts.Delay] and [Cuts.Dial]. A cut stops
// both directions. The zero value has none. It is safe for concurrent use.
type Cuts struct {
	mu     sync.Mutex
	since  map[pair]time.Time // of the cuts in force, by the regions in order
	change chan struct{}      // closed at the next change; nil if nothing waits for it
}

// ordered is the pair of two regions, whichever is named first.
func ordered(a, b string) pair { return pair{min(a, b), max(a, b)} }

// Cut cuts two regions off from each other, until Heal. What is sent meanwhile arrives after that. It reports whether they were not
// cut off before.
func (c *Cuts) Cut(a, b string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, was := c.since[ordered(a, b)]; was {
		return false
	}
	if c.since == nil {
		c.since = map[pair]time.Time{}
	}
	c.since[ordered(a, b)] = time.Now()
	c.changed()
	return true
}

// Heal undoes Cut. It reports whether there was a cut.
func (c *Cuts) Heal(a, b string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, was := c.since[ordered(a, b)]; !was {
		return false
	}
	delete(c.since, ordered(a, b))
	c.changed()
	return true
}

// HealAll undoes every Cut.
func (c *Cuts) HealAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.since)
	c.changed()
}

// All returns the pairs of regions that are cut off from each other, sorted.
func (c *Cuts) All() [][2]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([][2]string, 0, len(c.since))
	for p := range c.since {
		all = append(all, p)
	}
	slices.SortFunc(all, func(x, y [2]string) int { return slices.Compare(x[:], y[:]) })
	return all
}

// changed wakes those that wait; mu held.
func (c *Cuts) changed() {
	if c.change != nil {
		close(c.change)
		c.change = nil
	}
}

// between returns the cut between two regions.
func (c *Cuts) between(a, b string) cut {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.change == nil {
		c.change = make(chan struct{})
	}
	since, off := c.since[ordered(a, b)]
	return cut{off, since, c.change}
}

// Dial calls dial once no cut lies between the regions. It returns the error of ctx if that ends first.
func (c *Cuts) Dial(ctx context.Context, a, b string, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	for x := c.between(a, b); x.off; x = c.between(a, b) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-x.change:
		}
	}
	return dial(ctx)
}

// Delay is [Table.Delay] for a connection that the cuts hold up.
func (c *Cuts) Delay(t *Table, conn net.Conn, a, b string) net.Conn {
	if a == b {
		return t.Delay(conn, a, b)
	}
	return delay(conn, cuttable{t.Link(a, b), c, a, b}, cuttable{t.Link(b, a), c, a, b})
}

// cuttable is the path between two regions.
type cuttable struct {
	Link
	cuts *Cuts
	a, b string
}

func (p cuttable) delay() time.Duration { return p.draw(rand.Float64) }
func (p cuttable) cut() cut             { return p.cuts.between(p.a, p.b) }
