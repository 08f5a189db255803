package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/integration/history"
)

// mortals are clients whose keys have times to live, on a planet under faults. Each puts and touches a key of its own, and reads those
// of all, through random gateways.
type mortals struct {
	*workload // for its reads
	stopped   chan struct{}
	done      sync.WaitGroup

	mu    sync.Mutex
	lives []*history.Lifetime
}

// mortalClocks bound how keys end: the rate of clocks, slews of one of a leader's two clocks, the wait for a dead holder of leases, and
// a second for what is lost on the way.
var mortalClocks = history.Clocks{
	Rate: words.ClockRateError, Slow: 0.09, Grain: time.Millisecond,
	Late: words.GrantorWait(words.DefaultLeaseTerm, 0) + time.Second + 100*time.Millisecond + time.Second,
}

// liveAndDie starts the clients, one for each region.
func liveAndDie(p *planet, seed uint64) *mortals {
	m := &mortals{stopped: make(chan struct{}), workload: &workload{planet: p, recorder: history.NewRecorder(now)}}
	for i, region := range regions {
		m.keys = append(m.keys, api.Key(region+"/ttl/k"))
		r := rand.New(rand.NewPCG(seed, 0xdead+uint64(i)))
		m.done.Go(func() {
			for n := 0; m.goesOn(time.Duration(r.Int64N(int64(5 * time.Second)))); n++ {
				m.life(i, n, r)
			}
		})
	}
	return m
}

// goesOn waits, and reports whether the planet's clients go on.
func (m *mortals) goesOn(d time.Duration) bool {
	select {
	case <-m.stopped:
		return false
	case <-time.After(d):
		return true
	}
}

// life puts a key, touches it now and then, and looks for it until it should have ended long ago.
func (m *mortals) life(id, n int, r *rand.Rand) {
	key := m.keys[id]
	life := &history.Lifetime{Key: key}
	ttl := time.Duration(500+r.IntN(2500)) * time.Millisecond
	client, value := m.recorder.Client(id), fmt.Sprintf("%d of %d", n, id)
	running := client.Begin(history.Op{Kind: history.Put, Key: key, Written: value})
	res, err := m.ask(r, life, ttl, api.Op{Kind: api.OpPut, Key: key, Value: []byte(value), TTL: ttl})
	running.End(written(res, err), err)
	if err != nil {
		return
	}
	life.Version = res.Entries[0].Version
	m.mu.Lock()
	m.lives = append(m.lives, life)
	m.mu.Unlock()
	for range r.IntN(3) {
		if !m.goesOn(ttl / 2) {
			return
		}
		to := max(api.MinTTL, time.Duration(float64(ttl)*(0.2+r.Float64()))) // it may be less than what is left, and changes nothing then
		_, _ = m.ask(r, life, to, api.Op{Kind: api.OpTouch, Key: key, TTL: to})
	}
	at := m.planet.gateways()[r.IntN(len(m.planet.gateways()))]
	for i := range 5 + r.IntN(4) {
		pause, key := time.Duration(r.Int64N(int64(ttl))), m.keys[r.IntN(len(m.keys))]
		if i < 3 { // often enough for a lease, which is in the way when the key ends
			pause, key = 50*time.Millisecond, m.keys[id]
		}
		if !m.goesOn(pause) {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
		m.read(ctx, client, at, key)
		cancel()
	}
}

// ask carries a step out that may give the key more time, and notes what it gave.
func (m *mortals) ask(r *rand.Rand, life *history.Lifetime, ttl time.Duration, op api.Op) (*api.TxnResult, error) {
	all := m.planet.gateways()
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	call := now()
	res, err := all[r.IntN(len(all))].store0().Do(ctx, &api.Txn{Then: []api.Op{op}})
	outcome := history.OutcomeOf(err)
	if outcome == history.OK && op.Kind == api.OpTouch && (!res.Entries[0].Exists || res.Entries[0].Version != life.Version) {
		return res, err // it was too late
	}
	life.Give(ttl, call, now(), outcome, mortalClocks)
	return res, err
}

// stop ends the clients.
func (m *mortals) stop() {
	close(m.stopped)
	m.done.Wait()
}

// judge judges how the keys ended. It returns how many did by their time to live.
func (m *mortals) judge(t *testing.T) (ended int) {
	changed, err := m.planet.changes.all()
	if err != nil {
		t.Error(err)
	}
	var lives []history.Lifetime
	for _, l := range m.lives {
		lives = append(lives, *l)
	}
	ops := m.recorder.Ops()
	ended, err = history.Lived(lives, changed, ops, now(), func(k api.Key, from, to time.Duration) time.Duration {
		return m.planet.changes.stalled(m.planet.owner(k), from, to)
	})
	for _, verdict := range []error{err, history.Versions(ops), history.Once(ops)} {
		if verdict != nil {
			t.Errorf("keys with a time to live: %v", verdict)
		}
	}
	return ended
}
