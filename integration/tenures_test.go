package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/api/lock"
	"github.com/edgehold/edgehold/integration/history"
)

// contenders are clients that take one lock in turn on a planet under faults, each time through a random gateway. Some of them die while
// they hold it.
type contenders struct {
	planet  *planet
	name    string
	stopped chan struct{}
	done    sync.WaitGroup

	mu      sync.Mutex
	tenures []history.Tenure
	lives   []history.Lifetime // of the entries of those who died
	asked   int
}

// contend starts the clients.
func contend(p *planet, seed uint64) *contenders {
	c := &contenders{planet: p, name: regions[(seed+1)%3] + "/lock", stopped: make(chan struct{})}
	for i := range 3 {
		r := rand.New(rand.NewPCG(seed, 0x10c4+uint64(i)))
		c.done.Go(func() {
			for c.goesOn(time.Duration(r.Int64N(int64(12 * time.Second)))) {
				c.turn(fmt.Sprint("contender ", i), r)
			}
		})
	}
	return c
}

func (c *contenders) goesOn(d time.Duration) bool {
	select {
	case <-c.stopped:
		return false
	case <-time.After(d):
		return true
	}
}

// turn asks for the lock, holds it for a while and gives it back, or dies.
func (c *contenders) turn(name string, r *rand.Rand) {
	all := c.planet.gateways()
	n := all[r.IntN(len(all))].running()
	if n == nil {
		return
	}
	process := client.New(struct {
		api.Store
		api.Watcher
	}{n.Store(), n.Watcher()})
	defer func() { _ = process.Close() }() // it has no error to close with
	c.mu.Lock()
	c.asked++
	c.mu.Unlock()
	ttl := time.Duration(2000+r.IntN(2000)) * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second+opTimeout)
	defer cancel()
	l, err := process.Lock(ctx, c.name, ttl, client.LockWait(15*time.Second), client.LockOwner(name))
	if err != nil {
		return
	}
	t := history.Tenure{Lock: c.name, Client: name, Entry: lock.Key(l.Name, l.ID), Fence: l.Fence, Made: l.Version, From: now()}
	select {
	case <-l.Lost():
	case <-time.After(time.Duration(r.Int64N(int64(2 * ttl)))):
	}
	t.Until = now()
	dies := r.IntN(4) == 0
	c.held(t, ttl, dies)
	if !dies {
		_ = l.Unlock(ctx) // if it does not come through, the entry ends by its ttl
	}
}

// held notes a tenure that ends now. If its client dies, the last renewal was answered before.
func (c *contenders) held(t history.Tenure, ttl time.Duration, dies bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenures = append(c.tenures, t)
	if dies {
		life := history.Lifetime{Key: t.Entry, Version: t.Made}
		life.Give(ttl, t.From-ttl, t.Until, history.OK, mortalClocks)
		c.lives = append(c.lives, life)
	}
}

// stop ends the clients.
func (c *contenders) stop() {
	close(c.stopped)
	c.done.Wait()
}

// judge judges who held the lock. It returns how often it passed from one client to another, and how many died with it.
func (c *contenders) judge(t *testing.T) (passed, died int) {
	changed, err := c.planet.changes.all()
	if err != nil {
		t.Error(err)
	}
	directory := string(lock.Directory(c.name))
	passed, err = history.Tenures(c.tenures, changed, func(_ string, k api.Key) bool {
		id, ok := strings.CutPrefix(string(k), directory)
		return ok && !strings.Contains(id, "/") // else it is no entry
	})
	if err != nil {
		t.Errorf("%s: %v", c.name, err)
	}
	if _, err := history.Lived(c.lives, changed, nil, now(), func(k api.Key, from, to time.Duration) time.Duration {
		return c.planet.changes.stalled(c.planet.owner(k), from, to)
	}); err != nil {
		t.Errorf("%s, after its holder died: %v", c.name, err)
	}
	t.Logf("%s: asked for %d times, held %d times, %d holders died", c.name, c.asked, len(c.tenures), len(c.lives))
	return passed, len(c.lives)
}
