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
			for c.goesOn(time.Duration(r.Int64N(int64(8 * time.Second)))) {
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
func (c *contenders) turn(client string, r *rand.Rand) {
	all := c.planet.gateways()
	n := all[r.IntN(len(all))].running()
	if n == nil {
		return
	}
	s := lock.New(lock.Config{Store: n.Store(), Watcher: n.Watcher()})
	defer func() { _ = s.Close() }() // it has no error to close with
	h := &holding{service: s, ttl: time.Duration(2000+r.IntN(2000)) * time.Millisecond}
	c.mu.Lock()
	c.asked++
	c.mu.Unlock()
	if !h.acquire(lock.Request{Name: c.name, TTL: h.ttl, Wait: 15 * time.Second, Owner: client}) {
		return
	}
	t := history.Tenure{Lock: c.name, Client: client, Entry: lock.Key(c.name, h.got.ID), Fence: h.got.Fence, Made: h.got.Version, From: now()}
	dies := r.IntN(4) == 0
	for range 1 + r.IntN(4) {
		if h.wait(h.ttl / 3); dies || !h.renew() {
			break
		}
	}
	if h.holds() && dies {
		h.wait(h.until - now())
	}
	t.Until = min(now(), h.until)
	c.mu.Lock()
	c.tenures = append(c.tenures, t)
	if dies {
		h.life.Key, h.life.Version = t.Entry, t.Made
		c.lives = append(c.lives, h.life)
	}
	c.mu.Unlock()
	if !dies && h.holds() {
		ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
		defer cancel()
		_, _ = s.Release(ctx, c.name, h.got.ID, h.got.Fence) // if it did not come through, the entry ends by its ttl
	}
}

// holding is what a client knows of the lock that it holds.
type holding struct {
	service *lock.Service
	name    string
	ttl     time.Duration
	got     *lock.Held
	until   time.Duration // from then on it does not take the lock for held
	life    history.Lifetime
}

// sureOf is the part of a ttl for which a client takes a lock for held, from when it sent the last request that was answered.
const sureOf = 0.98

// acquire asks for the lock, and reports whether the client holds it. If more than half of the ttl has passed, it renews it first.
func (h *holding) acquire(r lock.Request) bool {
	ctx, cancel := context.WithTimeout(context.Background(), r.Wait+opTimeout)
	defer cancel()
	sent := now()
	got, err := h.service.Acquire(ctx, &r)
	if err != nil {
		return false
	}
	h.got, h.name = got, r.Name
	h.answered(sent)
	if now()-sent > h.ttl/2 {
		h.until = 0
		return h.renew()
	}
	return h.holds()
}

func (h *holding) answered(sent time.Duration) {
	h.until = sent + time.Duration(sureOf*float64(h.ttl))
	h.life.Give(h.ttl, sent, now(), history.OK, mortalClocks)
}

func (h *holding) holds() bool { return now() < h.until }

// wait waits, but no longer than the client holds the lock.
func (h *holding) wait(d time.Duration) { time.Sleep(max(0, min(d, h.until-now()))) }

// renew reports whether the lock is held on.
func (h *holding) renew() bool {
	ctx, cancel := context.WithTimeout(context.Background(), h.ttl)
	defer cancel()
	sent := now()
	if _, err := h.service.Renew(ctx, h.name, h.got.ID, h.got.Fence, h.ttl); err != nil {
		if h.life.Give(h.ttl, sent, 0, history.OutcomeOf(err), mortalClocks); api.CodeOf(err) == api.CodePreconditionFailed {
			h.until = min(h.until, now())
		}
		return h.holds()
	}
	h.answered(sent)
	return h.holds()
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
